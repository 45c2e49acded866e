"""Emissions, beliefs and the low-pass: what the HMM takes and keeps, frame by frame, and their bytes.

Values are rounded when they are made. So a session that was stopped, encoded and decoded goes on bit for bit as one
that was not.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64, I32
from exalign_engine.hmm.passes import without
from exalign_engine.posterior.thinning import heaviest_rows

#: Bytes of an encoded belief, at most.
BELIEF_BYTES = 65_536

#: No probability counts for less than e^−20 times the largest of its frame, so that p = 0 cannot kill the chain.
LOG_FLOOR = -20.0

#: Added to a mean before its logarithm is taken.
TINY = 1e-300

#: Weights below are left out; they and 1 fit 16 bits: 5 of exponent, 11 of mantissa.
LEAST_WEIGHT = 2.0**-31

#: Frames that the low-pass takes the mean of.
LOW_PASS_FRAMES = 3

_HEAD = struct.Struct("<4sIBddd")
_BELIEF, _EMISSION = b"XBE2", b"XEM2"
_FLAT, _BITMAP, _LIST, _HALF, _SINGLE = 0, 1, 2, 4, 8
_CODE_BASE = (127 - 31) << 11


@dataclass(frozen=True)
class Emission:
    """One frame's emission.

    Attributes:
        log: (K,) float32, log e_j up to a constant, −∞ allowed but not everywhere; None is flat.
        stay: how much of each exemplar's mass the step into this frame keeps where it is, 0 ≤ stay < 1 (Eq. F2 of
            `exalign_engine.hmm.chain`). Max-product does not use it.

    Raises:
        ValueError: NaN, +∞, or −∞ everywhere; or a ``stay`` out of range.
    """

    log: F32 | None
    stay: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.stay < 1:
            raise ValueError(f"stay is {self.stay}, must be from 0 to below 1")
        # The maximum is NaN if any value is.
        if self.log is not None and not np.isfinite(self.log.max()):
            raise ValueError("an emission needs a finite logarithm, and none that is NaN or above all bounds")

    @classmethod
    def of_probabilities(cls, probabilities: F32, exponent: float = 1.0, stay: float = 0.0) -> Emission:
        """The emission p^exponent, with p floored at `LOG_FLOOR`.

        Args:
            probabilities: (K,) float32 ≥ 0, in any scale.
            exponent: 0 (flat) to 1.
            stay: see the class.

        Raises:
            ValueError: the exponent is outside [0, 1], or no probability is above 0.
        """
        if not 0 <= exponent <= 1:
            raise ValueError(f"exponent is {exponent}, must be from 0 to 1")
        top = probabilities.max()
        if not (np.isfinite(top) and top > 0):
            raise ValueError("no probability is above 0, or one is not finite")
        if exponent == 0:
            return cls(None, stay)
        # Nearly all are at the floor: its logarithm is taken once.
        floor, power = np.full(1, math.exp(LOG_FLOOR), np.float32), np.float32(exponent)
        ratios = probabilities / top
        above = np.flatnonzero(ratios > floor)
        log = np.full(len(ratios), (np.log(floor) * power)[0], np.float32)
        log[above] = np.log(ratios[above]) * power
        return cls(log, stay)

    def with_likelihood(self, log_likelihood: F64) -> Emission:
        """The product with a likelihood.

        Args:
            log_likelihood: (K,) float64, up to a constant; −∞ rules a class out.

        Returns:
            The product; this emission as it was where the product would rule out every class.
        """
        own = 0.0 if self.log is None else self.log.astype(np.float64)
        log = own + log_likelihood
        top = log.max()
        return Emission((log - top).astype(np.float32), self.stay) if top > -np.inf else self

    def truncated(self, members: int) -> Emission:
        """The emission that a state keeps: the best classes in half precision, one floor for all others.

        The floor is the others' mean, so that the total stays. Truncating again to as many members or more changes
        nothing.
        """
        if self.log is None:
            return self
        log = self.log - self.log.max()
        if members >= len(log):
            return Emission(_half(log), self.stay)
        kept = heaviest_rows(log, members)
        low = without(log, kept)
        # All alike, they are a floor already, which must not drift by rounding.
        floor = low[0] if low.max() == low.min() else _log_mean(low)
        cut = np.full(len(log), _half(np.full(1, floor, np.float32))[0])
        cut[kept] = _half(np.maximum(log[kept], floor))
        return Emission(cut, self.stay)

    def encode(self) -> bytes:
        """Small where truncated: 2 bytes a member and at most one bit a class; lossless always."""
        if self.log is None:
            return _HEAD.pack(_EMISSION, 0, _FLAT, 0.0, 0.0, self.stay)
        floor = self.log.min()
        index = np.flatnonzero(self.log > floor).astype(np.int32)
        values = self.log[index]
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        lossless = bool((half.astype(np.float32) == values).all())
        form, packed = _pack(index)
        head = _HEAD.pack(_EMISSION, len(index), form | (_HALF if lossless else _SINGLE), float(floor), 0.0, self.stay)
        return head + packed + (half.astype("<f2") if lossless else values.astype("<f4")).tobytes()

    @classmethod
    def decode(cls, data: bytes, count: int) -> Emission:
        """Read what `encode` wrote, bit for bit.

        Raises:
            ValueError: not an encoded emission over ``count`` classes.
        """
        kept, form, floor, _, stay, at = _head(data, _EMISSION)
        if form == _FLAT:
            return cls(None, stay)
        index, at = _unpack(data, at, kept, form & (_BITMAP | _LIST), count)
        log = np.full(count, floor, np.float32)
        log[index] = _array(data, at, kept, "<f2" if form & _HALF else "<f4", last=True).astype(np.float32)
        return cls(log, stay)


@dataclass(frozen=True)
class Belief:
    """The filter's state after truncation: what is encoded is what is used next.

    Attributes:
        index: (M,) int32 ascending, the classes kept.
        weights: (M,) float32 in (0, 1], their mass above ``rest`` / K, of 12 significant bits (relative error 2⁻¹²).
        rest: mass spread evenly over all K classes.
        cut: mass of the classes that this step's truncation left out, or a bound on it: at most so much is misplaced,
            most of it by no more than what is kept is apart.
        stay: of the emission that led here.
        known: what chains have found out about it, each its own; no part of the value.
    """

    index: I32
    weights: F32
    rest: float
    cut: float
    stay: float = 0.0
    known: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def probabilities(self, count: int) -> F32:
        """(K,) float32 that sums to 1."""
        total = float(self.weights.sum(dtype=np.float64)) + self.rest
        p = np.full(count, self.rest / count / total, np.float32)
        p[self.index] += (self.weights / total).astype(np.float32)
        return p

    def encode(self) -> bytes:
        """At most `BELIEF_BYTES` bytes from a `Chain`: 2 a class kept, and one bit a class or 4 bytes a class kept.

        Kept once made.
        """
        return self._encoded

    @cached_property
    def _encoded(self) -> bytes:
        form, packed = _pack(self.index)
        head = _HEAD.pack(_BELIEF, len(self.index), form, self.rest, self.cut, self.stay)
        return head + packed + _codes(self.weights).astype("<u2").tobytes()

    @classmethod
    def decode(cls, data: bytes, count: int) -> Belief:
        """Read what `encode` wrote, bit for bit.

        Raises:
            ValueError: not an encoded belief over ``count`` classes.
        """
        kept, form, rest, cut, stay, at = _head(data, _BELIEF)
        index, at = _unpack(data, at, kept, form, count)
        return cls(index, _weights(_array(data, at, kept, "<u2", last=True)), rest, cut, stay)


@dataclass(frozen=True)
class LowPass:
    """The paper's other temporal smoothing (§4.1): the mean of the landmarks of the last three frames.

    Attributes:
        frames: (F, 68, 2) float64, image frame, pixels; oldest first, F from 0 to `LOW_PASS_FRAMES`.

    Raises:
        ValueError: ``frames`` has another shape.
    """

    frames: F64

    def __post_init__(self) -> None:
        shape = self.frames.shape
        if len(shape) != 3 or shape[0] > LOW_PASS_FRAMES or shape[2] != 2:
            raise ValueError(f"frames have shape {shape}, must be (0 to {LOW_PASS_FRAMES}, landmarks, 2)")

    @classmethod
    def empty(cls, landmarks: int = 68) -> LowPass:
        """Before the first frame, or after a cut."""
        return cls(np.zeros((0, landmarks, 2)))

    def push(self, points: F64) -> LowPass:
        """The state after a frame whose posterior means are ``points``, (68, 2), image frame."""
        return LowPass(np.concatenate([self.frames[1 - LOW_PASS_FRAMES :], np.asarray(points, np.float64)[None]]))

    @property
    def points(self) -> F64:
        """(68, 2) the answer for the last frame pushed."""
        return np.asarray(self.frames.mean(axis=0), dtype=np.float64)


def _log_mean(log: F32) -> np.float32:
    """log of the mean of exp; of those that are as small as the smallest, the exponential is taken once."""
    places = np.flatnonzero(log > log.min())
    exps = np.exp(np.append(log[places], log.min()), dtype=np.float64)
    spread = np.full(len(log), exps[-1])
    spread[places] = exps[:-1]
    return np.float32(math.log(float(spread.mean()) + TINY))


def _half(log: F32) -> F32:
    """What is left of it in half precision, as float32."""
    with np.errstate(over="ignore"):
        return log.astype(np.float16).astype(np.float32)


def most_members(count: int) -> int:
    """How many of ``count`` classes a belief can keep within `BELIEF_BYTES`, whichever they are."""
    room = BELIEF_BYTES - _HEAD.size - 4
    return max((room - -(-count // 8)) // 2, room // 6)


def rounded(weights: F64) -> F32:
    """float32 of 12 significant bits: what 16-bit codes hold."""
    bits = weights.astype(np.float32).view(np.uint32)
    return ((bits + np.uint32(0x800)) & np.uint32(0xFFFFF000)).view(np.float32)


def shares(belief: Belief) -> tuple[F64, float]:
    """What a belief's classes hold and its rest, of a total of 1."""
    total = float(belief.weights.sum(dtype=np.float64)) + belief.rest
    return belief.weights.astype(np.float64) / total, belief.rest / total


