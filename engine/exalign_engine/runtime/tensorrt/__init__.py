"""TensorRT and TensorRT-RTX: from a bundle's network to an engine, and what that engine runs on.

`precisions` rewrites the ONNX file, `builder` builds an engine of it, `cache` keeps engines, `probe` finds devices.
Nothing of NVIDIA's is imported before it is needed; the module is a parameter.
"""
