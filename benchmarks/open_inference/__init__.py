"""Other people's clients of the Open Inference Protocol against our server.

    python -m benchmarks.open_inference [--seconds 60] [--concurrency 2] [--out docs/benchmarks/open-inference]

tritonclient infers the landmarks of a face, and the answer is compared with that of our own client. Its messages are
compared with ours, field by field. Then perf_analyzer, as tritonclient 2.41.0 carries it, loads the server.

Both live in environments of their own, which are made where they are not there: tritonclient's gRPC wants another
protobuf than we do. perf_analyzer wants libb64, of Debian's package libb64-0d: where the system has none, it is
unpacked beside the environment (`apt-get download`, `dpkg -x`).

The figures of perf_analyzer are a claim on a quiet machine only; that no call failed is one on any.
"""
