"""The protocol of TrackVideo as a model: what a server knows of each session, and what it must say next.

It is written from the contract (track.proto), not from the server. It knows nothing of pictures and shapes: only which
messages there are, in which order, and how a stream ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from grpc import StatusCode

#: Before the first frame.
NO_FRAME = -1


@dataclass(frozen=True)
class Ending:
    """How a call, or a stream, ends.

    Attributes:
        code: status.
        reason: ErrorInfo.reason; empty: it is not looked at.
        fields: paths in BadRequest; None: they are not looked at.
    """

    code: StatusCode
    reason: str = ""
    fields: frozenset[str] | None = None

    @classmethod
    def invalid(cls, *fields: str) -> Ending:
        """INVALID_ARGUMENT that names exactly these fields."""
        return cls(StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", frozenset(fields))

    @classmethod
    def not_now(cls, reason: str) -> Ending:
        """FAILED_PRECONDITION."""
        return cls(StatusCode.FAILED_PRECONDITION, reason)


OK = Ending(StatusCode.OK)
DENIED = Ending(StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
FORBIDDEN = Ending(StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
EXISTS = Ending(StatusCode.ALREADY_EXISTS, "SESSION_EXISTS")
GONE = Ending(StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
TAKEN_OVER = Ending.not_now("SESSION_TAKEN_OVER")


@dataclass(frozen=True)
class GivenToken:
    """A resume token.

    Attributes:
        data: its bytes.
        session: whose.
        frame: after which it resumes.
        bundle: that answered that frame.
    """

    data: bytes
    session: Session
    frame: int
    bundle: str


@dataclass(eq=False)
class Session:
    """What a server knows of a session.

    Attributes:
        name: of it.
        owner: its caller.
        config: without name and token, as bytes.
        lag: smoothing lag.
        live: whether the newest frame wins.
        most_faces: tracks.
        bundle: that answers.
        first_of_bundle: first frame of that bundle, where there was another one before.
        epoch: of its newest stream.
        frame: newest answered.
        acked: newest of those that need not be kept.
        retained: results by frame, as they were sent.
        answered: frames.
        skipped: frames.
        recent: answered frames that take late evidence.
        size: (width, height) of its pictures.
        tracked: whether the newest answer holds a track.
        closed: whether it has ended.
    """

    name: str
    owner: str
    config: bytes
    lag: int
    live: bool
    most_faces: int
    bundle: str
    first_of_bundle: int = NO_FRAME
    epoch: int = 1
    frame: int = NO_FRAME
    acked: int = NO_FRAME
    retained: dict[int, bytes] = field(default_factory=dict)
    answered: int = 0
    skipped: int = 0
    recent: tuple[int, ...] = ()
    size: tuple[int, int] | None = None
    tracked: bool = False
    closed: bool = False
    tokens: list[GivenToken] = field(default_factory=list)

    def acknowledge(self, frame: int) -> None:
        """Results up to a frame have arrived."""
        for index in [index for index in self.retained if index <= frame]:
            del self.retained[index]
            self.acked = max(self.acked, index)

    def answer(self, index: int, result: bytes, token: bytes) -> None:
        """A frame was answered."""
        self.frame = index
        self.answered += 1
        self.retained[index] = result
        self.recent = (*self.recent, index)[-(self.lag + 1) :]
        self.tokens.append(GivenToken(token, self, index, self.bundle))

    def move(self, bundle: str, index: int) -> None:
        """Another bundle answers from a frame on."""
        self.bundle, self.first_of_bundle, self.recent = bundle, index, ()

    def resend(self, index: int) -> Ending | None:
        """How a stream ends with a frame from the past; None: its result is sent again."""
        if index in self.retained:
            return None
        return Ending.not_now("RESULT_NOT_KEPT" if index <= self.acked else "FRAME_OUT_OF_ORDER")

    def late_evidence(self, index: int) -> Ending | None:
        """How a stream ends with evidence about a frame; None: it does not, but where the face was not there then."""
        if index > self.frame:
            return Ending.invalid("past_evidence.frame_index")
        if not self.tracked:
            return Ending.invalid("past_evidence.evidence")
        if not self.lag or not self.recent or index < self.recent[0]:
            return Ending.not_now("FRAME_TOO_OLD")
        if index not in self.recent:
            return Ending.invalid("past_evidence.frame_index")
        return None


@dataclass
class Sessions:
    """All sessions of a conversation, by owner and name: the newest of each name."""

    by_name: dict[tuple[str, str], Session] = field(default_factory=dict)

    def open(self, session: Session) -> None:
        """A session was opened."""
        self.by_name[session.owner, session.name] = session

    def opening(self, owner: str, name: str) -> Ending | None:
        """How a stream ends that asks for a new session; None: it is opened."""
        known = self.by_name.get((owner, name))
        return EXISTS if known is not None and not known.closed else None

    def resuming(self, token: GivenToken, owner: str, name: str, config: bytes) -> list[Ending | None]:
        """How a stream may end that brings a token and a config that are right in themselves; None: it is resumed."""
        if owner != token.session.owner:
            return [GONE]
        if name and name != token.session.name:
            return [Ending.not_now("TOKEN_OTHER_SESSION")]
        known = self.by_name[owner, token.session.name]
        if known.closed:
            # Another server may have both, the bundle and the session.
            return [GONE, Ending.not_now("TOKEN_OTHER_BUNDLE")]
        if known is not token.session:
            return [Ending.not_now("TOKEN_OTHER_SESSION")]
        if token.bundle != known.bundle and token.frame >= known.first_of_bundle:
            return [Ending.not_now("TOKEN_OTHER_BUNDLE")]
        if config != known.config:
            return [Ending.not_now("CONFIG_DIFFERS")]
        if token.frame < known.acked:
            return [Ending.not_now("TOKEN_TOO_OLD")]
        return [None]
