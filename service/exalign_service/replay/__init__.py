"""Recorded sessions run again, and their answers compared bit for bit."""
