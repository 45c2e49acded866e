"""Tokens of the server's own, made by the tests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest

from exalign_service.access.static_tokens import new_token

BOTH = frozenset(("predict", "track"))
PREDICT = frozenset(("predict",))


class Tokens:
    """A file of tokens, and the tokens by name."""

    def __init__(self, folder: Path) -> None:
        self.path, self.lines = folder / "tokens", dict[str, str]()
        self.path.write_text("# nobody yet\n")

    def add(self, name: str, scopes: frozenset[str] = BOTH, expires: float = math.inf) -> dict[str, Any]:
        """Metadata with a new token for a name."""
        token, line = new_token(name, scopes, expires)
        self.lines[name] = str(line)
        self.write()
        return bearer(token)

    def write(self) -> None:
        """All that are left."""
        new = self.path.with_suffix(".new")
        new.write_text("# tokens\n\n" + "\n".join(self.lines.values()))
        new.rename(self.path)


def bearer(token: str) -> dict[str, Any]:
    return {"metadata": (("authorization", f"Bearer {token}"),)}


def secret(metadata: Mapping[str, Any]) -> str:
    """The token of a caller."""
    return str(metadata["metadata"][0][1]).removeprefix("Bearer ")


async def refusal(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value
