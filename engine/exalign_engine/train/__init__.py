"""Training and export: the only rooms of the engine that need torch."""
