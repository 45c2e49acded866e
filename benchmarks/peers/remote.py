"""A peer in a process of its own."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from benchmarks.peers.environments import HERE, python
from numpy.typing import NDArray

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class FoundFace:
    """A face that a peer found.

    Attributes:
        box: (4,) in the peer's own convention, image frame.
        points: (n, 2) all its points, image frame.
    """

    box: F64
    points: F64


class RemotePeer:
    """Starts a peer's worker and asks it.

    Args:
        peer: of `benchmarks.peers.environments.PEERS`.

    Raises:
        FileNotFoundError: its environment has not been made.
        RuntimeError: the worker does not start.
    """

    def __init__(self, peer: str) -> None:
        self._process = subprocess.Popen(
            [python(peer), HERE / f"{peer}_worker.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # MediaPipe tells its life there
        )
        self.about = self._read()

    def answer(self, image: U8, box: F64 | None = None) -> tuple[list[FoundFace], float]:
        """Every face of a picture, or the one of a box.

        Args:
            image: (H, W, 3) uint8 RGB.
            box: (4,) in the peer's own convention; None: it detects.

        Returns:
            The faces, and the CPU-milliseconds that they took.
        """
        inp = self._process.stdin
        assert inp is not None
        head = {"shape": image.shape, "box": None if box is None else [float(v) for v in box]}
        inp.write(json.dumps(head).encode() + b"\n" + np.ascontiguousarray(image).tobytes())
        inp.flush()
        reply = self._read()
        faces = [FoundFace(np.array(f["box"], float), np.array(f["points"], float)) for f in reply["faces"]]
        return faces, float(reply["cpu_ms"])

    def _read(self) -> dict[str, Any]:
        out = self._process.stdout
        assert out is not None
        line = out.readline()
        if not line:
            raise RuntimeError(f"the worker ended with {self._process.wait()}; run {self._process.args!r} to see why")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=30)

    def __enter__(self) -> RemotePeer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
