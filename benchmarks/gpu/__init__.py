"""What a GPU can be asked without TensorRT, and on a CPU as well: docs/gpu.md.

python -m benchmarks.gpu.run            the exported graph, executed by torch: parity, latency, bandwidth, memory
python -m benchmarks.gpu.train_teacher  a teacher, trained for a number of minutes, and its targets for a student
"""
