"""The precision that a network is computed in: as its file holds it, or float32 made of int8 weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from exalign_engine.errors import BundleError, RuntimeUnavailableError
from exalign_engine.runtime.processor import int8_is_exact
from exalign_engine.runtime.registry import RUNTIMES

#: What `--precision` takes; "auto" computes as the file is. fp16 is for runtimes on a GPU.
PRECISIONS = ("auto", "fp32", "fp16", "int8")


#: Weights with more values stay int8 where float32 is derived because int8 is not exact: of one crop, the head's are
#: read once, and reading them takes longer than multiplying. Elsewhere a runtime might round what they meet as well.
_LARGEST = 4 * 2**20

#: What `derived_once` keeps; None outside of its block.
_derived: ContextVar[dict[Path, bytes] | None] = ContextVar("derived", default=None)


@dataclass(frozen=True)
class LoadedNetwork:
    """A network's bytes, ready for a runtime.

    Attributes:
        read: gives the file's contents, or what is derived from them: see `onnx`.
        precision: "f32" or "int8".
        note: what the reason of the runtime says of it; empty where there is nothing to say.
    """

    read: Callable[[], bytes]
    precision: str
    note: str

    @cached_property
    def onnx(self) -> bytes:
        """The network.

        Raises:
            RuntimeUnavailableError: float32 is to be derived, and onnx is not installed.
            BundleError: the file is quantised in another way than ours.
        """
        return self.read()

    def reason(self, chosen: str) -> str:
        """One sentence on runtime and precision."""
        return f"{chosen}; {self.note}" if self.note else chosen


def check_precision_on_cpu(precision: str) -> None:
    """Refuse what no runtime on a CPU computes in.

    Raises:
        RuntimeUnavailableError: the precision is unknown or not for a CPU.
    """
    if precision not in PRECISIONS:
        raise RuntimeUnavailableError(f"precision {precision!r} is unknown; known: {', '.join(PRECISIONS)}")
    if precision == "fp16":
        on_gpu = " and ".join(spec.name for spec in RUNTIMES if spec.on_gpu)
        raise RuntimeUnavailableError(f"precision fp16: is for runtimes {on_gpu}; a CPU takes fp32 or int8")


def load_network(network: Path, precision: str) -> LoadedNetwork:
    """Read a bundle's network in a precision, for a runtime on a CPU.

    Args:
        network: network.onnx, float32 or with int8 weights (`exalign_engine.onnx_graph.int8`).
        precision: one of `PRECISIONS`.

    Raises:
        RuntimeUnavailableError: the precision is unknown or not for a CPU, or the file has no int8 weights.
        BundleError: the file cannot be read.
    """
    check_precision_on_cpu(precision)
    try:
        content = network.read_bytes()
    except OSError as e:
        raise BundleError(network, f"cannot be read: {e.strerror}") from e
    # The operators stand before the weights, by name: no need of onnx to find one.
    if b"DequantizeLinear" not in content:
        if precision == "int8":
            raise RuntimeUnavailableError(
                f"precision int8: {network} holds float32 weights; `exalign-model quantise` makes int8 of them"
            )
        return LoadedNetwork(lambda: content, "f32", "")
    if precision != "fp32":
        return LoadedNetwork(lambda: content, "int8", "int8 as the bundle stores it")
    note = "fp32 derived from the int8 weights that the bundle stores"
    return LoadedNetwork(lambda: _dequantised(network), "f32", note)


@contextmanager
def derived_once() -> Iterator[None]:
    """In this block, float32 is derived from a file once; two runtimes that compute in it share what was derived."""
    token = _derived.set({})
    try:
        yield
    finally:
        _derived.reset(token)


def _dequantised(network: Path) -> bytes:
    known = _derived.get()
    if known is None:
        return _derive(network)
    if network not in known:
        known[network] = _derive(network)
    return known[network]


def _derive(network: Path) -> bytes:
    try:
        from exalign_engine.onnx_graph.onnx_file import dequantise, read_network, write_network
    except ModuleNotFoundError as e:
        raise RuntimeUnavailableError(f"precision fp32: needs {e.name} to derive it from int8; pip install onnx") from e
    try:
        model = dequantise(read_network(network), largest=math.inf if int8_is_exact() else _LARGEST)
    except ValueError as e:
        raise BundleError(network, str(e)) from e
    return write_network(model)
