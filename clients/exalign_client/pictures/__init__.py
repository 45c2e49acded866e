"""Overlays and pictures of answers; video files. Needs the extra cli."""
