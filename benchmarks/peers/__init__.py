"""What a user would pick instead, on the same faces and by the same code: dlib and MediaPipe.

    python -m benchmarks.peers.environments          # once: an environment of its own for each
    python -m benchmarks.peers --data FACES [--split val] [--limit 60]

The peers live in processes of their own (`benchmarks.peers.remote`), for their packages contradict ours. They answer
the disturbed pictures of the stress suite, about the box that the suite gives and about what their own detectors find,
and whole photographs. The rows go to a CSV, what they were made with to a JSON file beside it.

What to know when reading them:

- dlib's predictor was trained on 300-W, and so, in all likelihood, on the faces of HELEN and LFPW that are ``train``
  and ``val`` here, which 300-W has for training; frames of YouTube Faces (source "ytf") are new to it.
- MediaPipe's jaw means something else: see `benchmarks.peers.mesh_points`. So points "inner51" stand beside "all68".
- A given box is mapped to each peer's own convention by what its detector says on faces of ``train``. MediaPipe's
  detector also tells how far the head is rolled; a box does not.
- Which of several detections is meant is told by the truth, for all alike. A face that was missed is a failure.
- ``cpu_ms_median`` counts all threads, from the picture in memory to the points, on whatever else the machine did then.
"""
