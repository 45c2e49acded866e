"""Accuracy, coverage and presence measures."""
