"""Answers pictures in a process of its own and tells what each took; run by `benchmarks.photo`, by path.

It imports the packages of whichever tree PYTHONPATH names, so it uses only what every tree has. A line in: a JSON
object with ``path``, ``box`` (null: detect) and ``pixels`` (decode before the clock runs). A line out: CPU-milliseconds
of the process, and how many faces were answered.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from exalign_engine import Aligner
from exalign_engine.geometry.image import decode


def main() -> None:
    aligner = Aligner.default()
    about = {"precision": aligner.runtime.precision, "bundle": aligner.bundle.id, "detector": aligner.default_detector}
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        data = Path(asked["path"]).read_bytes()
        picture = decode(data) if asked["pixels"] else data
        boxes = None if asked["box"] is None else [asked["box"]]
        start = time.process_time()
        # One face, as the peer's column is about one: further faces of a picture cost further networks.
        faces = [face.compute() for face in aligner.align(picture, boxes, max_faces=1)]
        for face in faces:
            _ = face.presence, face.entropy, face.effective_exemplars, face.posterior.top(5)
        spent = 1e3 * (time.process_time() - start)
        print(json.dumps({"cpu_ms": spent, "faces": len(faces)}), flush=True)


if __name__ == "__main__":
    main()
