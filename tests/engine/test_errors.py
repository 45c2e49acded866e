"""The collector of wrong fields: paths, order, one error."""

from __future__ import annotations

import pytest

from exalign_engine.errors import InvalidInputError, Violations


def test_fields_stand_below_the_path_in_the_order_in_which_they_were_added() -> None:
    violations = Violations("frame")
    violations.at("boxes[0]").at("box").add("x0", "is nan")
    violations.add("image", "is empty")
    violations.at("landmarks").add("[2]", "is 99")
    violations.at("boxes[1]").add("", "is no box")
    assert [v.field for v in violations] == [
        "frame.boxes[0].box.x0",
        "frame.image",
        "frame.landmarks[2]",
        "frame.boxes[1]",
    ]
    assert len(violations.at("anything")) == 4
    with pytest.raises(InvalidInputError) as caught:
        violations.at("anything").raise_if_any()
    assert caught.value.violations == tuple(violations)


def test_nothing_is_raised_where_nothing_was_added() -> None:
    violations = Violations()
    violations.at("a").raise_if_any()
    violations.add("a", "is wrong")
    assert [str(v) for v in violations] == ["a: is wrong"]


def test_an_error_moves_below_a_path() -> None:
    moved = InvalidInputError.of("boxes[0].x0", "is nan").below("frame")
    assert str(moved) == "frame.boxes[0].x0: is nan"
