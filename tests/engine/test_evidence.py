"""Evidence by itself: regions, what may stand together, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from exalign_engine.errors import InvalidInputError
from exalign_engine.evidence.evidence import (
    MAX_POSES,
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

SQUARE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


@pytest.mark.parametrize("region", [Rectangle(0, 0, 1, 1), Polygon(SQUARE), Polygon(SQUARE[::-1])])
def test_a_square_is_a_square_as_a_rectangle_and_as_a_polygon(region: Rectangle | Polygon) -> None:
    points = np.array([(0.5, 0.4), (0.0, 0.5), (1.0, 1.0), (1.5, 0.5), (2.0, 2.0), (0.9, 0.5)])
    expected = [-0.4, 0, 0, 0.5, math.sqrt(2), -0.1]
    np.testing.assert_allclose(region.signed_distance(*points.T), expected, atol=1e-12)


def test_a_polygon_is_filled_by_the_even_odd_rule() -> None:
    star = Polygon(tuple((math.sin(0.8 * math.pi * i), -math.cos(0.8 * math.pi * i)) for i in range(5)))
    assert star.signed_distance(np.array([0.0]), np.array([0.0]))[0] > 0
    assert star.signed_distance(np.array([0.0]), np.array([-0.7]))[0] < 0


def test_a_discs_border_belongs_to_it() -> None:
    np.testing.assert_allclose(Disc(1, 1, 2).signed_distance(np.array([1.0, 3.0, 5.0]), np.ones(3)), [-2, 0, 2])


def test_a_second_different_click_on_one_landmark_names_it() -> None:
    with pytest.raises(InvalidInputError) as raised:
        Evidence((SoftClick(30, 0.5, 0.5, 0.1), SoftClick(8, 0.5, 0.9, 0.1), HardClick(30, 0.5, 0.5, 0.1)))
    assert [v.field for v in raised.value.violations] == ["clicks[2].landmark"]
    assert "is 30, which is clicked already" in str(raised.value)


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(InvalidInputError) as raised:
        Evidence(
            (SoftClick(68, 0, 0, 1), HardClick(1, math.nan, 0, 1), SoftClick(2, 0, 0, 0), HardClick(3, 0, 0, math.inf)),
            (
                RegionConstraint(-1, Disc(0, 0, 1)),
                RegionConstraint(0, Rectangle(1, 0, 0, 1)),
                RegionConstraint(0, Disc(0, 0, -1)),
                RegionConstraint(0, Polygon(SQUARE[:2])),
                RegionConstraint(0, Polygon((*SQUARE, (math.inf, 0.0)))),
            ),
            (PoseRange(yaw=(5, 4)), PoseRange(pitch=(-181, 0)), PoseRange(roll=(0, math.nan))),
        )
    assert [v.field for v in raised.value.violations] == [
        "clicks[0].landmark",
        "clicks[1].position",
        "clicks[2].sigma",
        "clicks[3].radius",
        "regions[0].landmark",
        "regions[1].region",
        "regions[2].region.radius",
        "regions[3].region.vertices",
        "regions[4].region",
        "poses[0].yaw",
        "poses[1].pitch",
        "poses[2].roll",
    ]


def test_too_many_constraints_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"regions: has 69 constraints.*poses: has 9 ranges"):
        Evidence(
            regions=tuple(RegionConstraint(0, Disc(0, 0, 1 + i)) for i in range(69)),
            poses=tuple(PoseRange(yaw=(-i, i)) for i in range(9)),
        )


def kinds(value: object) -> set[type]:
    """Types of all numbers in a constraint."""
    if isinstance(value, tuple | list):
        return {kind for item in value for kind in kinds(item)}
    return {type(value)} if value is None or np.isscalar(value) else kinds(list(vars(value).values()))


def test_normalised_evidence_is_equal_and_its_numbers_are_plain() -> None:
    n, x, y = np.int64(3), np.float32(0.1), np.float64(0.2)
    given = Evidence(
        (SoftClick(n, x, y, 1), HardClick(np.int32(9), 0, 1, y)),
        (
            RegionConstraint(n, Rectangle(x, y, 1, 2), np.bool_(False)),
            RegionConstraint(1, Disc(x, y, 1)),
            RegionConstraint(2, Polygon(tuple((x + i, y * i) for i in range(3)))),
        ),
        (PoseRange(yaw=(x, 5), roll=(np.int64(-3), y)),),
        BoxMotion.FIXED,
    )
    plain = given.normalised()
    assert set(plain.clicks) == set(given.clicks)
    assert set(plain.regions) == set(given.regions)
    assert (plain.poses, plain.box_motion) == (given.poses, given.box_motion)
    assert kinds([*plain.clicks, *plain.regions, *plain.poses]) == {int, float, bool, type(None)}
    assert plain.normalised() == plain


def test_evidence_adds_up_without_repeats_and_the_newest_box_motion_holds() -> None:
    click, disc, turned = SoftClick(30, 0.5, 0.5, 0.1), RegionConstraint(8, Disc(0, 0, 1)), PoseRange(yaw=(0, 5))
    known = Evidence((click,), (disc,), (turned,))
    more = known.adding([click, SoftClick(8, 0.5, 0.9, 0.1)], [disc], [turned], BoxMotion.FIXED)
    assert more == Evidence((click, SoftClick(8, 0.5, 0.9, 0.1)), (disc,), (turned,), BoxMotion.FIXED)
    assert known.union(Evidence((SoftClick(8, 0.5, 0.9, 0.1),), box_motion=BoxMotion.FIXED)) == more


def test_nothing_adds_nothing() -> None:
    known = Evidence((SoftClick(30, 0.5, 0.5, 0.1),), box_motion=BoxMotion.FIXED)
    assert known.adding() is known
    assert known.union(Evidence()) is known


def test_what_contradicts_known_evidence_is_named_by_its_place_in_what_is_added() -> None:
    known = Evidence((SoftClick(30, 0.5, 0.5, 0.1),), poses=tuple(PoseRange(yaw=(0, i)) for i in range(MAX_POSES)))
    added = [SoftClick(8, 0.5, 0.9, 0.1), SoftClick(30, 0.5, 0.6, 0.1)]
    with pytest.raises(InvalidInputError) as raised:
        known.adding(added, poses=[PoseRange(yaw=(0, 1)), PoseRange(yaw=(0, 100))])
    assert [v.field for v in raised.value.violations] == ["clicks[1].landmark", "poses"]
    assert "has 9 different ones with those that the face holds, at most 8" in str(raised.value)
