"""Writes function.yaml: the label of a face with its 68 points, and how CVAT draws it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from exalign_client.landmarks import NAMES

Point = tuple[float, float]

TARGET = Path(__file__).parent / "function.yaml"

#: Landmarks that a line joins, from and up to; and whether the line is closed.
CURVES = (
    (0, 17, False), (17, 22, False), (22, 27, False), (27, 31, False), (31, 36, False), (36, 42, True),
    (42, 48, True), (48, 60, True), (60, 68, True),
)  # fmt: skip

HEAD = """\
# Made by make_function.py. A serverless function of CVAT's: every face of a frame as a skeleton of 68 points.
metadata:
  name: exalign-face-68
  namespace: cvat
  annotations:
    name: Exalign, 68 landmarks
    type: detector
    version: "1"
    spec: |
      {spec}

spec:
  description: Faces with their 68 landmarks, from an Exalign server
  runtime: "python:3.11"
  handler: main:handler
  eventTimeout: 30s
  env:
    - name: EXALIGN_SERVER
      value: host.docker.internal:50051

  build:
    image: cvat.exalign-face-68
    baseImage: exalign-client  # the one that README.md builds
    directives:
      preCopy:
        - kind: WORKDIR
          value: /opt/nuclio

  triggers:
    myHttpTrigger:
      numWorkers: 2
      kind: http
      workerAvailabilityTimeoutMilliseconds: 10000
      attributes:
        maxRequestBodySize: 67108864

  platform:
    attributes:
      restartPolicy:
        name: always
        maximumRetryCount: 3
      mountMode: volume
"""


def drawn() -> list[Point]:
    """68 points of a frontal face made of arcs, percent of a square."""

    def arc(count: int, x: float, y: float, across: float, down: float) -> Iterator[Point]:
        for n in range(count):
            turn = math.pi - 2 * math.pi * n / count
            yield x + across * math.cos(turn), y - down * math.sin(turn)

    jaw = [(50 - 45 * math.cos(math.pi * n / 16), 28 + 66 * math.sin(math.pi * n / 16)) for n in range(17)]
    brow = list(zip((13, 20, 28, 36, 43), (16, 9, 6, 8, 13), strict=True))
    other = [(100 - x, float(y)) for x, y in reversed(brow)]
    bridge = [(50.0, y) for y in (25.0, 33.0, 40.0, 48.0)]
    base = list(zip((39, 44.5, 50, 55.5, 61), (54, 56, 57, 56, 54), strict=True))
    eyes = [*arc(6, 29, 26, 8, 3.5), *arc(6, 71, 26, 8, 3.5)]
    return [*jaw, *brow, *other, *bridge, *base, *eyes, *arc(12, 50, 74, 17, 7), *arc(8, 50, 74, 12, 3)]


def svg() -> str:
    """Lines and points, as CVAT's constructor of skeletons writes them; points count from 1."""
    points, parts = drawn(), []
    for first, end, closed in CURVES:
        joined = [*range(first, end), *([first] if closed else [])]
        for a, b in pairwise(joined):
            (x1, y1), (x2, y2) = points[a], points[b]
            place = f'x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}"'
            parts.append(f'<line {place} data-type="edge" data-node-from="{a + 1}" data-node-to="{b + 1}"></line>')
    for n, (name, (x, y)) in enumerate(zip(NAMES, points, strict=True), 1):
        ids = f'data-type="element node" data-element-id="{n}" data-node-id="{n}" data-label-name="{name}"'
        parts.append(f'<circle r="0.75" cx="{x:.2f}" cy="{y:.2f}" {ids}></circle>')
    return "".join(parts)


def function() -> str:
    """The file."""
    points = [{"id": n, "name": name, "type": "points"} for n, name in enumerate(NAMES)]
    face = {"name": "face", "type": "skeleton", "svg": svg(), "sublabels": points}
    return HEAD.replace("{spec}", json.dumps([face]))


if __name__ == "__main__":
    TARGET.write_text(function(), "utf-8")
