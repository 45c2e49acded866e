"""A command that answers in its own process answers what a server does, in all but its times and names."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from exalign_client import Click, Client, PoseOptions
from exalign_client.json_form import Json
from exalign_service.in_process.answerer import answer_here


@pytest.fixture(scope="module")
def here() -> Iterator[Client]:
    """A client of a server in this process."""
    said: list[str] = []
    with answer_here("127.0.0.1:0", said.append) as address, Client(address, timeout=600) as client:
        assert said == ["loading the model"]
        yield client


def without_times(answer: Json) -> Json:
    """The answer without times, and without the names of what a server keeps."""
    match answer:
        case dict():
            return {k: without_times(v) for k, v in answer.items() if k not in ("timing", "posterior_id")}
        case list():
            return [without_times(item) for item in answer]
    return answer


def test_the_answers_are_the_servers_own(client: Client, here: Client, astronaut: bytes) -> None:
    calls = (
        lambda c: c.predict(astronaut, pose=PoseOptions()),
        lambda c: c.heatmaps(astronaut),
        lambda c: c.condition(astronaut, Click("nose_tip", 228, 128)),
        lambda c: c.suggest(astronaut),
    )
    for call in calls:
        assert without_times(call(here).to_json()) == without_times(call(client).to_json())


def test_the_model_is_the_servers_own_and_its_limits_but_for_time(client: Client, here: Client) -> None:
    served, own = client.model(), here.model()
    assert own.bundle_id == served.bundle_id
    assert own.runtime.name == served.runtime.name
    assert own.limits.max_deadline == 3600
    assert own.limits.max_pixels == served.limits.max_pixels


def test_a_video_is_followed_as_by_the_server(client: Client, here: Client, astronaut: bytes) -> None:
    def followed(c: Client) -> list[np.ndarray]:
        with c.track([astronaut] * 3, timeout=600) as video:
            return [event.tracks[0].face.landmarks for event in video]

    for own, served in zip(followed(here), followed(client), strict=True):
        assert (own == served).all()
