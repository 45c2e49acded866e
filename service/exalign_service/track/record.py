"""The record of one session: all that another stream needs to go on exactly where this one stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from exalign.v1 import track_pb2
from exalign_engine.tracking import FrameAnswer
from exalign_service.access.resume_keys import ResumeKeys
from exalign_service.track.resume_token import NO_FRAME, ResumeToken

Corners = tuple[float, float, float, float]


def session_key(name: str, owner: str) -> str:
    """What tells a session from all others: the names of two owners' sessions may be the same."""
    return f"{name}\n{owner}" if owner else name


@dataclass(frozen=True)
class RetainedAnswer:
    """Answers that may have to be sent again.

    The acknowledgement of a result may have been sent before the revisions after it had arrived. So these are held
    until a later frame is acknowledged.

    Attributes:
        frame: they are forgotten when this frame, or a later one, is acknowledged.
        messages: serialized `TrackVideoResponse`, in the order in which they were sent.
        state_hash: of the state after the frame, where the first message is its result; None: all are revisions.
        about: for the revision of late evidence, its frame and tracks: a later one about the same replaces it.
    """

    frame: int
    messages: tuple[bytes, ...]
    state_hash: bytes | None
    about: tuple[int, ...] = ()


@dataclass(frozen=True)
class FrameCounts:
    """Frames and tracks counted over all streams of a session."""

    answered: int = 0
    skipped: int = 0
    with_problems: int = 0
    opened: int = 0
    lost: int = 0
    detected: int = 0

    def with_frame(self, answer: FrameAnswer, *, skipped: int, with_problems: bool) -> FrameCounts:
        """With one more frame."""
        return FrameCounts(
            self.answered + 1,
            self.skipped + skipped,
            self.with_problems + with_problems,
            self.opened + answer.opened,
            self.lost + answer.lost,
            self.detected + answer.detected,
        )

    def message(self) -> track_pb2.TrackSummary:
        """For `TrackClosed`."""
        return track_pb2.TrackSummary(
            frames_received=self.answered + self.skipped,
            frames_answered=self.answered,
            frames_skipped=self.skipped,
            frames_with_problems=self.with_problems,
            tracks_opened=self.opened,
            tracks_lost=self.lost,
            detector_runs=self.detected,
        )


@dataclass(frozen=True)
class SessionRecord:
    """One session after one frame. Values only; it may be held, compared and stored.

    Attributes:
        name: of the session.
        secret: what its tokens hold and no other session's.
        bundle_id: which bundle answers.
        config: fingerprint of its config; a stream that resumes must bring the same.
        state: the engine's, encoded.
        state_hash: of ``state``.
        epoch: counts the session's streams, from 1.
        frame: newest frame answered.
        size: (height, width) of its pictures; None before the first.
        boxes: (track id, face box in pixels) of the newest answer.
        acked: results up to this frame have arrived.
        acked_hash: state hash of that frame; empty where it is not known.
        retained: what may have to be sent again, in order.
        counts: for the summary.
        owner: whose session it is (`Call.owner`); empty: whoever has its token.
        first_of_bundle: first frame that its bundle has answered, where another one answered before it.
        recording: name of its recording; empty where there is none.
    """

    name: str
    secret: bytes
    bundle_id: str
    config: bytes
    state: bytes
    state_hash: bytes
    epoch: int = 1
    frame: int = NO_FRAME
    size: tuple[int, int] | None = None
    boxes: tuple[tuple[int, Corners], ...] = ()
    acked: int = NO_FRAME
    acked_hash: bytes = b""
    retained: tuple[RetainedAnswer, ...] = ()
    counts: FrameCounts = field(default_factory=FrameCounts)
    owner: str = ""
    first_of_bundle: int = NO_FRAME
    recording: str = ""

    @property
    def key(self) -> str:
        """See `session_key`."""
        return session_key(self.name, self.owner)

    @property
    def version(self) -> tuple[int, int]:
        """Orders what is written: an older one never replaces a newer one."""
        return self.epoch, self.frame

    @property
    def unacked(self) -> int:
        """Results retained."""
        return sum(k.state_hash is not None for k in self.retained)

    @property
    def retained_bytes(self) -> int:
        """Bytes of all that may have to be sent again."""
        return sum(len(m) for k in self.retained for m in k.messages)

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        return len(self.state) + len(self.config) + self.retained_bytes

    def token(self, keys: ResumeKeys) -> bytes:
        """Resumes the session after the newest frame answered."""
        token = ResumeToken(self.name, self.secret, self.epoch, self.frame, self.bundle_id, self.state_hash)
        return token.signed(keys, self.owner).encode()

    def result_of(self, frame: int) -> bytes | None:
        """The retained result of a frame, serialized; None where there is none."""
        return next((k.messages[0] for k in self.retained if k.frame == frame and k.state_hash is not None), None)

    def hash_at(self, frame: int) -> bytes | None:
        """State hash after a frame from which the session could be resumed; None where it is not known."""
        if frame == self.acked:
            return self.acked_hash or None
        return next((k.state_hash for k in self.retained if k.frame == frame and k.state_hash is not None), None)

    def acknowledged(self, frame: int) -> SessionRecord:
        """Without what has arrived, up to and with a frame; the same where nothing is forgotten by that."""
        gone = [k for k in self.retained if k.frame <= min(frame, self.frame)]
        if not gone:
            return self
        rest = self.retained[len(gone) :]
        results = [(k.frame, k.state_hash) for k in gone if k.state_hash is not None]
        if not results:
            return replace(self, retained=rest)
        acked, acked_hash = results[-1]
        return replace(self, retained=rest, acked=acked, acked_hash=acked_hash)

    def answered(self, newer: SessionRecord, messages: Sequence[bytes], before: Sequence[bytes] = ()) -> SessionRecord:
        """With one more frame.

        Args:
            newer: this record with the new frame and what it changed, all but ``retained``.
            messages: the serialized result, then the revisions.
            before: what goes before the result.
        """
        result, *revisions = messages
        entries = [RetainedAnswer(newer.frame, tuple(before), None)] if before else []
        entries.append(RetainedAnswer(newer.frame, (result,), newer.state_hash))
        if revisions:
            entries.append(RetainedAnswer(newer.frame + 1, tuple(revisions), None))
        return replace(newer, retained=(*self.retained, *entries))

    def revised(
        self,
        state: bytes,
        state_hash: bytes,
        revisions: Sequence[tuple[tuple[int, ...], bytes]],
    ) -> SessionRecord:
        """After late evidence.

        Args:
            state: the engine's, encoded.
            state_hash: of ``state``.
            revisions: what each is about, and the serialized message.
        """
        about = {key for key, _ in revisions}
        retained = [k for k in self.retained if k.about not in about]
        retained += [RetainedAnswer(self.frame + 1, (message,), None, key) for key, message in revisions]
        return replace(self, state=state, state_hash=state_hash, retained=tuple(retained))
