"""The sessions of one server: how many there are, which stream has each, and what happens when a stream ends.

A session has at most one stream. Its record is in the store from the start. A stream that ends without closing its
session leaves the record there, to be resumed for a while. A stream that resumes a session fences off the stream that
had it: first in the store, which then refuses what the old stream writes, then by ending the old stream.

No caller has more than its share of the sessions, and no caller gets another's session by its name alone. Where callers
have names (`Call.owner`), none gets another's at all: each has names of its own for sessions.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from exalign.v1 import track_pb2
from exalign_engine.tracking import SessionOptions, StateError, StateReason, TrackingSession
from exalign_service.access.resume_keys import ResumeKeys
from exalign_service.config.schema import SessionsConfig
from exalign_service.methods.pipeline import Pipeline
from exalign_service.methods.stage_clock import StageClock
from exalign_service.models.live_model import LiveModel
from exalign_service.models.live_models import LiveModels
from exalign_service.models.session_factory import SessionFactory
from exalign_service.recording.header import header
from exalign_service.recording.recorder import Recorder
from exalign_service.rpc.clock import Clock
from exalign_service.rpc.errors import (
    CallerSessionsFullError,
    GoneAwayError,
    NotServingError,
    PreconditionError,
    SessionExistsError,
    SessionsFullError,
)
from exalign_service.rpc.lifecycle import Lifecycle
from exalign_service.rpc.quotas import Quotas
from exalign_service.track.frame_step import SessionSteps
from exalign_service.track.record import SessionRecord, session_key
from exalign_service.track.requests import TrackOptions
from exalign_service.track.resume_checks import (
    check_bundle,
    check_lives,
    check_record,
    check_token,
    session_gone,
    state_error_to_precondition,
)
from exalign_service.track.resume_token import SECRET_BYTES, ResumeToken, state_hash
from exalign_service.track.store import FencedError, SessionStore
from exalign_service.track.unacked_budget import UnackedBudget

T = TypeVar("T")

#: When to try again where there are as many sessions as there may be, seconds.
_RETRY_AFTER = 1.0

#: Random bytes in a name that is chosen here.
_NAME_BYTES = 12


class Stream(Protocol):
    """A stream, as the registry needs it."""

    #: Set when the stream and all of its tasks have ended.
    finished: asyncio.Event

    @property
    def busy_seconds(self) -> float:
        """For how long its client has waited for the server; 0 while the server waits for the client."""

    def end(self, error: Exception) -> None:
        """End with this error, now."""

    def go_away(self, reason: track_pb2.GoAwayReason.ValueType, grace: float) -> None:
        """Send `GoAway`; the stream ends after ``grace`` seconds."""


class TrackObserver(Protocol):
    """Counts streams and frames."""

    def sessions_changed(self, active: int, draining: int) -> None:
        """The number of streams has changed: those that go on, and those that were sent `GoAway`."""

    def resume_token_refused(self) -> None:
        """A stream brought a resume token that is none of ours, or of another owner."""

    def frame_answered(self, seconds: float, *, problem: bool, skipped: int, exemplar: dict[str, str] | None) -> None:
        """A frame was answered so long after it had arrived; with a problem, or instead of older ones.

        Args:
            seconds: since it arrived.
            problem: whether a part of it could not be used.
            skipped: how many it was answered instead of.
            exemplar: leads to its span; None where it has none.
        """


@dataclass(frozen=True)
class AdmittedSession:
    """A session that belongs to a stream.

    Attributes:
        record: its newest record.
        session: the engine's session.
        caller: whose stream it is.
        model: answers it.
        must_move: it can only go on by an event, at a frame that allows it: its state is of other settings.
    """

    record: SessionRecord
    session: TrackingSession
    caller: str
    model: LiveModel
    must_move: bool = False


@dataclass(frozen=True)
class _Place:
    """What a stream has: a session, by its key, for a caller."""

    key: str
    caller: str


class SessionRegistry:
    """All sessions of one server, and what their streams share. For the event loop's thread only.

    Args:
        config: how many there may be, and how long each stream may last.
        store: where their records are kept.
        models: answer them.
        lifecycle: no session is opened before the server is warm, nor while it drains.
        observer: see `TrackObserver`.
        max_read_ahead_bytes: what one stream may read ahead of acknowledgements, bytes.
        clock: of the streams' time limits.
        keys: of resume tokens.
        quotas: of callers.
        max_sessions_per_caller: sessions of one caller, where that is less than its share.

    Attributes:
        recorder: writes recordings of sessions that begin; None: nothing is recorded.
        make_steps: makes what answers the frames of a session.
    """

    def __init__(
        self,
        config: SessionsConfig,
        store: SessionStore,
        models: LiveModels,
        lifecycle: Lifecycle,
        observer: TrackObserver,
        max_read_ahead_bytes: int,
        clock: Clock,
        keys: ResumeKeys,
        quotas: Quotas | None = None,
        max_sessions_per_caller: int | None = None,
    ) -> None:
        self.recorder: Recorder | None = None
        self.make_steps: Callable[[Pipeline, TrackingSession, TrackOptions], SessionSteps] = SessionSteps
        self.keys, self.quotas = keys, quotas
        share = config.max_sessions_per_caller
        self._share = share if max_sessions_per_caller is None else min(share, max_sessions_per_caller)
        self.config, self.store, self.models, self.observer = config, store, models, observer
        self.max_read_ahead_bytes, self.clock = max_read_ahead_bytes, clock
        self.unacked = UnackedBudget(config.max_unacked_bytes_per_caller)
        self._lifecycle = lifecycle
        store.watch(self._fenced)
        #: The stream that has each session, by key. Streams that were fenced off are not here any more.
        self._streams: dict[str, Stream] = {}
        #: Every stream that has not ended, draining ones too.
        self._alive: dict[Stream, _Place] = {}
        self._draining: set[Stream] = set()
        #: What each stream may write to in the store.
        self._leases: dict[Stream, SessionRecord] = {}

    async def bundle_of(self, token: ResumeToken, owner: str) -> str:
        """The bundle that answers the session of a token; that of the token where the session is not here."""
        record = await self.store.get(session_key(token.session, owner))
        return token.bundle_id if record is None else record.bundle_id

    async def admit(
        self, stream: Stream, options: TrackOptions, model: LiveModel, caller: str, owner: str = ""
    ) -> AdmittedSession:
        """Give a stream the session that its config names. `leave` must follow, whatever happens.

        Args:
            stream: has none yet.
            options: its config.
            model: leased until this has returned; answers the session where it is a new one.
            caller: whose stream it is.
            owner: whose sessions there are for it; see `Call.owner`.

        Raises:
            NotServingError: the server is not serving.
            SessionsFullError: there are as many sessions as there may be.
            CallerSessionsFullError: the caller has its share of them.
            SessionExistsError: a session has the name, live or to be resumed.
            SessionNotFoundError: the session to be resumed is gone.
            PreconditionError: the token, or the config with it, does not fit the session.
        """
        if not self._lifecycle.serving:
            raise NotServingError(self._lifecycle.why_not)
        if options.token is None:
            return await self._open(stream, options, model, caller, owner)
        return await self._resume(stream, options, options.token, caller, owner)

    async def leave(self, stream: Stream, *, closed: bool) -> None:
        """A stream has ended; its session, too, where it was ``closed``. Once for every stream, whatever happened."""
        lease = self._leases.pop(stream, None)
        place = self._alive.pop(stream, None)
        if place is not None and self._streams.get(place.key) is stream:
            del self._streams[place.key]
        self._draining.discard(stream)
        stream.finished.set()
        self._changed()
        if lease is None or place is None:
            return
        if closed:
            await self.store.delete(lease)
        else:
            await self.store.release(lease, place.caller)

    def mark_draining(self, stream: Stream) -> None:
        """A stream was sent `GoAway`."""
        if stream in self._alive:
            self._draining.add(stream)
            self._changed()

    def drain(self, grace: float) -> None:
        """Send every client `GoAway`; streams that have not ended after ``grace`` seconds are ended."""
        for stream in tuple(self._alive):
            stream.go_away(track_pb2.GO_AWAY_REASON_DRAIN, grace)

    def end_overdue(self, age: float, error: Exception) -> None:
        """End every stream whose client has waited for longer than ``age`` seconds for one answer."""
        for stream in tuple(self._alive):
            if stream.busy_seconds > age:
                stream.end(error)

    async def close(self) -> None:
        """End every stream, wait until all of them have ended, and close the store."""
        for stream in tuple(self._alive):
            stream.end(GoneAwayError("the server is shutting down"))
        while self._alive:
            await next(iter(self._alive)).finished.wait()
        await self.store.close()

    async def _open(
        self, stream: Stream, options: TrackOptions, model: LiveModel, caller: str, owner: str
    ) -> AdmittedSession:
        name = options.name or secrets.token_urlsafe(_NAME_BYTES)
        key = session_key(name, owner)
        if key in self._streams:
            raise SessionExistsError(f"config.session_id: a live session is called {name!r}; resume it with its token")
        self._reserve(stream, key, caller)
        kept = await self.store.kept_for(key)
        if kept is not None:
            raise SessionExistsError(
                f"config.session_id: a session called {name!r} can be resumed with its token for {kept:.1f} s more;"
                " without the token, take another name or wait"
            )
        session, state = await _run(model, _new, model.sessions, options.session)
        record = SessionRecord(
            name=name,
            secret=secrets.token_bytes(SECRET_BYTES),
            bundle_id=model.bundle_id,
            config=options.fingerprint,
            state=state,
            state_hash=state_hash(state),
            owner=owner,
            recording=await self._begin_recording(name, options, model),
        )
        try:
            await self.store.create(record)
        except FencedError as e:  # since it was looked up
            raise SessionExistsError(f"config.session_id: {e}; take another name") from e
        self._leases[stream] = record
        return AdmittedSession(record, session, caller, model)

    async def _resume(
        self, stream: Stream, options: TrackOptions, token: ResumeToken, caller: str, owner: str
    ) -> AdmittedSession:
        name, key = token.session, session_key(token.session, owner)
        if not token.is_signed(self.keys, owner):
            self.observer.resume_token_refused()
            raise session_gone(token)
        check_token(token, options)
        found = await self.store.get(key, (token.epoch, token.frame))
        if found is None:
            check_bundle(token, self.models)
        found = check_record(token, options, found)
        check_lives(found.bundle_id, self.models)
        old = self._streams.get(key)
        self._reserve(stream, key, caller)
        try:
            claimed = await self.store.claim(key, token.secret, found.epoch)
        except FencedError as e:
            raise PreconditionError("SESSION_TAKEN_OVER", str(e)) from e
        if claimed is not None:
            self._leases[stream] = claimed
        if old is not None:
            old.end(PreconditionError("SESSION_TAKEN_OVER", f"session {name!r} goes on in a later stream"))
            await old.finished.wait()
        # Once more: the earlier stream may have gone on until it was fenced off.
        record = check_record(token, options, claimed)
        try:
            with self.models.lease(record.bundle_id) as model:
                session, must_move = await _run(model, _restored, model.sessions, record, options.session, token)
        except StateError as e:
            raise state_error_to_precondition(e) from e
        return AdmittedSession(record, session, caller, model, must_move)

    def _reserve(self, stream: Stream, key: str, caller: str) -> None:
        """Reserve a name and one of the places; a session that is taken over has its place already.

        Raises:
            SessionsFullError: there is none.
            CallerSessionsFullError: there is none for this caller.
        """
        held = self._streams.get(key)
        if held is None and len(self._streams) >= self.config.max_sessions:
            raise SessionsFullError(self.config.max_sessions, _RETRY_AFTER)
        share = self._share
        others = sum(self._alive[one].caller == caller for one in self._streams.values() if one is not held)
        if others >= share:
            raise CallerSessionsFullError(share, self.config.max_sessions, _RETRY_AFTER)
        self._streams[key] = stream
        self._alive[stream] = _Place(key, caller)
        self._changed()

    async def _begin_recording(self, name: str, options: TrackOptions, model: LiveModel) -> str:
        """The name of a session's recording; empty where there is none."""
        if self.recorder is None:
            return ""
        about = header(model.aligner, name, options.fingerprint, pictures=self.recorder.pictures)
        return await _run(model, self.recorder.begin, about)

    def _fenced(self, key: str) -> None:
        """A session goes on in another process."""
        stream = self._streams.get(key)
        if stream is not None:
            stream.end(PreconditionError("SESSION_TAKEN_OVER", "the session goes on in another server"))

    def _changed(self) -> None:
        self.observer.sessions_changed(len(self._alive) - len(self._draining), len(self._draining))


async def _run(model: LiveModel, work: Callable[..., T], *args: object) -> T:
    return await model.pipeline.run_stage(StageClock(), "hmm", work, *args)


def _new(factory: SessionFactory, options: SessionOptions) -> tuple[TrackingSession, bytes]:
    session = factory.new(options)
    return session, session.encode()


def _restored(
    factory: SessionFactory, record: SessionRecord, options: SessionOptions, token: ResumeToken
) -> tuple[TrackingSession, bool]:
    """The session of a record, and whether it must move.

    Raises:
        StateError: it cannot go on here. So it is, too, where its client has answers that the record has not: they
            would be given again, and not alike.
    """
    try:
        return factory.restore(record.state, options), False
    except StateError as e:
        if e.reason is not StateReason.OTHER_SETTINGS or token.frame > record.frame:
            raise
        return factory.restore(record.state, options, other_settings=True), True
