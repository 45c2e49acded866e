"""The network as the batcher runs it: a runtime whose answers are checked, and who is told when it fails.

A row that fails its batch is found by trying each alone: only its own caller is answered with the error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import U8
from exalign_engine.network.outputs import FaceOutputs, Outputs, Runtime
from exalign_engine.runtime.tensorrt.errors import DeviceLostError


class RuntimeFaultError(RuntimeError):
    """The runtime's answer cannot be right.

    Args:
        kind: one of `metrics.RUNTIME_FAULTS`.
        text: one sentence.
    """

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        super().__init__(text)


class FaultObserver(Protocol):
    """Counts faults. Called from worker threads."""

    def runtime_failed(self, kind: str) -> None:
        """A call of the runtime has failed: one of `metrics.RUNTIME_FAULTS`."""


class Network:
    """Runs crops through a runtime. Called from several threads at once.

    Args:
        runtime: executes the network.
        exemplars: K.
        on_device_lost: called with the error, in the thread of the call that met it.
        observer: counts faults.
    """

    def __init__(
        self,
        runtime: Runtime,
        exemplars: int,
        on_device_lost: Callable[[DeviceLostError], object],
        observer: FaultObserver,
    ) -> None:
        self._runtime, self._on_device_lost, self._observer = runtime, on_device_lost, observer
        self._lock = threading.Lock()
        # Guarded by _lock.
        self._in_a_row = 0
        #: Of a row of each output, as first answered.
        self._shapes: dict[str, tuple[int, ...]] = {"scores": (exemplars,)}

    @property
    def in_a_row(self) -> int:
        """Calls that have failed since the last that did not."""
        with self._lock:
            return self._in_a_row

    def infer(self, crops: NDArray[np.uint8]) -> Outputs:
        """The network's outputs for (B, S, S, 3) uint8 RGB crops.

        Raises:
            DeviceLostError: the device answers nothing any more.
            RuntimeFaultError: the answer cannot be right.
        """
        try:
            out = self._runtime.infer(crops)
            self._check(out, len(crops))
        except DeviceLostError as e:
            self._on_device_lost(e)
            raise
        except BaseException as e:
            with self._lock:
                self._in_a_row += 1
            self._observer.runtime_failed(e.kind if isinstance(e, RuntimeFaultError) else "raised")
            raise
        with self._lock:
            self._in_a_row = 0
        return out

    def _check(self, out: Outputs, rows: int) -> None:
        """Refuse what no network of this model answers.

        Raises:
            RuntimeFaultError: see there.
        """
        arrays = {f.name: array for f in fields(out) if (array := getattr(out, f.name)) is not None}
        for name, array in arrays.items():
            if len(array) != rows:
                raise RuntimeFaultError("rows", f"the runtime answered {len(array)} rows of {name} to {rows} crops")
        shapes = {name: array.shape[1:] for name, array in arrays.items()}
        with self._lock:
            known = self._shapes
            if wrong := [name for name, shape in known.items() if shapes.get(name) != shape]:
                text = (
                    f"the runtime answered {wrong[0]} of shape {shapes.get(wrong[0])} a row, must be {known[wrong[0]]}"
                )
                raise RuntimeFaultError("shape", text)
            self._shapes = shapes | known
        for name, array in arrays.items():
            # One pass without a copy: a sum is finite where all of its terms are.
            with np.errstate(all="ignore"):
                finite = np.isfinite(array.sum(axis=tuple(range(1, array.ndim))))
            if not finite.all():
                raise RuntimeFaultError(
                    "not_finite", f"{name} of {rows - int(finite.sum())} of {rows} crops is not finite"
                )


def each_row(infer: Callable[[U8], Outputs], crops: Sequence[U8]) -> list[FaceOutputs | Exception]:
    """Put crops through the network together; where that fails, each once more by itself.

    Args:
        infer: (B, S, S, 3) uint8 → outputs of B rows.
        crops: each (S, S, 3) uint8.

    Returns:
        The outputs of each crop, or why there are none.
    """
    try:
        out = infer(np.stack(crops))
        if len(out.scores) != len(crops):
            raise RuntimeFaultError("rows", f"the runtime answered {len(out.scores)} rows to {len(crops)} crops")
        return list(out.rows())
    except Exception as e:  # noqa: BLE001  # whatever it is belongs to the callers, not to this thread
        if len(crops) == 1 or isinstance(e, DeviceLostError):
            return [e] * len(crops)
    return [each_row(infer, [crop])[0] for crop in crops]
