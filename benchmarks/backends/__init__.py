"""Our server beside other ways to serve the same network, in one run, taking turns.

    python -m benchmarks.backends [--rounds 10] [--seconds 2] [--concurrency 8] [--backends NAME ...]
                                [--busy] [--json FILE]

Every call is about one face in a 640×480 JPEG whose box is given, asked by `ModelInfer` of the Open Inference Protocol:
its bytes are made once, and answers are not read, so that the caller costs alike for all. Backends:

    floor   no server: decode, crop, network, posterior and landmarks in this process, two callers
    ours    exalign-server as it is started by default
    plain   a gRPC server with a pool of two threads, which does what the floor does (`plain_server.py`)
    triton  Triton with its Python backend, two copies of a model on the float32 network (`triton_model.py`), in an
            environment of its own; it moves no box and displaces no shape

A backend that cannot be had is left out, and the table says why. All servers run all the time; in each round each is
asked for ``--seconds``, in an order that alternates. The figure of a backend is the CPU time of its processes a call,
as a ratio to the floor of the same round; the table has the median over the rounds, and the range.

Only ratios are claims, and only those of a quiet machine: on another one it measures nothing, unless ``--busy`` is
given; then no figure is a claim.
"""
