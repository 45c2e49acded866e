"""Requests read and checked: every violation is named."""