def values_at(index: I32, values: F64, wanted: I32) -> F64:
    """The values at wanted classes, 0 where a class is not in the index, (M,) ascending."""
    if not len(index):
        return np.zeros(len(wanted))
    place = np.minimum(np.searchsorted(index, wanted), len(index) - 1)
    return np.where(index[place] == wanted, values[place], 0.0)


def _codes(weights: F32) -> NDArray[np.uint16]:
    """Codes of rounded weights from `LEAST_WEIGHT` to 1: 12 mantissa and 3 exponent bits less than float32."""
    return ((weights.view(np.uint32) >> np.uint32(12)) - np.uint32(_CODE_BASE)).astype(np.uint16)


def _weights(codes: NDArray[np.uint16]) -> F32:
    """Inverse of `_codes`."""
    return ((codes.astype(np.uint32) + np.uint32(_CODE_BASE)) << np.uint32(12)).view(np.float32)


def _pack(index: I32) -> tuple[int, bytes]:
    """A set of classes, (M,) ascending, as bits or as a list, whichever is shorter: form, bytes."""
    span = int(index[-1]) // 8 + 1 if len(index) else 0
    if span < 4 * len(index):
        bits = np.zeros(8 * span, np.uint8)
        bits[index] = 1
        return _BITMAP, struct.pack("<I", span) + np.packbits(bits).tobytes()
    return _LIST, index.astype("<i4").tobytes()


