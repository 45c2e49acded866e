"""The contract of the Open Inference Protocol (KServe v2), package ``inference``: generated messages and gRPC stubs.

Written by ``protos/generate.py`` from ``inference.proto``. Not ours: it changes only as the protocol does.
"""
