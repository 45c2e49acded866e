"""Plain values to bytes and back: little-endian, every number exact, nothing that is executed when it is read."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from exalign_engine.tracking.errors import StateError, StateReason

T = TypeVar("T")


class Writer:
    """Collects values; `Reader` takes them out again in the same order."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def bytes_of(self) -> bytes:
        """Everything written so far."""
        return b"".join(self._parts)

    def integer(self, value: int) -> None:
        """A signed 64-bit number."""
        self._parts.append(struct.pack("<q", value))

    def flag(self, value: bool) -> None:
        """One byte."""
        self._parts.append(b"\x01" if value else b"\x00")

    def real(self, value: float) -> None:
        """A float64."""
        self._parts.append(struct.pack("<d", value))

    def blob(self, value: bytes) -> None:
        """Bytes, with their length."""
        self._parts.append(struct.pack("<I", len(value)))
        self._parts.append(value)

    def text(self, value: str) -> None:
        """UTF-8, with its length."""
        self.blob(value.encode())

    def reals(self, value: NDArray[np.float64]) -> None:
        """A flat float64 array, with its length."""
        self.blob(np.ascontiguousarray(value, dtype="<f8").tobytes())

    def halves(self, value: NDArray[np.float16]) -> None:
        """A flat float16 array, with its length."""
        self.blob(np.ascontiguousarray(value, dtype="<f2").tobytes())

    def integers(self, value: NDArray[np.int32]) -> None:
        """A flat int32 array, with its length."""
        self.blob(np.ascontiguousarray(value, dtype="<i4").tobytes())

    def optional(self, value: T | None, write: Callable[[T], None]) -> None:
        """A flag, and the value if there is one."""
        self.flag(value is not None)
        if value is not None:
            write(value)


class Reader:
    """Takes out what a `Writer` wrote.

    Args:
        data: all of it.

    Raises:
        StateError: DAMAGED, from any method, where the data end too early.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def _take(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        if len(piece) != size:
            raise StateError(StateReason.DAMAGED, f"ends after {len(self._data)} bytes, within a value")
        self._at += size
        return piece

    def close(self) -> None:
        """Nothing may be left."""
        left = len(self._data) - self._at
        if left:
            raise StateError(StateReason.DAMAGED, f"holds {left} bytes after its end")

    def integer(self) -> int:
        """See `Writer.integer`."""
        return int(struct.unpack("<q", self._take(8))[0])

    def flag(self) -> bool:
        """See `Writer.flag`."""
        return self._take(1) != b"\x00"

    def real(self) -> float:
        """See `Writer.real`."""
        return float(struct.unpack("<d", self._take(8))[0])

    def blob(self) -> bytes:
        """See `Writer.blob`."""
        return self._take(int(struct.unpack("<I", self._take(4))[0]))

    def text(self) -> str:
        """See `Writer.text`."""
        return self.blob().decode()

    def reals(self) -> NDArray[np.float64]:
        """See `Writer.reals`."""
        return np.frombuffer(self.blob(), dtype="<f8").astype(np.float64)

    def halves(self) -> NDArray[np.float16]:
        """See `Writer.halves`."""
        return np.frombuffer(self.blob(), dtype="<f2").astype(np.float16)

    def integers(self) -> NDArray[np.int32]:
        """See `Writer.integers`."""
        return np.frombuffer(self.blob(), dtype="<i4").astype(np.int32)

    def optional(self, read: Callable[[], T]) -> T | None:
        """See `Writer.optional`."""
        return read() if self.flag() else None
