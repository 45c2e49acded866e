"""The ``exalign-server`` command, also where the server's packages are not installed."""

from __future__ import annotations

from exalign_service.cli import main

__all__ = ["main"]
