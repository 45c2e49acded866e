"""Videos that are sent through a cluster, and what their callers see: every event, once, bit for bit."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exalign_client import AsyncClient, Client, TrackFrame
from exalign_client.track.results import TrackClosed, TrackResult
from exalign_client.track.session import TrackSession
from service_fakes import encoded, picture

#: The pictures of all videos, small: servers have time for many.
PICTURES = [encoded(picture(48, 48, seed=i), ".jpg") for i in range(8)]

BOX = (6.0, 6.0, 42.0, 42.0)

#: What two runs cannot have in common.
_OF_THE_RUN = ("latency", "timing", "durable")


def digest(event: object) -> str:
    """Of all that an event says, each number exactly."""
    state = hashlib.sha256()
    _add(event, state)
    return f"{type(event).__name__}:{getattr(event, 'frame_index', '')}:{state.hexdigest()[:16]}"


def _add(value: Any, state: Any) -> None:
    if dataclasses.is_dataclass(value):
        for one in dataclasses.fields(value):
            if one.name not in _OF_THE_RUN:
                _add(getattr(value, one.name), state)
    elif isinstance(value, np.ndarray):
        state.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
    elif isinstance(value, list | tuple):
        state.update(f"[{len(value)}".encode())
        for item in value:
            _add(item, state)
    elif isinstance(value, dict):
        _add(sorted(value.items()), state)
    else:
        state.update(repr(value).encode())


@dataclass(frozen=True)
class Script:
    """One video: whose pictures come in which order, and what is asked of it."""

    seed: int
    frames: int
    lag: int

    def frame(self, index: int, *, may_change_model: bool = False) -> TrackFrame:
        data = PICTURES[(index * (1 + self.seed % 3) + self.seed) % len(PICTURES)]
        boxes = (BOX,) if index == 0 else ()
        return TrackFrame(data, index=index, boxes=boxes, may_change_model=may_change_model)

    @property
    def options(self) -> dict[str, Any]:
        return {"smoothing_lag": self.lag, "path_frames": 4 if self.lag else 0}


def scripts(sessions: int, frames: int) -> list[Script]:
    """So many videos, of 8 kinds."""
    return [Script(i % 8, frames, 2 * (i % 2)) for i in range(sessions)]


@dataclass
class Transcript:
    """What one caller saw.

    Attributes:
        events: digests, in order.
        error: what the iterator ended with; empty: its end.
        waits: seconds from giving a frame to its answer, by the time of the answer.
        opened: when a stream was opened again.
        closed: digest of the end.
        not_durable: results that were not durable when they were answered.
        moves: whether another bundle may answer in the end.
    """

    script: Script
    moves: bool = False
    events: list[str] = field(default_factory=list)
    error: str = ""
    waits: list[tuple[float, float]] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)
    closed: str = ""
    not_durable: int = 0


#: For videos that are sent by the blocking client.
_THREADS = ThreadPoolExecutor(256, thread_name_prefix="video")

#: When streams of each session were opened, by its name.
_opened: dict[str, list[float]] = {}


def watch_streams() -> None:
    """Note when streams are opened, from now on: the seam is the message that says so."""
    _opened.clear()
    if getattr(TrackSession._open, "watched", False):  # type: ignore[attr-defined]
        return
    original = TrackSession._open  # type: ignore[attr-defined]

    def opened(self: Any, message: Any) -> None:
        original(self, message)
        _opened.setdefault(self._config.session_id, []).append(time.monotonic())

    opened.watched = True  # type: ignore[attr-defined]
    TrackSession._open = opened  # type: ignore[method-assign]


@dataclass(frozen=True)
class Pace:
    """How a video is sent.

    Attributes:
        rate: frames a second; 0: as fast as they are answered.
        start: seconds before the first frame.
        timeout: as of `AsyncClient.track`.
        moves_from: the first frame that may change the model; all after it may.
        blocking: by the blocking client, in a thread.
    """

    rate: float = 0.0
    start: float = 0.0
    timeout: float = 30.0
    moves_from: int | None = None
    blocking: bool = False


class Player:
    """Sends one video, and notes what its caller sees."""

    def __init__(self, script: Script, name: str | None, pace: Pace) -> None:
        self._script, self._name, self._pace = script, name, pace
        self.seen = Transcript(script, moves=pace.moves_from is not None)
        self._begin, self._given = time.monotonic() + pace.start, dict[int, float]()

    async def play(self, address: str) -> Transcript:
        """To its end."""
        if self._pace.blocking:
            await asyncio.get_running_loop().run_in_executor(_THREADS, self._play, address)
        else:
            await self._play_here(address)
        self.seen.opened = _opened.get(self._name or "", [])
        return self.seen

    async def _play_here(self, address: str) -> None:
        async def frames() -> AsyncIterator[TrackFrame]:
            for index in range(self._script.frames):
                await asyncio.sleep(self._pause(index))
                yield self._frame(index)

        async with AsyncClient(address, timeout=self._pace.timeout) as client:
            stream = client.track(frames(), session_id=self._name, **self._script.options)
            try:
                async for event in stream:
                    self._note(event)
                self.seen.closed = digest(_comparable(stream.closed))
            except Exception as error:  # noqa: BLE001  # whatever a caller sees is what is asked here
                self.seen.error = f"{type(error).__name__}: {error}"

    def _play(self, address: str) -> None:
        def frames() -> Iterator[TrackFrame]:
            for index in range(self._script.frames):
                time.sleep(self._pause(index))
                yield self._frame(index)

        with Client(address, timeout=self._pace.timeout) as client:
            stream = client.track(frames(), session_id=self._name, **self._script.options)
            try:
                for event in stream:
                    self._note(event)
                self.seen.closed = digest(_comparable(stream.closed))
            except Exception as error:  # noqa: BLE001  # whatever a caller sees is what is asked here
                self.seen.error = f"{type(error).__name__}: {error}"

    def _pause(self, index: int) -> float:
        rate = self._pace.rate
        return max(0.0, self._begin + index / rate - time.monotonic()) if rate else 0.0

    def _frame(self, index: int) -> TrackFrame:
        self._given[index] = time.monotonic()
        moves_from = self._pace.moves_from
        return self._script.frame(index, may_change_model=moves_from is not None and index >= moves_from)

    def _note(self, event: object) -> None:
        self.seen.events.append(digest(event))
        if isinstance(event, TrackResult):
            now = time.monotonic()
            self.seen.waits.append((now, now - self._given[event.frame_index]))
            self.seen.not_durable += event.durable is False


async def play(address: str, script: Script, name: str | None = None, pace: Pace | None = None) -> Transcript:
    """Send a video.

    Args:
        address: of a server or proxy.
        script: the video.
        name: of its session.
        pace: how; None: as fast as it is answered.
    """
    return await Player(script, name, pace or Pace()).play(address)


def _comparable(closed: TrackClosed | None) -> object:
    return None if closed is None else (closed.summary, closed.paths, closed.suggestions)


async def reference(address: str, wanted: Sequence[Script]) -> dict[Script, Transcript]:
    """Each kind of video, sent to one server without any trouble."""
    found = {}
    for script in dict.fromkeys(wanted):
        found[script] = await play(address, script)
        assert not found[script].error, found[script].error
    return found


def _moved(events: Sequence[str], want: Sequence[str]) -> list[str]:
    """What is wrong with a video without a lag that another bundle was to take over."""
    changes = [i for i, event in enumerate(events) if event.startswith("ModelChanged")]
    if len(changes) != 1:
        return [f"the model changed {len(changes)} times"]
    (at,) = changes
    rest = [event.split(":")[1] for event in (*events[:at], *events[at + 1 :])]
    found = [] if [*events[:at]] == [*want[:at]] else ["it differs before the model changed"]
    if rest != [event.split(":")[1] for event in want]:
        found.append("results are missing, or come twice")
    if set(events[at + 1 :]) & set(want):
        found.append("the old bundle answers after the model changed")
    return found


def differences(seen: Sequence[Transcript], expected: dict[Script, Transcript]) -> list[str]:
    """What is wrong, in words; the first of each video."""
    wrong = []
    for number, one in enumerate(seen):
        want = expected[one.script]
        if one.error:
            wrong.append(f"video {number}: {one.error}")
        elif one.moves:
            wrong += [f"video {number}: {text}" for text in _moved(one.events, want.events)]
        elif one.events != want.events:
            pairs = zip([*one.events, "nothing"], [*want.events, "nothing"], strict=False)
            at, (got, wanted) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
            wrong.append(f"video {number}: event {at} is {got}, must be {wanted}")
        elif one.closed != want.closed:
            wrong.append(f"video {number}: its end differs")
    return wrong
