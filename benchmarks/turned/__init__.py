"""Faces turned by known angles: photographs draped on a dense head. Run by `python -m benchmarks.turned`."""
