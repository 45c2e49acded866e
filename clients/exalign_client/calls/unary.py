"""A unary call as a value, and methods made of functions that describe calls.

A function in `exalign_client.calls.methods` holds the arguments, the documentation, the request and the reader of one
call. Each client turns it into a method that makes the call in its own way.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from google.protobuf.message import Message

AnswerT = TypeVar("AnswerT")
MethodT = TypeVar("MethodT", bound=Callable[..., Any])


@dataclass(frozen=True)
class UnaryCall(Generic[AnswerT]):
    """One call that is ready to be made.

    Attributes:
        rpc: name of the RPC in its service.
        request: what is sent.
        read: turns the response into the answer; raises InternalServerError where it does not keep to the contract.
        timeout: seconds for the whole call, retries included; None: the client's.
        service: "faces", or "admin" for what an operator does.
    """

    rpc: str
    request: Message
    read: Callable[[Any], AnswerT]
    timeout: float | None
    service: Literal["faces", "admin"] = "faces"


def documented_as(description: Callable[..., UnaryCall[Any]], owner: str) -> Callable[[MethodT], MethodT]:
    """Give a method the name, signature and documentation of the function that describes its call.

    Args:
        description: the function; its arguments become the method's, its ``UnaryCall[X]`` an ``X``.
        owner: name of the class that the method belongs to.
    """
    described = inspect.signature(description)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    answer = str(described.return_annotation).removeprefix("UnaryCall[").removesuffix("]")
    signature = described.replace(parameters=[itself, *described.parameters.values()], return_annotation=answer)

    def decorate(method: MethodT) -> MethodT:
        functools.update_wrapper(method, description)
        method.__qualname__ = f"{owner}.{description.__name__}"
        method.__annotations__ = {**description.__annotations__, "return": answer}
        method.__signature__ = signature  # type: ignore[attr-defined]  # read by inspect and help
        return method

    return decorate
