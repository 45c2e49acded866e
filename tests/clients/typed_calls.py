"""What a type checker must see in both clients. Never run: `make lint` checks it.

A line marked as an error that is none fails the check too (``warn_unused_ignores``), so that a method whose arguments
have become ``Any`` does not pass.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from exalign_client import (
    AsyncClient,
    AsyncTrackStream,
    Click,
    Client,
    Conditional,
    Exemplar,
    Faces,
    HeatmapOptions,
    Model,
    Prediction,
    Suggestions,
    SwappedModel,
    TrackStream,
)


def blocking(client: Client, frames: Iterator[bytes], later: AsyncIterator[bytes]) -> None:
    """Exact answers, and arguments that are checked."""
    assert_type(client.predict(b"", [(1, 2, 3, 4)], max_faces=1, groups=["jaw"], timeout=1.0), Prediction)
    assert_type(client.heatmaps(posterior_id="a", options=HeatmapOptions()), Faces)
    assert_type(client.pose(b""), Faces)
    assert_type(client.condition(b"", Click(30, 1, 2), include_prior=True), Conditional)
    assert_type(client.suggest(b"", criterion="entropy"), Suggestions)
    assert_type(client.exemplars([1]), tuple[Exemplar, ...])
    assert_type(client.model(timeout=1.0), Model)
    assert_type(client.swap_model("b"), SwappedModel)
    assert_type(client.track(frames, live=True), TrackStream)
    client.predict()  # type: ignore[call-arg]
    client.predict(3)  # type: ignore[arg-type]
    client.predict(b"", timeout="1")  # type: ignore[arg-type]
    client.predict(b"", max_face=1)  # type: ignore[call-arg]
    client.suggest(b"", criterion="luck")  # type: ignore[arg-type]
    client.track(later)  # type: ignore[arg-type]


async def asynchronous(client: AsyncClient, frames: Iterator[bytes], later: AsyncIterator[bytes]) -> None:
    """The same with asyncio."""
    assert_type(await client.predict(image=b"", boxes=None, detector="mtcnn"), Prediction)
    assert_type(await client.heatmaps(b""), Faces)
    assert_type(await client.pose(b""), Faces)
    assert_type(await client.condition(b""), Conditional)
    assert_type(await client.suggest(b""), Suggestions)
    assert_type(await client.exemplars([1]), tuple[Exemplar, ...])
    assert_type(await client.model(), Model)
    assert_type(await client.swap_model("b", timeout=1.0), SwappedModel)
    assert_type(client.track(frames), AsyncTrackStream)
    assert_type(client.track(later), AsyncTrackStream)
    await client.predict(3)  # type: ignore[arg-type]
    await client.condition(b"", box_moves=1.5)  # type: ignore[arg-type]
    client.track([3])  # type: ignore[list-item]
