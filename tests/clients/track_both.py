"""A whole video through the blocking or the asyncio client, behind one function."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from exalign_client import AsyncClient, Client, TrackClosed, TrackEvent, TrackResult, TrackRevision

#: ``track(address, frames, **options)`` returns all events and ``closed``.
Track = Callable[..., tuple[list[TrackEvent], TrackClosed | None]]


def track_sync(address: str, frames: Iterable[Any], **options: Any) -> tuple[list[TrackEvent], TrackClosed | None]:
    with Client(address) as client, client.track(frames, **options) as video:
        return list(video), video.closed


def track_async(address: str, frames: Iterable[Any], **options: Any) -> tuple[list[TrackEvent], TrackClosed | None]:
    async def run() -> tuple[list[TrackEvent], TrackClosed | None]:
        async with AsyncClient(address) as client, client.track(frames, **options) as video:
            return [event async for event in video], video.closed

    return asyncio.run(run())


def pictures(count: int) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """So many small pictures."""
    return [np.full((4, 6, 3), n, np.uint8) for n in range(count)]


def digests(events: Iterable[TrackEvent]) -> list[tuple[Any, ...]]:
    """What distinguishes events, and shows a frame that was counted twice or not at all."""
    found: list[tuple[Any, ...]] = []
    for event in events:
        count = event.tracks[0].face.entropy
        match event:
            case TrackResult():
                found.append(("result", event.frame_index, count))
            case TrackRevision():
                found.append(("revision", event.frame_index, event.through_frame, count))
    return found
