"""Exalign's server: gRPC, batching and metrics around the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exalign_service.config.schema import ServerConfig
    from exalign_service.server import Server

__all__ = ["Server", "ServerConfig"]


def __getattr__(name: str) -> Any:
    # Loaded when first used: the command's entry must run where the server's packages are missing, to say so.
    if name == "Server":
        from exalign_service.server import Server

        return Server
    if name == "ServerConfig":
        from exalign_service.config.schema import ServerConfig

        return ServerConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
