"""Fitting everything of a bundle that is not the network."""
