"""Wire contracts of Exalign."""
