"""The contract ``exalign.v1``: generated messages and gRPC stubs, one module for each ``.proto`` beside them.

Written by ``protos/generate.py``; import the modules themselves, as in ``from exalign.v1 import face_pb2``.
"""
