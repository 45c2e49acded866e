"""TrackVideo when all goes well: results, repeats, problems, evidence, the last word."""

from __future__ import annotations

import pytest

from exalign.v1 import evidence_pb2, face_pb2, service_pb2, track_pb2
from service_fakes import GOOD_BOX, Running, encoded, picture, until
from track_fakes import click, config, frame, plain, sessions, talk, talking

VISIBLE, HIDDEN = track_pb2.TRACK_STATE_VISIBLE, track_pb2.TRACK_STATE_HIDDEN


async def test_every_frame_is_answered_and_the_session_is_closed(live: Running) -> None:
    it = talk(live)
    opened = await it.open(config("mine"))
    assert (opened.session_id, opened.epoch, opened.next_frame) == ("mine", 1, 0)
    assert opened.bundle_id == "b" * 64
    assert opened.idle_timeout.ToSeconds() == 60
    assert opened.max_age.ToSeconds() == 3600
    results = await it.results(frame(0, GOOD_BOX), *(frame(i) for i in range(1, 5)))
    assert [r.frame_index for r in results] == list(range(5))
    assert [r.media_time.ToSeconds() for r in results] == list(range(5))
    for result in results:
        (track,) = result.tracks
        assert track.track_id == 1
        assert len(track.face.landmarks.points) == 136
        assert track.face.posterior_id == ""
        assert 0 <= track.visible_probability <= 1
        assert not track.HasField("evidence_outcome")
        assert result.latency.ToTimedelta().total_seconds() >= result.timing.hmm_seconds > 0
        assert not result.problems
    assert results[0].tracks[0].face.box_source == face_pb2.BOX_SOURCE_CALLER
    assert results[1].tracks[0].face.box_source == face_pb2.BOX_SOURCE_TRACK
    assert sessions(live) == {"active": 1}
    closed = await it.close()
    closed.summary.ClearField("detector_runs")  # each picture is another one: a cut
    assert closed.summary == track_pb2.TrackSummary(frames_received=5, frames_answered=5, tracks_opened=1)
    await until(lambda: sessions(live) == {})
    assert live.sample("exalign_frame_latency_seconds_count") == 5
    assert live.sample("exalign_stage_seconds_count", stage="hmm", method="TrackVideo") >= 5
    assert live.sample("exalign_faces_total", method="TrackVideo") == 5
    outcomes = {"answered": 5, "problem": 0, "skipped": 0}
    assert {name: live.sample("exalign_frames_total", outcome=name) for name in outcomes} == outcomes


async def test_a_face_is_detected_at_the_start(live: Running) -> None:
    live.detector.faces = [((10, 10, 40, 40), 0.9)]
    async with talking(live) as it:
        (first,) = await it.results(frame(0))
        assert first.tracks[0].face.box_source == face_pb2.BOX_SOURCE_DETECTOR
        assert first.tracks[0].face.source_box.detector == "mtcnn"
        assert first.timing.detect_seconds > 0
        closed = await it.close()
    assert closed.summary.detector_runs == 1


async def test_the_server_names_a_session_that_has_no_name(live: Running) -> None:
    names = set()
    for _ in range(3):
        it = talk(live)
        names.add((await it.open()).session_id)
        await it.close()
    assert len(names) == 3
    assert all(names)


async def test_views_are_given_for_every_frame_as_asked_for(live: Running) -> None:
    asked = config()
    asked.landmarks.top_exemplars = 2
    asked.heatmaps.landmarks.append(30)
    asked.pose.interval_masses.append(0.9)
    async with talking(live, asked) as it:
        (result,) = await it.results(frame(3, GOOD_BOX))
    face = result.tracks[0].face
    assert len(face.posterior.top_exemplars) == 2
    assert [h.landmark for h in face.heatmaps.heatmaps] == [30]
    assert len(face.pose.intervals) == 1


async def test_a_repeated_frame_gets_the_kept_result_and_moves_nothing(live: Running) -> None:
    async with talking(live) as it:
        results = await it.results(frame(0, GOOD_BOX), frame(1), frame(5))
        # As it was kept, though this frame says something else.
        again = await it.results(frame(1, (0.0, 0.0, 60.0, 40.0)), frame(0), frame(5))
        assert again == [results[1], results[0], results[2]]
        after = await it.results(frame(6))
    async with talking(live) as it:
        assert plain(await it.results(frame(0, GOOD_BOX), frame(1), frame(5), frame(6)))[-1:] == plain(after)


@pytest.mark.parametrize(
    ("data", "field", "says"),
    [
        (b"no picture", "image.encoded", "is not a readable AVIF, JPEG"),
        (b"", "image.encoded", "is empty"),
        (encoded(picture(32, 32)), "image", "is 32 × 32 pixels, all frames of the session must have 64 × 48"),
    ],
)
async def test_a_picture_that_cannot_be_used_counts_as_occluded(
    live: Running, data: bytes, field: str, says: str
) -> None:
    async with talking(live) as it:
        _, bad, good = await it.results(frame(0, GOOD_BOX), frame(1, data=data), frame(2))
        closed = await it.close()
    (problem,) = bad.problems
    assert problem.field == field
    assert says in problem.description
    assert not good.problems
    assert closed.summary.frames_with_problems == 1
    assert live.sample("exalign_frames_total", outcome="problem") == 1
    undecodable = "all frames of the session" not in problem.description
    assert live.sample("exalign_undecodable_pictures_total", method="TrackVideo") == undecodable
    async with talking(live) as it:
        _, hidden, after = await it.results(frame(0, GOOD_BOX), frame(1, occluded=True), frame(2))
    del bad.problems[:]
    assert plain([bad, good]) == plain([hidden, after])


