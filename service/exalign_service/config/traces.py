"""Where spans of calls and frames are sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from exalign_engine.settings import Rule, check

_ENDPOINT = (
    r"https?://[^\s/:@]+:\d{1,5}/?|https?://\[[0-9A-Fa-f:]+\]:\d{1,5}/?",
    "http://HOST:PORT or https://HOST:PORT",
)


@dataclass(frozen=True)
class TracesConfig:
    """Where spans of calls and frames are sent."""

    traces_endpoint: Annotated[
        str | None,
        Rule(
            "where spans of calls and frames are sent, by OTLP over gRPC (extra otel); not set: none", pattern=_ENDPOINT
        ),
    ] = None
    traces_ratio: Annotated[
        float, Rule("share of calls and frames that have spans, where their callers do not decide", least=0.0, most=1.0)
    ] = 0.1

    def __post_init__(self) -> None:
        check(self)
