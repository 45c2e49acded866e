"""One file a sub-command of ``exalign-model``."""
