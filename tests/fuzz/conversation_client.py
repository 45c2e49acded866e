"""A client that sends bytes as they are, hears whatever comes, and judges each end by the model."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from error_scan import given_away
from exalign.v1 import service_pb2
from fuzzed_server import FuzzedServer
from protocol_model import OK, Ending

FACES = "/exalign.v1.FaceAlignmentService"

#: An answer takes no longer, seconds; the machine may be busy.
PATIENCE = 300.0

#: What gRPC says of a connection that it, or the other end, has given up.
STARVED = ("ping timeout", "Stream removed")


def is_starved(text: str) -> bool:
    """Whether an error speaks of a connection that was given up."""
    return any(words in text for words in STARVED)


Message = service_pb2.TrackVideoResponse

#: What grpc.aio's client says of a message for a stream that has just ended: what the server said is lost then.
LOST_END = "Internal error from Core"

_AS_IT_IS: Callable[[bytes], bytes] = bytes


class ConversationError(AssertionError):
    """The server has not done what the model says: a find."""


class EndedError(Exception):
    """The stream had ended when something was to be sent.

    Args:
        error: what to raise where it must not have ended.
        lost: whether how it ended is not known any more.
    """

    def __init__(self, error: Exception, *, lost: bool) -> None:
        super().__init__(str(error))
        self.error, self.lost = error, lost


class StarvedError(Exception):
    """The connection was cut, for a ping was not answered in time: one of both processes was not given a processor."""


class Client:
    """One connection, and what was counted over it.

    Args:
        server: speaks.
    """

    def __init__(self, server: FuzzedServer) -> None:
        self.server = server
        self.channel = grpc.aio.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)])
        self.endings: Counter[str] = Counter()
        self.sent = self.received = 0

    async def close(self) -> None:
        """End it."""
        await self.channel.close()

    async def call(
        self, path: str, data: bytes, caller: str, expected: Sequence[Ending], echoed: Iterable[bytes] = ()
    ) -> bytes | None:
        """A unary call.

        Args:
            path: of the method.
            data: its request.
            caller: who calls.
            expected: how it may end.
            echoed: what the server may say again.

        Returns:
            The answer; None where there is none.

        Raises:
            ConversationError: it ended otherwise.
        """
        method = self.channel.unary_unary(path, request_serializer=_AS_IT_IS, response_deserializer=_AS_IT_IS)
        call = method(data, metadata=self.server.metadata[caller], timeout=PATIENCE)
        self.sent += 1
        answer: bytes | None = None
        try:
            answer = await call
            self.received += 1
        except grpc.aio.AioRpcError:
            pass
        await self.judge(path.rpartition("/")[2], call, expected, echoed)
        return answer

    def stream(self, caller: str) -> Stream:
        """A video stream that has not begun."""
        method = self.channel.stream_stream(
            f"{FACES}/TrackVideo", request_serializer=_AS_IT_IS, response_deserializer=Message.FromString
        )
        return Stream(self, method(metadata=self.server.metadata[caller]))

    async def judge(self, method: str, call: Any, expected: Sequence[Ending], echoed: Iterable[bytes] = ()) -> Ending:
        """Compare how a call has ended with how it may.

        Returns:
            Which of them it was.

        Raises:
            ConversationError: none of them; or what it says gives something away.
        """
        code, text = await call.code(), str(await call.details() or "")
        if is_starved(text):
            raise StarvedError(text)
        details = dict(await call.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
        found = _ending(code, details)
        self.endings[f"{method} {found.reason or code.name}"] += 1
        if shown := given_away(text.encode() + b"\n" + details, echoed):
            raise ConversationError(f"{method} ends with {found}, and shows {shown!r}")
        for one in expected:
            if found.code is one.code and one.reason in ("", found.reason) and one.fields in (None, found.fields):
                return one
        raise ConversationError(f"{method} ends with {found} {text!r}, must end with {' or '.join(map(str, expected))}")


class Stream:
    """One stream of TrackVideo.

    Args:
        client: counts.
        call: of gRPC.
    """

    def __init__(self, client: Client, call: Any) -> None:
        self.client, self.call = client, call
        #: Messages that were heard while another was waited for.
        self._ahead: list[Message] = []

    async def say(self, message: bytes | service_pb2.TrackVideoRequest) -> None:
        """Send a message, or bytes that are none, to a stream that is there."""
        try:
            await self.say_if_open(message)
        except EndedError as e:
            raise e.error from None

    async def say_if_open(self, message: bytes | service_pb2.TrackVideoRequest) -> None:
        """The same, to a stream that may have ended for what was said before.

        Raises:
            EndedError: it has.
            StarvedError: its connection was given up.
        """
        data = message if isinstance(message, bytes) else message.SerializeToString()
        self.client.sent += 1
        try:
            await asyncio.wait_for(self.call.write(data), PATIENCE)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as e:
            error = await cut(self.call, f"nothing can be sent: {e}")
            if isinstance(error, StarvedError):
                raise error from None
            raise EndedError(error, lost=LOST_END in str(error)) from None

    async def hear(self, kind: str, passing: Sequence[str] = ()) -> Message:
        """The next message, of one kind; those of other kinds may come before it.

        Raises:
            ConversationError: another one comes, or the stream ends, or nothing comes.
        """
        while True:
            message = self._ahead.pop(0) if self._ahead else await self._read()
            if message is None:
                raise await cut(self.call, f"no {kind} came")
            found = message.WhichOneof("message")
            if found == kind:
                return message
            if found not in passing:
                raise ConversationError(f"{found} came, must be {kind}: {message}")

    async def next(self) -> Message | None:
        """The next message, whatever it is; None: the stream has ended."""
        return self._ahead.pop(0) if self._ahead else await self._read()

    def again(self, message: Message) -> None:
        """Put back what was heard."""
        self._ahead.insert(0, message)

    async def ends(self, expected: Sequence[Ending], passing: Sequence[str] = ()) -> Ending:
        """Hear the end, which must be one of these.

        Raises:
            ConversationError: it is another one, or a message comes before it.
        """
        while (message := await self.next()) is not None:
            if message.WhichOneof("message") not in passing:
                raise ConversationError(f"{message.WhichOneof('message')} came, must end with {expected}")
        return await self.client.judge("TrackVideo", self.call, expected)

    async def half_close(self) -> None:
        """Say that nothing more comes."""
        await self.call.done_writing()

    def cancel(self) -> None:
        """Break it."""
        self.client.endings["TrackVideo cancelled by the client"] += 1
        self.call.cancel()

    async def _read(self) -> Message | None:
        try:
            found = await asyncio.wait_for(self.call.read(), PATIENCE)
        except TimeoutError:
            raise ConversationError(f"no answer within {PATIENCE:g} s") from None
        except grpc.aio.AioRpcError:
            return None
        if found is grpc.aio.EOF:
            return None
        self.client.received += 1
        message: Message = found
        return message


async def cut(call: Any, what: str) -> Exception:
    """What is wrong with a stream that has ended before its time."""
    text = f"{await call.code()} {await call.details()}, {what}"
    return StarvedError(text) if is_starved(text) else ConversationError(text)


def _ending(code: grpc.StatusCode, details: bytes) -> Ending:
    """What a status and its details say."""
    if code is grpc.StatusCode.OK:
        return OK
    status, info, bad = status_pb2.Status(), error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status.ParseFromString(details)
    fields: frozenset[str] | None = None
    for any_ in status.details:
        any_.Unpack(info)
        if any_.Unpack(bad):
            fields = frozenset(violation.field for violation in bad.field_violations)
    return Ending(code, info.reason, fields)
