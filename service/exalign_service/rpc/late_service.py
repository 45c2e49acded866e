"""gRPC services whose methods are there before the model is: until then each says why it does not answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from exalign_service.rpc.errors import NotServingError
from exalign_service.rpc.lifecycle import Lifecycle

if TYPE_CHECKING:  # generic in the stubs only
    MethodHandler = grpc.RpcMethodHandler[Any, Any]
    GenericHandler = grpc.GenericRpcHandler[Any, Any]
else:
    GenericHandler = grpc.GenericRpcHandler


class LateService(GenericHandler):
    """All methods of some services.

    Args:
        services: their descriptors.
        lifecycle: says why a method does not answer yet.
    """

    def __init__(self, services: Iterable[ServiceDescriptor], lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._streams = {
            f"/{service.full_name}/{method.name}": bool(method.client_streaming or method.server_streaming)
            for service in services
            for method in service.methods
        }
        self._handlers: tuple[GenericHandler, ...] = ()

    def add_generic_rpc_handlers(self, handlers: tuple[GenericHandler, ...]) -> None:
        """From now on the methods of a service are these; called by the generated ``add_…Servicer_to_server``."""
        self._handlers += handlers

    def add_registered_method_handlers(self, service: str, handlers: dict[str, MethodHandler]) -> None:
        """The same handlers once more, by method: not needed."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> MethodHandler | None:
        """See `grpc.GenericRpcHandler`."""
        for handlers in self._handlers:
            if (found := handlers.service(handler_call_details)) is not None:
                return found
        streams = self._streams.get(handler_call_details.method)
        if streams is None:
            return None
        make = grpc.stream_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
        handler: MethodHandler = make(self._refuse)
        return handler

    async def _refuse(self, request: object, context: object) -> NoReturn:
        raise NotServingError(self._lifecycle.why_not)