async def test_a_problem_in_the_first_frame_is_none_for_the_second(live: Running) -> None:
    async with talking(live) as it:
        first, second = await it.results(frame(0, GOOD_BOX, data=b"no picture"), frame(1, GOOD_BOX))
    assert not first.tracks
    assert first.problems
    assert second.tracks
    assert not second.problems


async def test_evidence_in_a_frame_is_taken_and_reported(live: Running) -> None:
    async with talking(live) as it:
        first, second, third = await it.results(
            frame(0, GOOD_BOX, evidence=[click(30, 25, 25)]), frame(1, evidence=[click(30, 26, 25, sigma=1)]), frame(2)
        )
    for result in (first, second):
        (track,) = result.tracks
        assert track.evidence_outcome == evidence_pb2.EVIDENCE_OUTCOME_CONDITIONED
        assert track.surprise > 0
    assert first.tracks[0].face.landmarks.points[60:62] == pytest.approx([25, 25], abs=0.5)
    assert not third.tracks[0].HasField("evidence_outcome")


async def test_evidence_where_there_is_no_face_is_a_problem(live: Running) -> None:
    async with talking(live) as it:
        first, second = await it.results(frame(0, evidence=[click()]), frame(1, GOOD_BOX))
    assert [p.field for p in first.problems] == ["evidence"]
    assert second.tracks


async def test_smoothing_revises_and_late_evidence_too(live: Running) -> None:
    async with talking(live, config(smoothing_lag=2)) as it:
        await it.results(frame(0, GOOD_BOX), frame(1))
        await it.say(frame(2))
        await it.hear("result")
        revision = await it.hear("revision")
        assert (revision.frame_index, revision.through_frame) == (0, 2)
        assert revision.cause == track_pb2.REVISION_CAUSE_SMOOTHING
        await it.say(track_pb2.PastEvidence(frame_index=1, evidence=[click(radius=30)]))
        by_evidence = [await it.hear("revision") for _ in range(3)]
        assert [r.frame_index for r in by_evidence] == [0, 1, 2]
        assert {r.cause for r in by_evidence} == {track_pb2.REVISION_CAUSE_EVIDENCE}
        assert by_evidence[1].tracks[0].HasField("evidence_outcome")
        await it.call.done_writing()
        *revisions, last = await it.rest()
        assert [r.revision.frame_index for r in revisions] == [1]
        assert last.closed.summary.frames_answered == 3


async def test_path_and_suggestions_are_told_at_the_end(live: Running) -> None:
    asked = config(path_frames=3)
    asked.suggestion.max_suggestions = 2
    async with talking(live, asked) as it:
        await it.results(frame(0, GOOD_BOX), *(frame(i) for i in range(1, 5)))
        closed = await it.close()
    (path,) = closed.paths
    assert list(path.frame_indices) == [2, 3, 4]
    assert len(path.class_ids) == 3
    assert len(path.points) == 3 * 136
    assert len(closed.suggestions) == 2
    assert {s.track_id for s in closed.suggestions} == {1}


async def test_a_heartbeat_comes_back(live: Running) -> None:
    async with talking(live) as it:
        await it.say(track_pb2.Heartbeat(sequence=7))
        assert (await it.hear("heartbeat")).sequence == 7


@pytest.mark.parametrize(
    "model", [track_pb2.TEMPORAL_MODEL_PER_FRAME, track_pb2.TEMPORAL_MODEL_LOW_PASS, track_pb2.TEMPORAL_MODEL_FILTER]
)
async def test_every_temporal_model_answers(live: Running, model: track_pb2.TemporalModel.ValueType) -> None:
    async with talking(live, config(temporal_model=model)) as it:
        results = await it.results(frame(0, GOOD_BOX), frame(1), frame(2, occluded=True), frame(3))
    assert [len(r.tracks) for r in results] == [1] * 4


async def test_limits_of_sessions_are_told(live: Running) -> None:
    limits = (await live.stub.GetModel(service_pb2.GetModelRequest())).limits
    assert (limits.max_sessions, limits.max_unacked_frames) == (128, 64)
    assert (limits.max_smoothing_lag, limits.max_path_frames) == (30, 256)
    assert limits.session_idle_timeout.ToSeconds() == 60
    assert limits.session_max_age.ToSeconds() == 3600
    assert (limits.session_grace.ToSeconds(), limits.session_retention.ToSeconds()) == (10, 60)
    assert (limits.max_sessions_per_caller, limits.max_resumable_bytes) == (64, 128 * 2**20)
    assert (limits.max_unacked_bytes, limits.max_message_rate, limits.message_burst) == (16 * 2**20, 250, 500)
    assert limits.max_tracks == 64


async def test_no_limit_is_left_unsaid(live: Running) -> None:
    """Every field of Limits is set: a bound of 0 would be one that nothing passes."""
    limits = (await live.stub.GetModel(service_pb2.GetModelRequest())).limits
    assert {field.name for field, _ in limits.ListFields()} == {field.name for field in limits.DESCRIPTOR.fields}
