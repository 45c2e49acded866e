"""Training and export: the only room of the engine that needs torch."""
