"""What tracing costs, and a picture of the spans of one call and of one frame, from a real server.

    python -m benchmarks.traces picture [--out docs/benchmarks/spans.png]
    python -m benchmarks.traces cost [--rounds 40] [--seconds 1] [--concurrency 8]

The first asks about the astronaut, whose box is not given, and tracks a camera that pans over it. Of fifteen calls and
of fifteen frames it draws the one that took the median time.

The second runs three servers of this tree, which take turns: without tracing; with a collector and spans of no call;
and with spans of every call. The ratios of a round are their CPU time a call ÷ that without tracing. The collector's
own work is not counted. What tracing costs where nobody wants it says ``python -m benchmarks.serving --beside TREE``.
"""
