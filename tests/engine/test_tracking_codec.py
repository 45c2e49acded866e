"""Dataclasses to bytes and back."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exalign_engine.evidence.evidence import (
    BoxMotion,
    Disc,
    Evidence,
    HardClick,
    Polygon,
    PoseRange,
    Rectangle,
    RegionConstraint,
    SoftClick,
)
from exalign_engine.tracking import StateError, StateReason
from exalign_engine.tracking.codec import decode, encode, layout

K = 7


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Point:
    x: float
    y: float


@dataclass(frozen=True)
class Coded:
    """Writes itself."""

    text: str

    def encode(self) -> bytes:
        return self.text.encode()

    @classmethod
    def decode(cls, data: bytes, count: int) -> Coded:
        return cls(f"{data.decode()} of {count}")


@dataclass(frozen=True)
class Everything:
    flag: bool
    number: int
    real: float
    text: str
    raw: bytes
    colour: Colour
    pair: tuple[int, bool]
    mixed: tuple[str, float]
    row: tuple[int, ...]
    points: tuple[Point, ...]
    maybe: float | None
    shape: Point | Coded | None
    f16: NDArray[np.float16]
    f32: NDArray[np.float32]
    f64: NDArray[np.float64]
    i32: NDArray[np.int32]


ARRAYS = ("f16", "f32", "f64", "i32")
reals = st.floats(allow_nan=False)
points = st.builds(Point, reals, reals)
whole = st.integers(-(2**63), 2**63 - 1)
shapes = st.lists(st.integers(0, 3), max_size=3)


def array(kind: type[Any]) -> st.SearchStrategy[NDArray[Any]]:
    return shapes.map(lambda shape: np.random.default_rng(len(shape)).normal(0, 9, shape).astype(kind))


everything = st.builds(
    Everything,
    st.booleans(),
    whole,
    reals,
    st.text(max_size=200),
    st.binary(max_size=200),
    st.sampled_from(Colour),
    st.tuples(whole, st.booleans()),
    st.tuples(st.text(), reals),
    st.lists(whole).map(tuple),
    st.lists(points).map(tuple),
    st.none() | reals,
    st.none() | points,
    array(np.float16),
    array(np.float32),
    array(np.float64),
    array(np.int32),
)


@given(everything)
def test_everything_comes_back_exactly(value: Everything) -> None:
    data = encode(Everything, value)
    again = decode(Everything, data, K)
    for name, old in vars(value).items():
        new = getattr(again, name)
        if name in ARRAYS:
            assert (new.dtype, new.shape, new.tobytes()) == (old.dtype, old.shape, old.tobytes())
            assert new.flags.writeable
        else:
            assert new == old
            assert type(new) is type(old)
    assert encode(Everything, again) == data


@pytest.mark.parametrize("value", [-0.0, math.inf, -math.inf, math.nan, 5e-324])
def test_a_float_keeps_every_bit(value: float) -> None:
    again = decode(Point, encode(Point, Point(value, 0.0)), K)
    assert struct.pack("<d", again.x) == struct.pack("<d", value)


def test_the_form_is_the_stated_one() -> None:
    @dataclass(frozen=True)
    class Small:
        number: int
        name: str
        colour: Colour
        maybe: float | None
        row: tuple[int, ...]
        array: NDArray[np.float16]

    value = Small(-2, "é", Colour.BLUE, None, (3,), np.array([[1.0, 2.0]], np.float16))
    expected = struct.pack("<q", -2) + b"\x02\xc3\xa9" + b"\x01" + b"\x01" + b"\x01" + struct.pack("<q", 3)
    assert encode(Small, value) == expected + b"\x02\x01\x02" + struct.pack("<2e", 1, 2)


@pytest.mark.parametrize("length", [0, 127, 128, 16_383, 16_384])
def test_lengths_of_any_size_are_read(length: int) -> None:
    data = encode(bytes, bytes(length))
    assert len(data) == length + (1 if length < 128 else 2 if length < 16_384 else 3)
    assert decode(bytes, data, K) == bytes(length)


def test_a_class_that_writes_itself_is_asked_and_is_told_how_many_classes_there_are() -> None:
    assert decode(Coded, encode(Coded, Coded("three")), K) == Coded("three of 7")


@dataclass(frozen=True)
class Sentence:
    """One that only looks as if it wrote itself."""

    text: str

    def encode(self) -> bytes:
        raise NotImplementedError


def test_a_class_that_cannot_read_itself_is_written_by_its_fields() -> None:
    assert decode(Sentence, encode(Sentence, Sentence("so")), K) == Sentence("so")


def test_a_tuple_of_one_is_written_as_its_item() -> None:
    assert encode(tuple[int], (-2,)) == struct.pack("<q", -2)
    assert decode(tuple[int], struct.pack("<q", -2), K) == (-2,)


def test_a_wider_number_fits_and_a_rounded_one_is_refused() -> None:
    @dataclass(frozen=True)
    class Halves:
        values: NDArray[np.float16]

    with pytest.raises(TypeError, match="an array of float64 does not fit one of float16"):
        encode(Halves, Halves(np.zeros(3)))

    @dataclass(frozen=True)
    class Doubles:
        values: NDArray[np.float64]

    narrow = np.array([0.1], np.float32)
    again = decode(Doubles, encode(Doubles, Doubles(narrow)), K).values  # type: ignore[arg-type]
    assert (again.dtype, again[0]) == (np.float64, float(narrow[0]))


@pytest.mark.parametrize("kind", [set, complex, dict[str, int], NDArray[np.int64], int | float, Point | float])
def test_an_annotation_without_a_form_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"has no form|have no form|must be dataclasses"):
        encode(kind, None)


@given(everything, st.data())
def test_data_that_end_too_early_are_damaged(value: Everything, data: st.DataObject) -> None:
    whole = encode(Everything, value)
    with pytest.raises(StateError, match="within a value") as caught:
        decode(Everything, whole[: data.draw(st.integers(0, len(whole) - 1))], K)
    assert caught.value.reason is StateReason.DAMAGED


def test_data_that_go_on_are_damaged() -> None:
    with pytest.raises(StateError, match="1 bytes after its end"):
        decode(Point, encode(Point, Point(1.0, 2.0)) + b"x", K)


def test_a_choice_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="2 is none of 2 choices"):
        decode(Colour, b"\x02", K)


def test_the_layout_tells_forms_apart_and_not_names() -> None:
    @dataclass(frozen=True)
    class Place:
        across: float
        down: float

    @dataclass(frozen=True)
    class Swapped:
        x: int
        y: float

    assert layout(Point) == layout(Place) != layout(Swapped)


coordinates = st.floats(-1e5, 1e5)


@given(
    st.lists(st.tuples(st.integers(0, 67), coordinates, coordinates, st.floats(1e-3, 1e3), st.booleans()), max_size=5),
    st.lists(st.tuples(st.integers(0, 67), coordinates, coordinates, st.floats(1, 1e3), st.booleans()), max_size=5),
    st.lists(st.one_of(st.none(), st.tuples(st.floats(-180, 0), st.floats(0, 180))), min_size=3, max_size=3),
    st.sampled_from(BoxMotion),
)
def test_evidence_comes_back_equal(clicks: list[Any], regions: list[Any], angles: list[Any], motion: BoxMotion) -> None:
    some = {n: (HardClick if hard else SoftClick)(n, x, y, s) for n, x, y, s, hard in clicks}
    areas: list[RegionConstraint] = []
    for n, x, y, s, inside in regions:
        corners = ((x, y), (x + s, y), (x, y + s))
        areas += [RegionConstraint(n, r, inside) for r in (Rectangle(x, y, x + s, y + s), Disc(x, y, s))]
        areas.append(RegionConstraint(n, Polygon(corners), inside))
    evidence = Evidence(tuple(some.values()), tuple(areas), (PoseRange(*angles),), motion)
    assert decode(Evidence, encode(Evidence, evidence), K) == evidence
