"""The command ``exalign-server``, and leaving it before it serves."""
