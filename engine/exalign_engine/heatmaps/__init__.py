"""Marginal heatmaps of landmarks."""
