"""How the engine's kernels are compiled."""
