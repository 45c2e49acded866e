"""The paper's cascade, kept for comparison: read by benchmarks.displacement alone."""
