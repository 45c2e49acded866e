"""Evidence, the posterior given evidence, and what to click next."""
