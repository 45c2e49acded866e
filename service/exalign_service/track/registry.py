"""The sessions of one server: how many, whose they are, and what becomes of them when their stream ends.

A session has at most one stream. Its record is in the store from the first moment; a stream that ends without having
closed its session leaves the record there, to be resumed for a while. A stream that resumes a session fences off the
one that had it: first in the store, so that nothing of the old one is kept any more, then by ending it.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

from exalign.v1 import track_pb2
from exalign_engine import Aligner, LocatedFace
from exalign_engine.hmm.chain import Chain
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.tracking import Frame, SessionOptions, StateError, SuggestionWish, TrackingSession
from exalign_service.config.schema import SessionsConfig
from exalign_service.methods.pipeline import Pipeline, StageClock
from exalign_service.rpc.errors import (
    GoneAwayError,
    NotServingError,
    PreconditionError,
    SessionExistsError,
    SessionsFullError,
)
from exalign_service.rpc.lifecycle import Lifecycle
from exalign_service.track.record import SessionRecord
from exalign_service.track.requests import TrackOptions
from exalign_service.track.resume_checks import check_record, check_token, state_error_to_precondition
from exalign_service.track.resume_token import SECRET_BYTES, ResumeToken, state_hash
from exalign_service.track.store import SessionStore

T = TypeVar("T")

#: When to try again where there are as many sessions as there may be, seconds.
_RETRY_AFTER = 1.0

#: Random bytes in a name that is chosen here.
_NAME_BYTES = 12


class Tracker:
    """Makes the engine's sessions. All of it blocks, and may be called from any thread.

    Args:
        aligner: the model.
    """

    def __init__(self, aligner: Aligner) -> None:
        self._aligner = aligner

    @cached_property
    def chain(self) -> Chain:
        """The transitions between the exemplars; built when first needed, which takes a moment."""
        bundle = self._aligner.bundle
        return Chain(bundle.exemplars.shapes, bundle.manifest.tau)

    def warm_up(self, place: LocatedFace, row: FaceOutputs) -> None:
        """Follow a face through a few frames that all look like ``row``, so that no caller waits for a compiler."""
        session = self.new(SessionOptions(smoothing_lag=1, path_frames=2))
        size = (math.ceil(float(place.box[3])), math.ceil(float(place.box[2])))
        for index in range(3):
            pending = session.begin(Frame(index, size, boxes=((0, place),)))
            places = session.places(pending, ())
            session.finish(pending, [row] * len(places))
        session.close(SuggestionWish())
        self.restore(session.encode(), session.options)

    def new(self, options: SessionOptions) -> TrackingSession:
        """A session that has seen nothing."""
        return TrackingSession(self._aligner, self.chain, options)

    def restore(self, state: bytes, options: SessionOptions) -> TrackingSession:
        """A session as it was.

        Raises:
            StateError: the state is damaged, or of another version, bundle or options.
        """
        return TrackingSession.decode(state, self._aligner, self.chain, options)


class Stream(Protocol):
    """What the registry wants of a stream."""

    #: Set when everything of the stream's has ended.
    gone: asyncio.Event

    def end(self, error: Exception) -> None:
        """End with this error, now."""

    def go_away(self, reason: track_pb2.GoAwayReason.ValueType, grace: float) -> None:
        """Tell the client to move on; nothing is cut."""


class SessionsObserver(Protocol):
    """Hears how many sessions have a stream."""

    def sessions_changed(self, active: int, draining: int) -> None:
        """So many streams go on; so many have been told to go away."""


@dataclass(frozen=True)
class Admitted:
    """A session that belongs to a stream.

    Attributes:
        record: where it stands.
        session: the engine's.
    """

    record: SessionRecord
    session: TrackingSession


class SessionRegistry:
    """All sessions of one server. For the event loop's thread only.

    Args:
        config: how many there may be.
        store: where their records are kept.
        tracker: makes the engine's part.
        pipeline: where that runs.
        lifecycle: none is opened before the server is warm, nor while it drains.
        observer: see `SessionsObserver`.
    """

    def __init__(
        self,
        config: SessionsConfig,
        store: SessionStore,
        tracker: Tracker,
        pipeline: Pipeline,
        lifecycle: Lifecycle,
        observer: SessionsObserver,
    ) -> None:
        self.config, self.store, self.tracker = config, store, tracker
        self._pipeline, self._lifecycle, self._observer = pipeline, lifecycle, observer
        #: The stream that has each session, by name. Streams that were fenced off are not here any more.
        self._streams: dict[str, Stream] = {}
        #: Every stream that has not ended, with the name of its session; those that were told to go among them.
        self._alive: dict[Stream, str] = {}
        self._told: set[Stream] = set()
        #: What each stream may write to in the store.
        self._leases: dict[Stream, SessionRecord] = {}

    async def admit(self, stream: Stream, options: TrackOptions) -> Admitted:
        """Give a stream the session that it asks for. `leave` must follow, whatever happens.

        Raises:
            NotServingError: the server is not serving.
            SessionsFullError: there are as many sessions as there may be.
            SessionExistsError: a live session has the name.
            SessionNotFoundError: the session to be resumed is gone.
            PreconditionError: the token, or the config with it, does not fit the session.
        """
        if not self._lifecycle.serving:
            raise NotServingError(f"the server is {self._lifecycle.phase.value}")
        if options.token is None:
            return await self._open(stream, options)
        return await self._resume(stream, options, options.token)

    async def leave(self, stream: Stream, *, closed: bool) -> None:
        """A stream has ended; its session, too, where it was ``closed``. Once for every stream, whatever happened."""
        lease = self._leases.pop(stream, None)
        name = self._alive.pop(stream, None)
        if name is not None and self._streams.get(name) is stream:
            del self._streams[name]
        self._told.discard(stream)
        stream.gone.set()
        self._changed()
        if lease is None:
            return
        if closed:
            await self.store.delete(lease)
        else:
            await self.store.release(lease)

    def told_to_go(self, stream: Stream) -> None:
        """A stream was told to go away."""
        if stream in self._alive:
            self._told.add(stream)
            self._changed()

    def drain(self, grace: float) -> None:
        """Tell every client to move on within ``grace`` seconds."""
        for stream in tuple(self._alive):
            stream.go_away(track_pb2.GO_AWAY_REASON_DRAIN, grace)

    async def close(self) -> None:
        """End every stream, wait until all of each has ended, and forget what would not outlive the process."""
        for stream in tuple(self._alive):
            stream.end(GoneAwayError("the server is shutting down"))
        while self._alive:
            await next(iter(self._alive)).gone.wait()
        await self.store.close()

    async def _open(self, stream: Stream, options: TrackOptions) -> Admitted:
        name = options.name or secrets.token_urlsafe(_NAME_BYTES)
        if name in self._streams:
            raise SessionExistsError(f"config.session_id: a live session is called {name!r}; resume it with its token")
        self._take_place(stream, name)
        session, state = await self._run(self._new, options.session)
        record = SessionRecord(
            name=name,
            secret=secrets.token_bytes(SECRET_BYTES),
            bundle_id=self._pipeline.aligner.bundle.id,
            config=options.fingerprint,
            state=state,
            state_hash=state_hash(state),
        )
        await self.store.create(record)
        self._leases[stream] = record
        return Admitted(record, session)

    async def _resume(self, stream: Stream, options: TrackOptions, token: ResumeToken) -> Admitted:
        name = token.session
        check_token(token, options, self._pipeline.aligner.bundle.id)
        check_record(token, options, await self.store.get(name))
        old = self._streams.get(name)
        self._take_place(stream, name)
        claimed = await self.store.claim(name, token.secret)
        if claimed is not None:
            self._leases[stream] = claimed
        if old is not None:
            old.end(PreconditionError("SESSION_TAKEN_OVER", f"session {name!r} goes on in a later stream"))
            await old.gone.wait()
        # Once more: the earlier stream may have gone on until it was fenced off.
        record = check_record(token, options, claimed)
        try:
            session = await self._run(self.tracker.restore, record.state, options.session)
        except StateError as e:
            raise state_error_to_precondition(e) from e
        return Admitted(record, session)

    def _take_place(self, stream: Stream, name: str) -> None:
        """Reserve a name and one of the places; a session that is taken over has its place already.

        Raises:
            SessionsFullError: there is none.
        """
        if name not in self._streams and len(self._streams) >= self.config.max_sessions:
            raise SessionsFullError(self.config.max_sessions, _RETRY_AFTER)
        self._streams[name] = stream
        self._alive[stream] = name
        self._changed()

    async def _run(self, work: Callable[..., T], *args: object) -> T:
        return await self._pipeline.run_stage(StageClock(), "hmm", work, *args)

    def _new(self, options: SessionOptions) -> tuple[TrackingSession, bytes]:
        session = self.tracker.new(options)
        return session, session.encode()

    def _changed(self) -> None:
        self._observer.sessions_changed(len(self._alive) - len(self._told), len(self._told))
