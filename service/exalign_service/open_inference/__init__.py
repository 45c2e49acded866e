"""The Open Inference Protocol (KServe v2): tensors in, our own request out, and back.

What was decided, and why: docs/decisions/open-inference.md.
"""
