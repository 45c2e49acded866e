"""Every argument of the wrong kind is one clear error that names it; nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from exalign_client import (
    Click,
    Client,
    HeatmapOptions,
    Inside,
    InvalidRequestError,
    LandmarkOptions,
    Polygon,
    PoseOptions,
    SuggestionOptions,
)
from exalign_client.requests.arguments import Landmark

#: A server that nobody asks.
NOWHERE = "127.0.0.1:1"


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(NOWHERE, timeout=1) as connected:
        yield connected


class Anything:
    """What no call takes."""

    def __repr__(self) -> str:
        return "<anything>"


NAMED: dict[str, tuple[str, Callable[[Client], object]]] = {
    "landmarks, list": (r"landmarks: \['nose'\] is no LandmarkOptions", lambda c: c.heatmaps(b"x", landmarks=["nose"])),
    "landmarks, empty": (r"landmarks: \[\] is no LandmarkOptions", lambda c: c.heatmaps(b"x", landmarks=[])),
    "options": ("options: 3 is no HeatmapOptions", lambda c: c.heatmaps(b"x", options=3)),
    "options, dict": ("options: {} is no PoseOptions", lambda c: c.pose(b"x", options={})),
    "heatmaps": ("heatmaps: True is no HeatmapOptions", lambda c: c.predict(b"x", heatmaps=True)),
    "pose": ("pose: True is no PoseOptions", lambda c: c.predict(b"x", pose=True)),
    "image": ("image: a int is no path", lambda c: c.predict(3)),
    "image, zero byte": ("image: ", lambda c: c.predict("a\0b")),
    "boxes": ("boxes: 3 is no list", lambda c: c.predict(b"x", 3)),
    "boxes, one": (r"boxes\[0\]: 1 is not four numbers", lambda c: c.predict(b"x", (1, 2, 3, 4))),
    "boxes, text": ("boxes: 'x' is no list", lambda c: c.pose(b"x", "x")),
    "box": ("box: 3 is not four numbers", lambda c: c.condition(b"x", Click(3, 1, 1), box=3)),
    "detector": ("detector: 3 is no text", lambda c: c.predict(b"x", detector=3)),
    "max_faces": ("max_faces: 'x' is not a whole number", lambda c: c.predict(b"x", max_faces="x")),
    "groups": ("groups: 3 is no list", lambda c: c.predict(b"x", groups=3)),
    "evidence": ("evidence: 3 is no list", lambda c: c.condition(b"x", 3)),
    "evidence, part": (r"evidence\[0\]: a int is no Click", lambda c: c.condition(b"x", [3])),
    "polygon": ("vertices: 3 is no list", lambda c: c.condition(b"x", Inside(3, Polygon(3)))),
    "corner": (r"vertices\[0\]: 1 is no list", lambda c: c.condition(b"x", Inside(3, Polygon((1, 2, 3))))),
    "candidates": ("candidates: 3 is no list", lambda c: c.suggest(b"x", candidates=3)),
    "criterion": (r"criterion: \[\] is none of", lambda c: c.suggest(b"x", criterion=[])),
    "class_ids": ("class_ids: 3 is no list", lambda c: c.exemplars(3)),
    "bundle_id": ("bundle_id: 3 is no text", lambda c: c.exemplars([1], bundle_id=3)),
    "posterior_id": ("posterior_id: 3 is no posterior id", lambda c: c.pose(posterior_id=3)),
    "encoding": (r"options.encoding: \[\] is none of", lambda c: c.heatmaps(b"x", options=HeatmapOptions(encoding=[]))),
    "their landmarks": (
        "options.landmarks: 3 is no list",
        lambda c: c.heatmaps(b"x", options=HeatmapOptions(landmarks=3)),
    ),
    "masses": ("options.interval_masses: 3 is no list", lambda c: c.pose(b"x", options=PoseOptions(3))),
    "top": ("landmarks.top_exemplars: 'x'", lambda c: c.pose(b"x", landmarks=LandmarkOptions(top_exemplars="x"))),
    "timeout": ("timeout: 'x' is not a number", lambda c: c.predict(b"x", timeout="x")),
    "frames": ("frames", lambda c: c.track(3)),
    "suggestion": ("suggestion: 3 is no SuggestionOptions", lambda c: c.track([], suggestion=3)),
    "suggestion's": (
        "suggestion.candidates: 3",
        lambda c: c.track([], suggestion=SuggestionOptions(candidates=3)),
    ),
}


@pytest.mark.parametrize("case", NAMED)
def test_an_argument_of_the_wrong_kind_is_named(case: str, client: Client) -> None:
    expected, call = NAMED[case]
    with pytest.raises(InvalidRequestError, match=expected):
        call(client)


@pytest.mark.parametrize("method", ["predict", "heatmaps", "pose"])
def test_whatever_boxes_are_the_error_is_ours(client: Client, method: str) -> None:
    for boxes in (Anything(), 0.5, "box", np.float32(3), np.array(3), [Anything()], [None], {"x": 1}):
        with pytest.raises(InvalidRequestError, match="boxes"):
            getattr(client, method)(b"x", boxes)


def test_boxes_may_be_an_array(client: Client) -> None:
    from exalign_client.calls import methods

    boxes = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    for method in (methods.predict, methods.heatmaps, methods.pose):
        assert [box.x1 for box in method(b"x", boxes).request.boxes] == [3.0, 7.0]  # type: ignore[attr-defined]


def test_a_landmark_of_any_kind_is_answered_by_name(client: Client) -> None:
    wrong: list[Landmark] = [None, 1.5, [], {}, Anything(), "nos"]  # type: ignore[list-item]
    with pytest.raises(InvalidRequestError) as caught:
        client.heatmaps(b"x", options=HeatmapOptions(landmarks=wrong))
    assert [v.field for v in caught.value.violations] == [f"options.landmarks[{i}]" for i in range(len(wrong))]
