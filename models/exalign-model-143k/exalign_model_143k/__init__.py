"""The model exalign-143k: files in ``bundle/``, and nothing that runs. ``exalign_engine`` finds them by this name."""
