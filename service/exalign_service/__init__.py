"""Exalign's server: gRPC, batching and metrics around the engine."""

from exalign_service.config import ServerConfig
from exalign_service.server import Server

__all__ = ["Server", "ServerConfig"]
