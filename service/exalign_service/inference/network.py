"""The network as the batcher runs it: a runtime, and who is told when its device is lost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from exalign_engine.network.outputs import Outputs, Runtime
from exalign_engine.runtime.tensorrt.errors import DeviceLostError


class Network:
    """Runs crops through a runtime. Called from several threads at once.

    Args:
        runtime: executes the network.
        on_device_lost: called with the error, in the thread of the call that met it.
    """

    def __init__(self, runtime: Runtime, on_device_lost: Callable[[DeviceLostError], object]) -> None:
        self._runtime, self._on_device_lost = runtime, on_device_lost

    def infer(self, crops: NDArray[np.uint8]) -> Outputs:
        """The network's outputs for (B, S, S, 3) uint8 RGB crops.

        Raises:
            DeviceLostError: the device answers nothing any more.
        """
        try:
            return self._runtime.infer(crops)
        except DeviceLostError as e:
            self._on_device_lost(e)
            raise
