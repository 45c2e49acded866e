"""The asyncio client against the real server: every view at once, the same as the blocking client gets in turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from exalign_client import AsyncClient, Client
from exalign_client.errors import InvalidRequestError, NotFoundError
from exalign_client.requests.evidence import Click, EvidenceOutcome, PoseRange
from exalign_client.requests.views import HeatmapOptions, PoseOptions
from exalign_client.results.faces import Face
from exalign_client.transport.local_server import LocalServer

CHIN, NOSE_TIP = 8, 30


@pytest_asyncio.fixture
async def aclient(server: LocalServer) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.address) as connected:
        yield connected


@pytest.fixture(scope="module")
def face(client: Client, astronaut: bytes) -> Face:
    """The astronaut's face, kept by the server."""
    (found,) = client.predict(astronaut)
    return found


async def test_all_views_at_once_are_those_of_one_call_after_the_other(
    aclient: AsyncClient, client: Client, face: Face
) -> None:
    name = face.posterior_id
    x, y = (float(v) for v in face.landmarks[CHIN] + (4, 3))
    maps, pose = HeatmapOptions(landmarks=[CHIN, NOSE_TIP], width=32, height=24), PoseOptions([0.9])
    click = Click(CHIN, x, y, sigma=1.0)
    heat, turned, given, next_, shapes = await asyncio.gather(
        aclient.heatmaps(posterior_id=name, options=maps),
        aclient.pose(posterior_id=name, options=pose),
        aclient.condition(posterior_id=name, evidence=[click], include_prior=True, pose=pose),
        aclient.suggest(posterior_id=name, max_suggestions=3),
        aclient.exemplars([face.map_class_id]),
    )

    (a,), (b,) = heat, client.heatmaps(posterior_id=name, options=maps)
    assert a.heatmaps is not None
    assert b.heatmaps is not None
    np.testing.assert_array_equal(a.heatmaps.masses, b.heatmaps.masses)
    assert a.heatmaps.masses.shape == (2, 24, 32)

    (a,), (b,) = turned, client.pose(posterior_id=name, options=pose)
    assert a.pose is not None
    assert b.pose is not None
    assert (a.pose.yaw, a.pose.pitch, a.pose.roll) == (b.pose.yaw, b.pose.pitch, b.pose.roll)
    assert a.pose.intervals == b.pose.intervals
    assert a.pose.intervals[0].mass == pytest.approx(0.9)

    same = client.condition(posterior_id=name, evidence=[click], include_prior=True, pose=pose)
    assert given.outcome is same.outcome is EvidenceOutcome.CONDITIONED
    assert given.surprise == same.surprise
    np.testing.assert_array_equal(given.face.landmarks, same.face.landmarks)
    assert given.prior is not None
    np.testing.assert_array_equal(given.prior.landmarks, face.landmarks)
    assert given.face.landmarks[CHIN] == pytest.approx((x, y), abs=1e-2)

    again = client.suggest(posterior_id=name, max_suggestions=3)
    assert next_.suggestions == again.suggestions
    assert len(next_.suggestions) == 3

    (exemplar,) = shapes
    (known,) = client.exemplars([face.map_class_id])
    assert exemplar.class_id == face.map_class_id
    np.testing.assert_array_equal(exemplar.points, known.points)


async def test_evidence_may_rest_on_an_earlier_answer(aclient: AsyncClient, face: Face) -> None:
    first = await aclient.suggest(posterior_id=face.posterior_id)
    best = first.suggestions[0].landmark
    x, y = (float(v) for v in face.landmarks[best])
    given = await aclient.condition(posterior_id=face.posterior_id, evidence=[Click(best, x, y)])
    then = await aclient.suggest(posterior_id=given.face.posterior_id)
    assert best not in {s.landmark for s in then.suggestions}


async def test_one_call_from_the_picture_carries_every_view(aclient: AsyncClient, astronaut: bytes) -> None:
    (face,) = await aclient.predict(astronaut, heatmaps=HeatmapOptions(landmarks=["nose_tip"]), pose=PoseOptions())
    assert face.heatmaps is not None
    assert face.pose is not None
    assert face.pose.histogram is not None
    assert face.pose.histogram.masses.sum() + face.pose.histogram.mass_outside == pytest.approx(1, abs=1e-4)


async def test_impossible_evidence_is_flagged(aclient: AsyncClient, face: Face) -> None:
    given = await aclient.condition(posterior_id=face.posterior_id, evidence=[PoseRange(roll=(170, 180))])
    assert given.outcome is EvidenceOutcome.IMPOSSIBLE
    assert given.surprise is None
    assert np.isfinite(given.face.landmarks).all()


async def test_what_is_wrong_is_named(aclient: AsyncClient, face: Face) -> None:
    with pytest.raises(NotFoundError, match="send the image again"):
        await aclient.pose(posterior_id="x" * 32)
    with pytest.raises(InvalidRequestError) as caught:
        await aclient.pose(posterior_id=face.posterior_id, options=PoseOptions([0.5, 1.5], roll_bins=181))
    fields = {v.field for v in caught.value.violations}
    assert any("interval_masses[1]" in f for f in fields)
    assert any("roll_bins" in f for f in fields)
    for class_id in (-1, 10**8):
        with pytest.raises(InvalidRequestError, match="class_ids"):
            await aclient.exemplars([class_id])
