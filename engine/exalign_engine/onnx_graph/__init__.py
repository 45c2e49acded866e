"""Every rewriting of the network's graph: int8, fp16, sums, checks."""
