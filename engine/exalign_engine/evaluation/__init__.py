"""Accuracy on photographs, suites and the paper's tables. Nothing here serves."""
