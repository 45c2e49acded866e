"""What a browser may ask, and in which form."""
