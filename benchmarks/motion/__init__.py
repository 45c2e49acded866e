"""Faces in motion with the tracker's own boxes: at rest, behind cuts, and where two of them cross."""
