"""Answers as messages."""
