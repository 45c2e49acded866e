"""A stream that is cut anywhere and resumed answers, bit for bit, as one that never was."""

from __future__ import annotations

import asyncio
import copy
import random
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from exalign.v1 import track_pb2
from exalign_service.track.resume_token import ResumeToken
from service_fakes import GOOD_BOX, PATIENCE, Running, running, until
from service_fakes import config as server_config
from track_fakes import OPTIONS, SCRIPT, config, frame, plain, received, sessions, talk

FRAMES = [m.frame_index for m in SCRIPT if isinstance(m, track_pb2.VideoFrame)]


@dataclass
class Transcript:
    """What a client has of a video, whatever became of its streams."""

    results: dict[int, track_pb2.FrameResult] = field(default_factory=dict)
    revisions: dict[tuple[int, int], bytes] = field(default_factory=dict)
    closed: bytes = b""

    def take(self, answer: Any) -> None:
        """One message. What comes twice must be the same."""
        which = answer.WhichOneof("message")
        if which == "result":
            result = answer.result
            assert self.results.setdefault(result.frame_index, result) == result
        elif which == "revision":
            revision = answer.revision
            if revision.through_frame < max(self.results):
                return  # it comes again: what came after it is here already
            # A later revision of the same frame replaces an earlier one.
            self.revisions[revision.frame_index, revision.through_frame] = revision.SerializeToString()
        elif which == "closed":
            self.closed = answer.closed.SerializeToString()

    @property
    def token(self) -> bytes:
        return self.results[max(self.results)].resume_token if self.results else b""

    def comparable(self) -> tuple[list[bytes], dict[tuple[int, int], bytes], bytes, list[bytes]]:
        results = [self.results[i] for i in sorted(self.results)]
        hashes = [ResumeToken.decode(r.resume_token).state_hash for r in results]
        return plain(results), self.revisions, self.closed, hashes


def script_from(next_frame: int) -> list[Any]:
    """What is left to say: evidence about frames that were answered is said again, for nobody knows if it arrived."""
    return [m for m in SCRIPT if isinstance(m, track_pb2.PastEvidence) or m.frame_index >= next_frame][
        _already(next_frame) :
    ]


def _already(next_frame: int) -> int:
    """Late evidence at the head of the rest that is older than the lag by now."""
    rest = [m for m in SCRIPT if isinstance(m, track_pb2.PastEvidence) or m.frame_index >= next_frame]
    sent_before = 0
    for message in rest:
        if isinstance(message, track_pb2.VideoFrame):
            break
        position = SCRIPT.index(message)
        after = [m for m in SCRIPT[position:] if isinstance(m, track_pb2.VideoFrame) and m.frame_index < next_frame]
        if not after:
            break
        sent_before += 1
    return sent_before


async def watch(live: Running, name: str, cuts: list[int], acks: bool) -> Transcript:
    """Send the video; cut the stream after so many messages were heard, and go on, as often as told."""
    transcript = Transcript()
    for cut in [*cuts, -1]:
        it = talk(live)
        opened = await it.open(config(name, transcript.token, **OPTIONS))
        rest = script_from(opened.next_frame)

        async def send(it: Any = it, rest: list[Any] = rest) -> None:
            for said in rest:
                message = copy.deepcopy(said)  # others say the same
                if acks and isinstance(message, track_pb2.VideoFrame) and transcript.results:
                    message.acked_frame = max(transcript.results)
                await it.say(message)
            await it.call.done_writing()

        sending = asyncio.create_task(send())
        listened = 0
        while listened != cut and (answer := await asyncio.wait_for(it.call.read(), PATIENCE)) is not grpc.aio.EOF:
            transcript.take(answer)
            listened += 1
        if transcript.closed:
            await sending
            return transcript
        await it.cut()
        await asyncio.gather(sending, return_exceptions=True)
        if not transcript.results:
            # Without a token nobody can go on; the name is free once the stream is gone.
            await until(lambda: "active" not in sessions(live))
    raise AssertionError(f"the video never ended: {await it.call.code()} {await it.call.details()}")


async def uncut(live: Running) -> Transcript:
    transcript = await watch(live, "", [], acks=False)
    assert sorted(transcript.results) == FRAMES
    assert [len(transcript.results[i].problems) for i in FRAMES] == [0, 0, 0, 0, 0, 1, 0, 0, 0]
    return transcript


