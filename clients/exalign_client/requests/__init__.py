"""Arguments checked and put into requests."""
