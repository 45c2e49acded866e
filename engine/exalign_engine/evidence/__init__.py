"""Evidence and what it does to a posterior: conditioning, suggestions."""
