"""A session moves to another bundle at a frame that allows it, and at no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest_asyncio

from drawn_bundles import number_of, write_bundle
from exalign.v1 import track_pb2
from service_fakes import GOOD_BOX, until
from swap_fakes import BundleServer, bundles, serving_bundles
from track_fakes import Talk, click, config, frame


@pytest_asyncio.fixture
async def it(tmp_path: Path) -> AsyncIterator[BundleServer]:
    async with serving_bundles(bundles(tmp_path / "bundles")) as server:
        yield server


def video(it: BundleServer) -> Talk:
    return Talk(it.stub.TrackVideo())


def answered_by(answer: track_pb2.FrameResult | track_pb2.FrameRevision) -> set[int]:
    return {number_of(track.face) for track in answer.tracks}


async def test_it_moves_with_the_frame_that_allows_it_and_its_tracks_go_on(it: BundleServer) -> None:
    talk = video(it)
    await talk.open(config(detection={"max_faces": 2}))
    left, right = (5.0, 5.0, 25.0, 25.0), (35.0, 10.0, 60.0, 35.0)
    await talk.results(frame(0, left, right))
    await it.swap("b1")
    (stays,) = await talk.results(frame(1))
    assert answered_by(stays) == {0}
    await talk.say(frame(2, may_change_model=True))
    changed = await talk.hear("model_changed")
    assert (changed.bundle_id, changed.frame_index) == (it.id_of("b1"), 2)
    moved = await talk.hear("result")
    assert answered_by(moved) == {1}
    assert [track.track_id for track in moved.tracks] == [track.track_id for track in stays.tracks] == [1, 2]
    for before, after in zip(stays.tracks, moved.tracks, strict=True):
        # The face is looked for where it was: nothing has been detected or given anew.
        assert abs(before.face.box.x0 - after.face.box.x0) < 4
    await it.only("b1")
    (last,) = await talk.results(frame(3, may_change_model=True))  # there is no other bundle: no event
    assert answered_by(last) == {1}
    assert (await talk.close()).summary.frames_answered == 4


async def test_a_session_is_resumed_where_it_moved_to_also_with_a_token_of_before(it: BundleServer) -> None:
    talk = video(it)
    await talk.open(config("mine"))
    (old,) = await talk.results(frame(0, GOOD_BOX))
    await it.swap("b1")
    await talk.say(frame(1, may_change_model=True))
    first = await talk.hear("model_changed")
    result = await talk.hear("result")
    await talk.cut()
    for token, bundle in ((old.resume_token, "b0"), (result.resume_token, "b1")):
        await until(lambda: it.sample("exalign_sessions", state="active") == 0)
        again = video(it)
        opened = await again.open(config("mine", token))
        assert (opened.bundle_id, opened.next_frame) == (it.id_of(bundle), 2)
        assert (await again.hear("result")).frame_index == 0
        assert await again.hear("model_changed") == first
        assert await again.hear("result") == result
        await again.cut()
    await until(lambda: it.sample("exalign_sessions", state="active") == 0)
    last = video(it)
    await last.open(config("mine", result.resume_token))
    for kind in ("result", "model_changed", "result"):
        await last.hear(kind)
    (more,) = await last.results(frame(2))
    assert answered_by(more) == {1}
    await last.close()


async def test_frames_within_the_lag_are_revised_by_their_own_bundle_before_it(it: BundleServer) -> None:
    talk = video(it)
    await talk.open(config(smoothing_lag=3))
    for index in range(3):
        await talk.results(frame(index, GOOD_BOX))
    await it.swap("b1")
    await talk.say(frame(3, GOOD_BOX, may_change_model=True))
    for index in range(2):
        revision = await talk.hear("revision")
        assert (revision.frame_index, answered_by(revision)) == (index, {0})
    await talk.hear("model_changed")
    assert answered_by(await talk.hear("result")) == {1}
    for index in range(4, 8):
        await talk.results(frame(index, GOOD_BOX)) if index < 6 else await talk.say(frame(index, GOOD_BOX))
    await talk.call.done_writing()
    rest = await talk.rest()
    revised = [answer.revision for answer in rest if answer.WhichOneof("message") == "revision"]
    assert {revision.frame_index for revision in revised} == {3, 4, 5, 6}
    assert [answered_by(revision) for revision in revised] == [{1}] * len(revised)


async def test_evidence_about_a_frame_of_the_bundle_before_is_too_late(it: BundleServer) -> None:
    talk = video(it)
    await talk.open(config(smoothing_lag=3))
    await talk.results(frame(0, GOOD_BOX))
    await it.swap("b1")
    await talk.say(frame(1, GOOD_BOX, may_change_model=True))
    await talk.hear("model_changed")
    await talk.hear("result")
    await talk.say(track_pb2.PastEvidence(frame_index=0, evidence=[click()]))
    code, details = await talk.refused()
    assert (code, details.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "FRAME_TOO_OLD")


async def test_a_path_holds_the_frames_of_the_last_bundle(it: BundleServer) -> None:
    talk = video(it)
    await talk.open(config(path_frames=10))
    await talk.results(frame(0, GOOD_BOX), frame(1, GOOD_BOX))
    await it.swap("b1")
    await talk.say(frame(2, GOOD_BOX, may_change_model=True))
    await talk.hear("model_changed")
    await talk.hear("result")
    await talk.results(frame(3, GOOD_BOX))
    (path,) = (await talk.close()).paths
    assert list(path.frame_indices) == [2, 3]


async def test_it_stays_where_the_other_bundle_does_not_know_its_detector(it: BundleServer) -> None:
    write_bundle(it.directory / "other", 9, detector="mtcnn")
    talk = video(it)
    await talk.open()
    await talk.results(frame(0, GOOD_BOX))
    await it.swap("other")
    (result,) = await talk.results(frame(1, GOOD_BOX, may_change_model=True))
    assert answered_by(result) == {0}
    await talk.close()
