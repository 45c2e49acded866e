"""Refinement of face boxes."""
