"""A stream of a server of `checkpoint_world`: the conversation, as short as it can be told."""

from __future__ import annotations

import asyncio
import hashlib
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from exalign.v1 import service_pb2, track_pb2
from exalign_client.errors import (
    ExalignClientError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from exalign_service.rpc import errors as service_errors
from exalign_service.track.record import SessionRecord
from exalign_service.track.resume_checks import check_record
from exalign_service.track.resume_token import SECRET_BYTES, ResumeToken, state_hash
from exalign_service.track.store import FencedError

if TYPE_CHECKING:
    from checkpoint_world import Server

Response = service_pb2.TrackVideoResponse

#: Whose code runs.
SERVER: ContextVar[Server] = ContextVar("server")


class LibraryError(Exception):
    """What nobody has foreseen."""


class Keys:
    """Tokens are not what is tested here."""

    def sign(self, owner: str, data: bytes) -> bytes:
        return bytes(16)


class Stream:
    """A stream of one server: the conversation, as short as it can be told."""

    task: asyncio.Task[None]

    def __init__(self, server: Server, config: track_pb2.TrackConfig) -> None:
        self._server, self._config = server, config
        self.requests: asyncio.Queue[Any] = asyncio.Queue()
        self.responses: asyncio.Queue[Any] = asyncio.Queue()
        self._record: SessionRecord | None = None

    @property
    def broken(self) -> bool:
        """Whether nothing will come any more."""
        return self._server.dead or (self.task.done() and self.responses.empty())

    async def left(self) -> None:
        """The caller has gone; a server that is stopped hears of it when it wakes."""
        for _ in range(self._server.world.rng.choice([0, 1, 10, 60])):
            await asyncio.sleep(0)
        while self._server.stopped > 0:
            await asyncio.sleep(0)
        self.task.cancel()

    async def run(self) -> None:
        SERVER.set(self._server)
        store, closed = self._server.store, False
        try:
            record = await self._admitted()
            self._record = record
            self._server.streams[record.key] = self.task
            await self._say(Response(opened=track_pb2.TrackOpened(bundle_id="b", next_frame=record.frame + 1)))
            for entry in record.retained:
                await self._say(*map(Response.FromString, entry.messages))
            while (request := await self.requests.get()) is not None:
                await self._server.turn()
                await self._answer(request)
            await self._say(Response(closed=track_pb2.TrackClosed()))
            closed = True
        except asyncio.CancelledError:
            if self._record is None or self._record.key not in self._server.refused:
                raise
            self.responses.put_nowait(PreconditionError("fenced", "SESSION_TAKEN_OVER"))
        except FencedError as e:
            self.responses.put_nowait(PreconditionError(str(e), "SESSION_TAKEN_OVER"))
        except service_errors.ServiceError as e:
            self.responses.put_nowait(_as_client_sees(e))
        except LibraryError:
            self.responses.put_nowait(UnavailableError("INTERNAL"))
        finally:
            if self._record is not None and not self._server.dead:
                if self._server.streams.get(self._record.key) is self.task:
                    del self._server.streams[self._record.key]
                leave = store.delete(self._record) if closed else store.release(self._record, "caller")
                await asyncio.shield(asyncio.create_task(leave))

    async def _admitted(self) -> SessionRecord:
        store, config = self._server.store, self._config
        await self._server.turn()
        name = config.session_id
        if not config.resume_token:
            if await store.kept_for(name) is not None:
                raise service_errors.SessionExistsError("there is one")
            state = _state(b"", b"")
            record = SessionRecord(
                name, hashlib.sha256(name.encode()).digest()[:SECRET_BYTES], "b", b"", state, state_hash(state)
            )
            try:
                await store.create(record)
            except FencedError as e:
                raise service_errors.SessionExistsError("there is one") from e
            return record
        token = ResumeToken.decode(config.resume_token)
        options: Any = _Options(b"", config.resends_after if config.HasField("resends_after") else None)
        found = check_record(token, options, await store.get(name, (token.epoch, token.frame)))
        old = self._server.streams.get(name)
        claimed = await store.claim(name, token.secret, found.epoch)
        self._record = claimed
        if old is not None:
            old.cancel()
            await asyncio.wait([old])
        return check_record(token, options, claimed)

    async def _answer(self, request: service_pb2.TrackVideoRequest) -> None:
        record = self._record
        assert record is not None
        if request.HasField("ack"):
            await self._keep(record.acknowledged(request.ack.acked_frame))
            return
        if not request.HasField("frame"):
            await self._say(Response(heartbeat=request.heartbeat))
            return
        index = request.frame.frame_index
        if request.frame.HasField("acked_frame"):
            record = record.acknowledged(request.frame.acked_frame)
        if index <= record.frame:
            kept = record.result_of(index)
            assert kept is not None, "a frame was sent that is neither new nor kept"
            await self._say(Response.FromString(kept))
            return
        state = _state(record.state, b"%d" % index)
        changed = replace(record, state=state, state_hash=state_hash(state), frame=index)
        result = track_pb2.FrameResult(frame_index=index, resume_token=changed.token(Keys()))  # type: ignore[arg-type]
        message = Response(result=result).SerializeToString()
        await self._server.turn()
        await self._keep(record.answered(changed, [message]))
        await self._say(Response.FromString(message))

    async def _keep(self, record: SessionRecord) -> None:
        self._record = record
        await self._server.store.put(record)

    async def _say(self, *messages: Response) -> None:
        for message in messages:
            await self._server.turn()
            if self._record is not None:
                durable = self._server.store.durable_frame(self._record)
                message.durable_frame = -1 if durable is None else durable
            self.responses.put_nowait(message)


@dataclass(frozen=True)
class _Options:
    """As much of `TrackOptions` as is asked."""

    fingerprint: bytes
    resends_after: int | None


def _state(before: bytes, frame: bytes) -> bytes:
    return hashlib.sha256(before + frame).digest()


def _as_client_sees(error: Exception) -> ExalignClientError:
    match error:
        case service_errors.PreconditionError():
            return PreconditionError(str(error), error.reason)
        case service_errors.SessionExistsError():
            return PreconditionError(str(error), "SESSION_EXISTS")
        case service_errors.SessionNotFoundError():
            return NotFoundError(str(error))
    return UnavailableError(str(error))
