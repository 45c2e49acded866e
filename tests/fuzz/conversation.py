"""One conversation with a real server: streams and single calls in any order, each step compared with the model.

Every step sends something and hears all that must come of it, so that the next one begins where nothing is on its way.
"""

from __future__ import annotations

from random import Random
from typing import Any

import frame_grammar
from call_rules import Calls, ServerView
from conversation_client import Client, ConversationError, EndedError, Stream, cut
from exalign.v1 import service_pb2, track_pb2
from frame_grammar import WrittenFrame
from fuzzed_server import CALLERS, NOBODY
from open_talk import MOST_WAITING, Talk, compare, forged
from protocol_model import DENIED, NO_FRAME, TAKEN_OVER, Ending, GivenToken, Session, Sessions

Said = service_pb2.TrackVideoRequest

#: What may come between other messages: better answers to earlier frames.
REVISIONS = ("revision",)


class Conversation:
    """See the module.

    Args:
        client: over which it is held.
        known: of the server.
        name: of its own, for its sessions.
    """

    def __init__(self, client: Client, known: ServerView, name: str) -> None:
        self._client, self.known, self._name = client, known, name
        self._sessions, self._names = Sessions(), 0
        self.talks: list[Talk] = []
        self.tokens: list[GivenToken] = []

    async def call(self, random: Random) -> None:
        """A single call of any method."""
        asked = Calls(random, self.known).any()
        answer = await self._client.call(asked.path, asked.data, asked.caller, asked.expected, asked.echoed)
        if answer is not None:
            asked.answered(answer)

    async def open(self, random: Random) -> None:
        """A stream that asks for a new session."""
        caller = random.choice((*CALLERS, "alice", "alice", NOBODY))
        written, name = frame_grammar.config(random), self._chosen_name(random)
        wrong = set(written.wrong)
        if random.random() < 0.03:
            name = random.choice(("a b", "x" * 65, "é"))
            wrong.add("config.session_id")
        if random.random() < 0.03:
            await self._without_config(random)
            return
        message = track_pb2.TrackConfig()
        message.CopyFrom(written.message)
        message.session_id = name
        if random.random() < 0.03:
            message.resume_token = random.choice((b"x", b"XT2", bytes(90)))
            wrong.add("config.resume_token")
        expected = DENIED if caller == NOBODY else Ending.invalid(*wrong) if wrong else None
        if expected is None and name:
            expected = self._sessions.opening(caller, name)
        stream = self._client.stream(caller)
        if expected is not DENIED:  # of whom nothing is read: what is sent may find the stream at its end
            await stream.say(Said(config=message))
        if expected is not None:
            await stream.ends([expected])
            return
        opened = (await stream.hear("opened")).opened
        compare("session", opened.session_id, name or opened.session_id)
        compare("bundle", opened.bundle_id, self.known.current)
        compare("epoch and frame", (opened.epoch, opened.next_frame), (1, 0))
        session = Session(
            name=opened.session_id,
            owner=caller,
            config=written.message.SerializeToString(deterministic=True),
            lag=written.message.smoothing_lag,
            live=written.message.mode == track_pb2.TRACK_MODE_LIVE,
            most_faces=written.message.detection.max_faces,
            bundle=opened.bundle_id,
        )
        self._sessions.open(session)
        self.talks.append(Talk(stream, session))

    async def resume(self, random: Random) -> None:
        """A stream that brings a resume token, perhaps one that does not fit."""
        token = random.choice(self.tokens[-8:])
        session = token.session
        caller, name, data = session.owner, random.choice(("", session.name)), token.data
        message, false = track_pb2.TrackConfig.FromString(session.config), False
        change = random.random()
        if change < 0.06:
            caller = random.choice([one for one in CALLERS if one != caller])
        elif change < 0.12:
            name = f"{self._name}-other"
        elif change < 0.18:
            message.path_frames = (message.path_frames + 1) % 5
        elif change < 0.26:
            data, false = forged(data, random), True
        message.session_id, message.resume_token = name, data
        bare = track_pb2.TrackConfig()
        bare.CopyFrom(message)
        bare.ClearField("session_id")
        bare.ClearField("resume_token")
        config = bare.SerializeToString(deterministic=True)
        if false:
            gone = self._sessions.resuming(token, NOBODY, name, config)
            expected = list(gone)
        else:
            expected = self._sessions.resuming(token, caller, name, config)
        stream = self._client.stream(caller)
        await stream.say(Said(config=message))
        if expected != [None]:
            await stream.ends([one for one in expected if one is not None])
            return
        await self._resumed(stream, token)

    async def frames(self, talk: Talk, random: Random) -> None:
        """Some frames, one by one or all at once; perhaps the last of them is wrong."""
        count = random.choice((1, 1, 2, 3))
        if not talk.session.live:
            count = min(count, max(talk.room, 0) + MOST_WAITING - len(talk.waiting))
        else:
            count = min(count, talk.room)
        written = [self._written(talk, random) for _ in range(max(count, 0))]
        for place, frame in enumerate(written):
            if frame.wrong:
                written = written[: place if talk.waiting or talk.room <= place else place + 1]
                break
        wrong = written.pop() if written and written[-1].wrong else None
        if talk.session.live:
            await self._live(talk, written, random)
        else:
            await self._lossless(talk, written, random)
        if wrong is not None and not talk.waiting:
            await talk.stream.say(Said(frame=wrong.message))
            await self._end(talk, [Ending.invalid(*wrong.wrong)])

    async def again(self, talk: Talk, random: Random) -> None:
        """A frame from the past."""
        session = talk.session
        if session.frame == NO_FRAME or talk.waiting:
            return
        index = random.choice([*session.retained, random.randint(0, session.frame)])
        ending = session.resend(index)
        await talk.stream.say(Said(frame=track_pb2.VideoFrame(frame_index=index, occluded=True)))
        if ending is not None:
            await self._end(talk, [ending])
            return
        message = await talk.stream.hear("result", REVISIONS)
        compare("a result sent again", message.SerializeToString(), session.retained[index])

    async def acknowledge(self, talk: Talk, random: Random) -> None:
        """Results have arrived; what waited for that is answered."""
        session = talk.session
        frame = random.choice([*session.retained, session.frame, session.frame])
        # Nothing in advance: then it would depend on the clock which of the frames to come is kept.
        message = track_pb2.TrackAck() if random.random() < 0.05 else track_pb2.TrackAck(acked_frame=frame)
        await talk.stream.say(Said(ack=message))
        if message.HasField("acked_frame"):
            session.acknowledge(frame)
        await self._answered(talk)
        await self.heartbeat(talk, random)  # nothing is on its way after that

    async def heartbeat(self, talk: Talk, random: Random) -> None:
        """It is answered at once, after all that was said before."""
        sequence = random.choice((0, 1, -1, 2**63 - 1, random.randrange(2**31)))
        await talk.stream.say(Said(heartbeat=track_pb2.Heartbeat(sequence=sequence)))
        message = await talk.stream.hear("heartbeat", REVISIONS)
        compare("heartbeat", message.heartbeat.sequence, sequence)

    async def evidence(self, talk: Talk, random: Random) -> None:
        """Evidence about a frame already sent."""
        session = talk.session
        if talk.waiting or not session.retained:
            return
        index = random.choice((*session.recent, session.frame, session.frame + 2, random.randint(0, session.frame)))
        message = track_pb2.PastEvidence(frame_index=index)
        landmark = random.randrange(68)
        click: Any = {"landmark": landmark, "position": frame_grammar.PLACES[landmark], "sigma": 2.0}
        ending = session.late_evidence(index)
        if random.random() < 0.1:
            ending = Ending.invalid("past_evidence.evidence")
        else:
            message.evidence.add(track_id=0, evidence={"clicks": [click]})
        await talk.stream.say(Said(past_evidence=message))
        if ending is not None:
            await self._end(talk, [ending])
            return
        # Its revisions are known to have come when the newest result comes once more.
        newest = max(session.retained)
        try:
            await talk.stream.say_if_open(Said(frame=track_pb2.VideoFrame(frame_index=newest, occluded=True)))
        except EndedError as e:
            if e.lost:
                self._left(talk)
                return
        while (found := await talk.stream.next()) is not None:
            if found.WhichOneof("message") == "result":
                compare("a result sent again", found.SerializeToString(), session.retained[newest])
                return
            compare("kind of an answer to evidence", found.WhichOneof("message"), "revision")
        # The face was not there in that frame.
        await self._end(talk, [Ending.invalid("past_evidence.evidence[0].track_id")])

    async def wrong(self, talk: Talk, random: Random) -> None:
        """What no client should say."""
        if talk.waiting:
            return
        malformed = Ending(Ending.invalid().code)
        kinds: list[tuple[bytes | Said, Ending]] = [
            (Said(config=track_pb2.TrackConfig()), Ending.not_now("CONFIG_TWICE")),
            (Said(), Ending.invalid("message")),
            (b"\xff" * 5, malformed),
            (b"\x12\x7f", malformed),
        ]
        said, ending = random.choice(kinds)
        await talk.stream.say(said)
        await self._end(talk, [ending])

    async def close(self, talk: Talk) -> None:
        """Half-close: what is left is answered, and the session is over."""
        if talk.waiting:
            talk.stream.cancel()
            self._left(talk)
            return
        session = talk.session
        await talk.stream.half_close()
        closed = (await talk.stream.hear("closed", REVISIONS)).closed
        summary = closed.summary
        compare("frames answered", summary.frames_answered, session.answered)
        compare("frames skipped", summary.frames_skipped, session.skipped)
        await talk.stream.ends([Ending(code=_OK)])
        session.closed = True
        self._left(talk)

    async def cut(self, talk: Talk) -> None:
        """Break the stream; the session stays."""
        talk.stream.cancel()
        self._left(talk)

    async def finish(self, random: Random) -> None:
        """End all streams."""
        for talk in list(self.talks):
            await (self.close(talk) if random.random() < 0.7 else self.cut(talk))

    # What comes.

    async def _lossless(self, talk: Talk, written: list[WrittenFrame], random: Random) -> None:
        session = talk.session
        for frame in written:
            if not talk.waiting and session.retained and random.random() < 0.6:
                frame.message.acked_frame = random.choice(list(session.retained))
                session.acknowledge(frame.message.acked_frame)
            await talk.stream.say(Said(frame=frame.message))
            talk.waiting.append(frame)
            if random.random() < 0.5:
                await self._answered(talk)
        await self._answered(talk)

    async def _answered(self, talk: Talk) -> None:
        """Hear the results of all frames that do not wait for acknowledgements."""
        while talk.waiting and talk.room > 0:
            await self._result(talk, talk.waiting.pop(0))

    async def _live(self, talk: Talk, written: list[WrittenFrame], random: Random) -> None:
        """Frames at once: newer ones may take the place of those that wait."""
        if not written:
            return
        for frame in written:
            await talk.stream.say(Said(frame=frame.message))
        left = {frame.message.frame_index: frame for frame in written}
        last = written[-1].message.frame_index
        while left:
            message = await self._next_result(talk)
            result = message.result
            compare("is a frame that was sent", result.frame_index in left, True)
            answered = left.pop(result.frame_index)
            for index in result.skipped_frames:
                compare("skipped is a frame that was sent", index in left, True)
                del left[index]
            talk.session.skipped += len(result.skipped_frames)
            self._take(talk, answered, message)
            if result.frame_index == last:
                compare("frames without an answer", sorted(left), [])

    async def _result(self, talk: Talk, frame: WrittenFrame) -> None:
        message = await self._next_result(talk)
        compare("frame answered", message.result.frame_index, frame.message.frame_index)
        compare("skipped", list(message.result.skipped_frames), [])
        self._take(talk, frame, message)

    async def _next_result(self, talk: Talk) -> Any:
        while (message := await talk.stream.next()) is not None:
            kind = message.WhichOneof("message")
            if kind == "result":
                return message
            if kind == "model_changed":
                session, changed = talk.session, message.model_changed
                compare("bundle of a move", changed.bundle_id, self.known.current)
                compare("a move from", session.bundle != changed.bundle_id, True)
                session.move(changed.bundle_id, changed.frame_index)
            elif kind != "revision":
                raise ConversationError(f"{kind} came, must be result: {message}")
        raise await cut(talk.stream.call, "no result came")

    def _take(self, talk: Talk, frame: WrittenFrame, message: Any) -> None:
        session, result = talk.session, message.result
        # What a session has not seen yet decides its size, also where its first frames came all at once.
        unfit = frame.size is not None and session.size is not None and frame.size != session.size
        if frame.problem is not None:
            compare(f"problems {result.problems}", bool(result.problems), frame.problem or unfit)
        compare("tracks", len(result.tracks) <= session.most_faces, True)
        if frame.boxed and not unfit:
            compare("a track where there is a box", len(result.tracks) > 0, True)
        if frame.size is not None and session.size is None:
            session.size = frame.size
        session.tracked = bool(result.tracks)
        session.answer(result.frame_index, message.SerializeToString(), result.resume_token)
        self.tokens.append(session.tokens[-1])

    async def _resumed(self, stream: Stream, token: GivenToken) -> None:
        """A stream has the session of a token; the one that had it is told."""
        session = token.session
        opened = (await stream.hear("opened")).opened
        before = next((talk for talk in self.talks if talk.session is session), None)
        if before is not None:
            before.waiting.clear()
            await self._end(before, [TAKEN_OVER])
        session.epoch += 1
        compare("epoch", opened.epoch, session.epoch)
        compare("next frame", opened.next_frame, session.frame + 1)
        compare("session", opened.session_id, session.name)
        compare("bundle", opened.bundle_id, token.bundle)
        for index, result in session.retained.items():
            message = await stream.hear("result", (*REVISIONS, "model_changed"))
            compare(f"result {index} sent again", message.SerializeToString(), result)
        self.talks.append(Talk(stream, session, session.frame))

    async def _end(self, talk: Talk, expected: list[Ending]) -> None:
        await talk.stream.ends(expected, REVISIONS)
        self._left(talk)

    def _left(self, talk: Talk) -> None:
        self.talks.remove(talk)

    # What is said.

    def _written(self, talk: Talk, random: Random) -> WrittenFrame:
        session = talk.session
        talk.newest = max(talk.newest, session.frame) + random.choice((1, 1, 1, 2, 6))
        # Frames that are on their way may have a picture that decides the size.
        size = session.size or next((frame.size for frame in talk.waiting if frame.size), None)
        return frame_grammar.frame(random, talk.newest, size, session.most_faces, tracked=session.tracked)

    async def _without_config(self, random: Random) -> None:
        stream = self._client.stream("alice")
        first = random.choice((Said(ack=track_pb2.TrackAck()), Said(), None))
        if first is None:
            await stream.half_close()
        else:
            await stream.say(first)
        await stream.ends([Ending.not_now("CONFIG_MISSING")])

    def _chosen_name(self, random: Random) -> str:
        """The name of a session: a new one, the server's choice, or one that there is."""
        self._names += 1
        known = [name for _, name in self._sessions.by_name]
        if known and random.random() < 0.15:
            return random.choice(known)
        return random.choice(("", f"{self._name}-{self._names}"))


_OK = Ending.invalid().code.OK
