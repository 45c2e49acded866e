"""How a peer's process is spoken to: one JSON line and the picture's bytes in, one JSON line out.

The workers import it from their own folder, in their own environments: standard library and NumPy only.

    in   {"shape": [H, W, 3], "box": [x0, y0, x1, y1] or null}, then H·W·3 bytes of RGB
    out  {"faces": [{"box": [x0, y0, x1, y1], "points": [[x, y], …]}, …], "cpu_ms": …}

Boxes are in the peer's own convention. Without a box it detects; with one it looks only there. ``cpu_ms`` is the time
of all threads of its process from the picture in memory to the points.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

#: ``answer(image, box)``: (H, W, 3) uint8 RGB and a box or None → faces as on the wire.
Answer = Callable[[Any, Any], "list[dict[str, Any]]"]


def serve(answer: Answer, about: dict[str, Any]) -> None:
    """Answer until there is no more input; ``about`` is the first line out."""
    inp, out = sys.stdin.buffer, sys.stdout
    print(json.dumps(about), file=out, flush=True)
    while line := inp.readline():
        head = json.loads(line)
        height, width, channels = head["shape"]
        data = inp.read(height * width * channels)
        image = np.frombuffer(data, np.uint8).reshape(height, width, channels)
        start = time.process_time()
        faces = answer(image, head["box"])
        cpu_ms = 1e3 * (time.process_time() - start)
        print(json.dumps({"faces": faces, "cpu_ms": cpu_ms}), file=out, flush=True)
