"""The bundle: one model in one directory."""