def _unpack(data: bytes, at: int, kept: int, form: int, count: int) -> tuple[I32, int]:
    """Inverse of `_pack`: the classes, and where to read on."""
    if form == _BITMAP:
        span = int(_array(data, at, 1, "<u4")[0])
        index = np.flatnonzero(np.unpackbits(_array(data, at + 4, span, "u1"))).astype(np.int32)
        at += 4 + span
    else:
        index = _array(data, at, kept, "<i4").astype(np.int32)
        at += 4 * kept
    if len(index) != kept or (kept and (index[0] < 0 or index[-1] >= count or (np.diff(index) <= 0).any())):
        raise ValueError(f"not {kept} ascending classes below {count}")
    return index, at


def _head(data: bytes, magic: bytes) -> tuple[int, int, float, float, float, int]:
    """Number of classes, form, three numbers, and where to read on."""
    if len(data) < _HEAD.size or data[:4] != magic:
        raise ValueError(f"not an encoded {'belief' if magic == _BELIEF else 'emission'}")
    _, kept, form, first, second, third = _HEAD.unpack_from(data)
    return kept, form, first, second, third, _HEAD.size


def _array(data: bytes, at: int, count: int, dtype: str, last: bool = False) -> NDArray[Any]:
    """So many numbers from a place; ``last``: nothing may follow."""
    size = np.dtype(dtype).itemsize * count
    if len(data) < at + size or (last and len(data) != at + size):
        raise ValueError(f"{len(data)} bytes, must be {'' if last else 'at least '}{at + size}")
    return np.frombuffer(data, dtype, count, at)