@pytest.mark.parametrize("acks", [False, True])
async def test_a_stream_cut_after_any_message_goes_on_bit_for_bit(live: Running, acks: bool) -> None:
    want = await uncut(live)
    for cut in range(1, 24):
        got = await watch(live, f"cut-{cut}", [cut], acks)
        assert got.comparable() == want.comparable(), cut


@pytest.mark.parametrize("seed", range(6))
async def test_streams_cut_many_times_among_others_go_on_bit_for_bit(live: Running, seed: int) -> None:
    want = await uncut(live)
    chance = random.Random(seed)
    cuts = [[chance.randint(1, 6) for _ in range(4)] for _ in range(5)]
    transcripts = await asyncio.gather(*(watch(live, f"s{i}", cut, acks=bool(i % 2)) for i, cut in enumerate(cuts)))
    for transcript in transcripts:
        assert transcript.comparable() == want.comparable()


async def test_kept_results_come_again_as_they_were_and_acknowledged_ones_do_not(live: Running) -> None:
    it = talk(live)
    await it.open(config("mine"))
    results = await it.results(frame(0, GOOD_BOX), frame(1), frame(2, acked_frame=0), frame(3))
    await it.cut()
    again = talk(live)
    opened = await again.open(config("mine", results[1].resume_token))
    assert (opened.epoch, opened.next_frame) == (2, 4)
    assert [await again.hear("result") for _ in range(3)] == results[1:]
    (later,) = await again.results(frame(4))
    assert ResumeToken.decode(later.resume_token).epoch == 2
    summary = (await again.close()).summary
    assert (summary.frames_received, summary.frames_answered) == (5, 5)


async def test_frames_that_were_received_and_not_answered_are_sent_again_and_counted_once(live: Running) -> None:
    it = talk(live)
    await it.open(config("mine"))
    (first,) = await it.results(frame(0, GOOD_BOX))
    live.runtime.gate.clear()
    await it.say(frame(1), frame(2))
    await until(lambda: live.runtime.held == 1 and received(live) == 4)
    await it.cut()
    await until(lambda: sessions(live) == {"detached": 1})
    live.runtime.gate.set()
    again = talk(live)
    assert (await again.open(config("mine", first.resume_token))).next_frame == 1
    await again.hear("result")
    await again.results(frame(1), frame(2))
    assert (await again.close()).summary.frames_received == 3


async def test_half_closing_again_closes_a_session_whose_last_word_was_lost(live: Running) -> None:
    want = await uncut(live)
    it = talk(live)
    await it.open(config("mine", **OPTIONS))
    for message in SCRIPT:
        await it.say(message)
    transcript = Transcript()
    while max(FRAMES) not in transcript.results:
        transcript.take(await it.call.read())
    await it.cut()
    again = talk(live)
    await again.open(config("mine", transcript.token, **OPTIONS))
    await again.call.done_writing()
    for answer in await again.rest():
        transcript.take(answer)
    assert transcript.comparable() == want.comparable()


async def test_a_resumed_session_may_move_to_another_process_with_its_record(tmp_path: Path) -> None:
    """What the store keeps is all there is: a server that gets the record, and has the keys, goes on bit for bit."""
    keys = tmp_path / "keys"
    keys.write_text(secrets.token_hex(32))
    async with running(tmp_path, server_config(resume_keys=keys)) as live:
        want = await uncut(live)
        it = talk(live)
        await it.open(config("mine", **OPTIONS))
        transcript = Transcript()
        for message in SCRIPT[:5]:
            await it.say(message)
        while 4 not in transcript.results:
            transcript.take(await it.call.read())
        await it.cut()
        await until(lambda: sessions(live) == {"detached": 1})
        record = await live.server.store.get("mine")
    assert record is not None
    async with running(tmp_path, server_config()) as stranger:
        await stranger.server.store.create(record)
        late = talk(stranger)
        await late.say(config("mine", transcript.token, **OPTIONS))
        assert (await late.refused())[1].reason == "SESSION_NOT_FOUND"
    async with running(tmp_path, server_config(resume_keys=keys)) as other:
        await other.server.store.create(record)
        again = talk(other)
        await again.open(config("mine", transcript.token, **OPTIONS))
        for message in script_from(5):
            await again.say(message)
        await again.call.done_writing()
        for answer in await again.rest():
            transcript.take(answer)
    assert transcript.comparable() == want.comparable()
