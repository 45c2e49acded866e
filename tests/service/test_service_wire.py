"""Answers that are made of parts read as if they had been written whole, and hold up nobody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exalign.v1 import face_pb2, heatmap_pb2, service_pb2, track_pb2
from exalign_service.responses import wire
from exalign_service.responses.wire import WrittenFace, field_parts, message_parts, serialized
from service_fakes import GOOD_BOX, Running, request
from track_fakes import config, frame, plain, talking

FACES = st.lists(
    st.builds(
        face_pb2.Face,
        presence=st.none() | st.floats(0, 1, width=32),
        posterior_id=st.just(""),
        heatmaps=st.builds(
            heatmap_pb2.Heatmaps,
            # On both sides of lengths that take one, two and three bytes to write.
            heatmaps=st.lists(
                st.builds(
                    heatmap_pb2.Heatmap,
                    landmark=st.integers(0, 67),
                    dense=st.builds(heatmap_pb2.DenseCells, float32=st.sampled_from([0, 100, 130, 20_000]).map(bytes)),
                ),
                max_size=2,
            ),
        ),
    ),
    max_size=4,
)


@given(FACES)
def test_faces_that_are_written_apart_read_as_a_whole_answer(faces: list[face_pb2.Face]) -> None:
    rest = service_pb2.PredictHeatmapsResponse(bundle_id="b", faces_left_out=3)
    written = [WrittenFace.of(face) for face in faces]
    parts = [serialized(rest)]
    for i, face in enumerate(written):
        parts += field_parts(type(rest), "faces", face.parts(f"{i:024}"))
        assert face.size == sum(map(len, face.parts(f"{i:024}")))
    for i, message in enumerate(faces):
        message.posterior_id = f"{i:024}"
    rest.faces.extend(faces)
    assert service_pb2.PredictHeatmapsResponse.FromString(b"".join(parts)) == rest
    summaries = [face.summary.presence if face.summary.HasField("presence") else None for face in written]
    assert summaries == [face.presence if face.HasField("presence") else None for face in faces]


@given(st.integers(0, 5), st.integers(-1, 2**62))
def test_a_message_in_parts_reads_as_the_whole(tracks: int, number: int) -> None:
    whole = track_pb2.FrameRevision(
        frame_index=number, through_frame=7, tracks=[track_pb2.Track(track_id=i) for i in range(tracks)]
    )
    apart = track_pb2.FrameRevision()
    apart.CopyFrom(whole)
    parts = field_parts(service_pb2.TrackVideoResponse, "revision", message_parts(apart, "tracks"))
    assert service_pb2.TrackVideoResponse.FromString(b"".join(parts)).revision == whole
    assert not apart.tracks


async def test_large_answers_are_those_of_small_ones(live: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they are put together on the event loop or in a thread."""
    answers, results = [], []
    for large in (2**40, 0):
        monkeypatch.setattr("exalign_service.methods.faces.LARGE", large)
        monkeypatch.setattr("exalign_service.track.conversation.LARGE", large)
        answer = await live.stub.PredictLandmarks(request(GOOD_BOX, GOOD_BOX))
        for face in answer.faces:
            assert len(face.posterior_id) == 24
            face.posterior_id = ""
        answers.append(list(answer.faces))
        async with talking(live, config(smoothing_lag=1)) as it:
            await it.say(frame(0, GOOD_BOX), frame(1, acked_frame=0), frame(2))
            found = [await it.hear(kind) for kind in ("result", "result", "revision", "result", "revision")]
            results.append((plain([found[0], found[1], found[3]]), found[2], found[4]))
            await it.close()
    assert answers[0] == answers[1]
    assert results[0] == results[1]


def test_what_is_large_is_more_than_an_ordinary_answer() -> None:
    assert wire.LARGE > 64 * 3000
