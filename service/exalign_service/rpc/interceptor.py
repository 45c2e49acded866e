"""What happens around every RPC: metrics, access log, request id, deadline, and errors becoming statuses.

One path for unary and streaming methods. The message is parsed here rather than by gRPC, so that bytes which are no
message, or too many, are counted, logged and answered as what they are. So are methods that there are not.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from google.protobuf.message import DecodeError
from grpc.aio import EOF  # type: ignore[attr-defined]  # the stubs lack it

from exalign_service.observability.logs import Seldom
from exalign_service.observability.metrics import Metrics
from exalign_service.observability.rpc_metrics import CODES, OTHER, Method, method_type
from exalign_service.observability.spans import Tracer
from exalign_service.rpc.call_context import REQUEST_ID, Call, current_call, request_id_of
from exalign_service.rpc.clock import Clock, LoopClock
from exalign_service.rpc.counting_context import CountingContext
from exalign_service.rpc.errors import (
    NO_MEMORY,
    AccessError,
    DeadlineExpiredError,
    MalformedMessageError,
    MessageTooLargeError,
    NotServingError,
    OverloadedError,
    QueueFullError,
    QuotaExceededError,
    UnknownMethodError,
    check_memory,
    is_known,
    status_of,
)
from exalign_service.rpc.gate import Gate
from exalign_service.rpc.handlers import forget_frames, read, refusing, serializer, status_of_handler
from exalign_service.rpc.quotas import Quotas
from exalign_service.rpc.refusal_pace import RefusalPace
from exalign_service.rpc.services import ANSWERED

_log = logging.getLogger(__name__)

#: A parsed message takes at most so many times its bytes, or nearly.
_PARSED = 2

STATUS_DETAILS = "grpc-status-details-bin"

#: A deadline met this closely counts as met, in seconds and as a share of the time given: gRPC cancels a handler a
#: little before our clock says so, and its clients write the time down rounded up to two or three digits.
_DEADLINE_SLACK, _DEADLINE_ROUNDING = 0.002, 0.01

#: Lines a second about calls refused for overload; the next one says how many were left out.
_REFUSAL_LINES = 20

#: Characters shown of the name of a method that there is not.
_SHOWN = 100

#: Whoever asks only for health is asked for nothing.
UNBOUNDED = ("grpc.health.v1.Health",)

#: Its calls wait for as long as their callers do: a bundle may take minutes, and they hold nothing.
PATIENT = ("exalign.v1.ModelAdminService",)

if TYPE_CHECKING:  # generic in the stubs only
    ServerInterceptor = grpc.aio.ServerInterceptor[Any, Any]
    MethodHandler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]
    Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[MethodHandler | None]]
else:
    ServerInterceptor = grpc.aio.ServerInterceptor


class CallInterceptor(ServerInterceptor):
    """Wraps every method that the server has.

    Args:
        metrics: what is counted.
        max_deadline: longest time of a unary call, seconds; streams have their own rules.
        clock: measures calls; deadlines are on the event loop's own clock.
        max_message_bytes: largest message that a handler is given.
        gate: decides who may call; None: everybody.
        quotas: of callers; health has none.
        tracer: makes spans; None: there are none.
    """

    def __init__(
        self,
        metrics: Metrics,
        max_deadline: float,
        clock: Clock | None = None,
        *,
        max_message_bytes: float = math.inf,
        gate: Gate | None = None,
        quotas: Quotas | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self.gate, self.quotas, self._tracer = gate, quotas, tracer
        self._metrics, self._max_deadline, self._max_message_bytes = metrics, max_deadline, max_message_bytes
        self._clock = LoopClock() if clock is None else clock
        self.pace = RefusalPace(self._clock)
        self._running: dict[asyncio.Task[Any], _RpcHandler] = {}
        #: One line a second, where every call may end so.
        self.out_of_memory = Seldom(1.0)
        #: Lines about calls refused for overload: who sends too many is not helped by as many lines.
        self.refusals = Seldom(1 / _REFUSAL_LINES)
        #: What the callers of handlers are told that were cancelled here.
        self._cancelled_here: dict[asyncio.Task[Any], Exception] = {}

    def cancel_all(self) -> None:
        """Cancel every handler that still runs; its status is UNAVAILABLE."""
        for task in self._running:
            self._cancelled_here.setdefault(task, NotServingError("the server is shutting down"))
            task.cancel()

    def end_overdue(self, services: Collection[str], age: float, error: Exception) -> None:
        """End every unary call of some services that has been running for longer than ``age`` seconds with an error."""
        for task, call in self._running.items():
            unary = call.method.type == "unary" and call.method.service in services
            if unary and call.seconds > age and task not in self._cancelled_here:
                self._cancelled_here[task] = error
                task.cancel()

    async def finished(self, services: Collection[str] | None = None) -> None:
        """Wait until no handler runs any more, its ``finally`` blocks included.

        Args:
            services: only handlers of these; others (a health watcher) may run for ever.
        """
        while tasks := [t for t, c in self._running.items() if services is None or c.method.service in services]:
            await asyncio.wait(tasks)

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> MethodHandler:
        """See `grpc.aio.ServerInterceptor`."""
        handler = await continuation(handler_call_details)
        if handler is None:
            text = f"there is no method {handler_call_details.method[:_SHOWN]!r}"
            handler, method = refusing(UnknownMethodError(text)), OTHER
        else:
            service, _, name = handler_call_details.method.lstrip("/").partition("/")
            method = Method(method_type(handler.request_streaming, handler.response_streaming), service, name)
        named, admitted = "", True
        if self.gate is not None and method is not OTHER:
            try:
                metadata = handler_call_details.invocation_metadata or ()
                named = self.gate.admit(method.path, metadata)
            except Exception as e:  # noqa: BLE001  # also a fault of ours: who is not let in stays out
                handler, admitted = refusing(e), False
        # What is denied has no span: no stranger fills a collector.
        tracer = self._tracer if admitted and method.service in ANSWERED else None
        call = _RpcHandler(self, handler, method, handler_call_details, named, tracer)
        # Without a deserializer gRPC hands the bytes over as they are. Of a method with one request it would keep them
        # until the call has ended; what is read as from a stream is ours alone.
        writer = serializer(handler)
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(call.answer_stream, response_serializer=writer)
        return grpc.stream_unary_rpc_method_handler(call.answer_one, response_serializer=writer)


class _RpcHandler:
    """One RPC from its start to its status."""

    def __init__(
        self,
        owner: CallInterceptor,
        handler: MethodHandler,
        method: Method,
        details: grpc.HandlerCallDetails,
        named: str = "",
        tracer: Tracer | None = None,
    ) -> None:
        self._named, metadata = named, details.invocation_metadata or ()
        self._owner, self._handler, self._method = owner, handler, method
        self._metrics, self._clock = owner._metrics.rpc.of(method), owner._clock
        self._request_id = request_id_of(metadata)
        self._started = self._clock.now()
        self._begun = False
        #: A stream has no span; each of its frames has.
        self._trace = None if tracer is None else tracer.trace(metadata, method.path, self._request_id)
        self._span = self._trace.call(self._started) if self._trace and method.type == "unary" else None

    @property
    def method(self) -> Method:
        """Its labels."""
        return self._method

    @property
    def seconds(self) -> float:
        """Since it began."""
        return self._clock.now() - self._started

    def __del__(self) -> None:
        # gRPC drops the handler of a unary call whose request never came, and tells nobody.
        if not self._begun:
            text = "its request did not come whole: the caller left, or it was larger than gRPC takes here"
            self._metrics.started.inc()
            self._done(None, grpc.StatusCode.CANCELLED, text)

    async def answer_one(self, request: object, context: Context) -> Any:
        """A method with one response."""
        handler: Any = self._handler  # which of its four behaviours there is depends on the kind of method
        behaviour = handler.stream_unary if handler.request_streaming else handler.unary_unary
        waiting = await self._request(context)
        size = len(waiting[0]) if waiting else 0

        async def body(deadline: float) -> Any:
            limit = None if math.isinf(deadline) else deadline
            try:
                async with asyncio.timeout_at(limit) as scope:
                    return await behaviour(self._incoming(waiting, context), self._counted(context))
            except TimeoutError:
                if not scope.expired():
                    raise  # the handler's own
                raise DeadlineExpiredError(
                    f"the call was not answered within {deadline - self._started:.3g} s"
                ) from None

        response = await self._run(context, body, size)
        self._metrics.sent.inc()
        return response

    async def answer_stream(self, request: object, context: Context) -> None:
        """A method with many responses, written as a generator or with ``context.write``."""
        handler: Any = self._handler
        behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream
        waiting = await self._request(context)

        async def body(deadline: float) -> None:
            counted = self._counted(context)
            result = behaviour(self._incoming(waiting, context), counted)
            if inspect.isawaitable(result):
                await result
                return
            async with aclosing(result) as responses:
                async for response in responses:
                    await counted.write(response)

        await self._run(context, body)

    async def _run(self, context: Context, body: Callable[[float], Awaitable[Any]], size: int = 0) -> Any:
        """Run a handler; count, log and answer whatever comes of it."""
        self._begun = True
        self._metrics.started.inc()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # gRPC runs every handler in a task
        self._owner._running[task] = self
        deadline = self._deadline(context)
        live = self._method.type == "bidi_stream"
        if self._owner.gate is not None and not self._named:
            self._named = self._owner.gate.certified(context)
        caller = self._named or context.peer()
        call = Call(
            self._request_id, deadline, self._method.name, caller, live, size, self._named, self._span, self._trace
        )
        token = current_call.set(call)
        context.set_trailing_metadata(((REQUEST_ID, self._request_id),))
        try:
            if self._owner.quotas is not None and self._method.service not in UNBOUNDED:
                self._owner.quotas.request(caller)
            result = await self._paced(body, deadline, call)
        except asyncio.CancelledError:
            if task not in self._owner._cancelled_here:
                self._done(context, self._code_of_cancellation(deadline))
                raise
            task.uncancel()  # we cancelled it: the caller gets a status
            await self._fail(context, self._owner._cancelled_here[task])
        except grpc.aio.AbortError:  # a handler of gRPC's own (health) has sent its status
            self._done(context, status_of_handler(context))
            raise
        except Exception as e:  # noqa: BLE001  # the table answers what is known; the rest is logged and INTERNAL
            await self._fail(context, e)
        else:
            self._done(context, status_of_handler(context))
            return result
        finally:
            current_call.reset(token)
            del self._owner._running[task]
            self._owner._cancelled_here.pop(task, None)

    async def _paced(self, body: Callable[[float], Awaitable[Any]], deadline: float, call: Call) -> Any:
        """Run a handler. What it refuses may be told later; its request is let go of before."""
        try:
            return await body(deadline)
        except Exception as e:
            if self._method.type == "unary" and is_known(e):
                forget_frames(e)
                await self._owner.pace.wait(call, e)
            raise

    async def _fail(self, context: Context, error: Exception) -> NoReturn:
        """Count, log and send the status of an exception. Sending it ends the handler: by an exception, too."""
        answer = status_of(error, self._request_id)
        if isinstance(error, NO_MEMORY) and self._owner.out_of_memory.due():
            fields = {"request_id": self._request_id, "left_out": self._owner.out_of_memory.left_out}
            _log.error("out of memory", exc_info=error, extra={"fields": fields})
        if not is_known(error):
            _log.error("handler_failed", exc_info=error, extra={"fields": {"request_id": self._request_id}})
        forget_frames(error)
        if isinstance(error, AccessError) and self._owner.gate is not None:
            self._owner.gate.denied(error, self._request_id, self._method.path, context.peer())
        refused = isinstance(error, QueueFullError | OverloadedError | AccessError | QuotaExceededError)
        self._done(context, answer.code, answer.message, self._owner.refusals if refused else None)
        metadata = ((REQUEST_ID, self._request_id), (STATUS_DETAILS, answer.serialized()))
        try:
            await context.abort(answer.code, answer.message, trailing_metadata=metadata)
        except grpc.aio.InternalError:
            # The client has disconnected in the meantime: nobody receives the status.
            raise asyncio.CancelledError from None
        raise AssertionError("abort() always raises")

    def _deadline(self, context: Context) -> float:
        """On the event loop's clock; the caller's, for unary calls cut to the server's longest."""
        remaining = context.time_remaining()
        left = math.inf if remaining is None else float(remaining)
        if self._method.type == "unary" and self._method.service not in PATIENT:
            left = min(left, self._owner._max_deadline)
        return self._started + left

    def _code_of_cancellation(self, deadline: float) -> grpc.StatusCode:
        """Why gRPC cancelled the handler, as far as the time tells."""
        if math.isinf(deadline):
            return grpc.StatusCode.CANCELLED
        slack = max(_DEADLINE_SLACK, _DEADLINE_ROUNDING * (deadline - self._started))
        met = self._clock.now() >= deadline - slack
        return grpc.StatusCode.DEADLINE_EXCEEDED if met else grpc.StatusCode.CANCELLED

    def _done(
        self, context: Context | None, code: grpc.StatusCode, message: str = "", lines: Seldom | None = None
    ) -> None:
        """Count and log the end of the call; where there are ``lines``, as far as those let it pass."""
        seconds = self.seconds
        self._metrics.handled[code].inc()
        self._metrics.handling.observe(seconds, None if self._span is None else self._span.exemplar)
        if self._span is not None:
            self._span.end(code)
        if lines is not None and not lines.due():
            return
        fields: dict[str, Any] = {
            "request_id": self._request_id,
            "service": self._method.service,
            "method": self._method.name,
            "code": CODES[code],
            "seconds": round(seconds, 6),
        }
        if context is not None:
            fields["peer"] = context.peer()
        if self._named:
            fields["caller"] = self._named
        if self._span is not None:
            fields["trace_id"] = self._span.trace_id
        if message:
            fields["message"] = message
        if lines is not None and lines.left_out:
            fields["left_out"] = lines.left_out
        _log.info("call", extra={"fields": fields})

    async def _request(self, context: Context) -> list[bytes]:
        """The one request of a method; none where it is a stream. Cancelled where it did not come whole."""
        if self._handler.request_streaming:
            return []
        if (raw := await read(context)) is EOF:
            raise asyncio.CancelledError
        return [raw]

    def _incoming(self, waiting: list[bytes], context: Context) -> Any:
        """The request as the handler takes it: an iterator of messages, or the one that waits, let go of there."""
        return self._messages(context) if self._handler.request_streaming else self._parse(waiting.pop())

    async def _messages(self, context: Context) -> AsyncIterator[Any]:
        while (raw := await read(context)) is not EOF:
            yield self._parse(raw)

    def _parse(self, raw: bytes) -> Any:
        self._metrics.received.inc()
        if len(raw) > self._owner._max_message_bytes:
            raise MessageTooLargeError(len(raw), int(self._owner._max_message_bytes))
        parse = self._handler.request_deserializer
        if parse is None:
            return raw
        try:
            return parse(raw)
        except DecodeError as e:
            check_memory(_PARSED * len(raw))  # protobuf says the same where nothing is lacking but memory
            text = f"the {len(raw):,} bytes received are not a message of {self._method.name}"
            raise MalformedMessageError(text) from e

    def _counted(self, context: Context) -> CountingContext:
        return CountingContext(context, self._parse, self._metrics.sent)
