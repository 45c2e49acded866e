"""What a network answers, and running it over many crops."""
