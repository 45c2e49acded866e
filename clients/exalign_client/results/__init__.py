"""Answers as plain objects."""
