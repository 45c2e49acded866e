"""Which models of a server live, which of them answers, and when one may go."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from exalign.v1 import model_pb2
from exalign_service.models.freed_memory import give_memory_back
from exalign_service.models.live_model import LiveModel

#: So long a model that nobody needs is waited for until nobody holds it either, and between two looks, seconds.
_LET_GO, _PAUSE = 1.0, 0.01


class ModelsObserver(Protocol):
    """Is told which models live."""

    def model_answers(self, model: LiveModel) -> None:
        """New calls and sessions are answered by it from now on."""

    def bundle_sessions_changed(self, bundle_id: str, sessions: int | None) -> None:
        """A live bundle has so many sessions; None: it lives no more."""

    def bundle_gone(self, bundle_id: str) -> None:
        """What it made is worth nothing any more."""


@dataclass
class _Life:
    """A model, and who needs it: calls in progress, and sessions that have not ended."""

    model: LiveModel
    calls: int = 0
    sessions: int = 0


class LiveModels:
    """The models of one server. For the event loop's thread only.

    A call takes its model once, when it begins, and keeps it until it is answered. A session keeps its model while its
    record is in the store: also while its stream is broken and may be resumed. A model that is not the current one goes
    when neither a call nor a session needs it.

    Args:
        first: answers at first.
        most: models that may live at once, one that is being freed among them.
        observer: see `ModelsObserver`.
    """

    def __init__(self, first: LiveModel, most: int, observer: ModelsObserver) -> None:
        self._most, self._observer = most, observer
        self._lives: dict[str, _Life] = {}
        #: Models that are being freed: they still take memory.
        self._ending = 0
        self.current = first
        self.put(first)

    @property
    def full(self) -> bool:
        """Whether no other model may be loaded now."""
        return len(self._lives) + self._ending >= self._most

    def get(self, bundle_id: str) -> LiveModel | None:
        """The live model of a bundle; None where it does not live."""
        life = self._lives.get(bundle_id)
        return None if life is None else life.model

    @contextmanager
    def lease(self, bundle_id: str = "") -> Iterator[LiveModel]:
        """The model of a call, for as long as the block runs: that of a bundle where it lives, else the current one."""
        life = self._lives.get(bundle_id) or self._lives[self.current.bundle_id]
        life.calls += 1
        try:
            yield life.model
        finally:
            life.calls -= 1
            self._end_unneeded(life)

    def session_counted(self, bundle_id: str, change: int) -> None:
        """So many more sessions of a bundle are in the store.

        Args:
            bundle_id: that answers them; it lives.
            change: 1 or −1.
        """
        life = self._lives[bundle_id]
        life.sessions += change
        self._observer.bundle_sessions_changed(bundle_id, life.sessions)
        self._end_unneeded(life)

    def put(self, model: LiveModel) -> None:
        """New calls and sessions are answered by this model from now on; it may be one that lives already."""
        before = self._lives.get(self.current.bundle_id)
        life = self._lives.setdefault(model.bundle_id, _Life(model))
        self.current = life.model
        self._observer.model_answers(model)
        self._observer.bundle_sessions_changed(model.bundle_id, life.sessions)
        if before is not None:
            self._end_unneeded(before)

    def describe(self) -> list[model_pb2.LiveBundle]:
        """Those that live, the current one first."""
        lives = sorted(self._lives.values(), key=lambda life: life.model is not self.current)
        return [
            model_pb2.LiveBundle(
                bundle_id=life.model.bundle_id, sessions=life.sessions, current=life.model is self.current
            )
            for life in lives
        ]

    def oldest_running(self) -> float | None:
        """Seconds since the oldest batch of all models was launched; None where none runs. From any thread."""
        ages = [life.model.batcher.oldest_running() for life in tuple(self._lives.values())]
        return max((age for age in ages if age is not None), default=None)

    @property
    def in_a_row(self) -> int:
        """Calls that the network of one of them has failed since the last that it did not: the most of all."""
        return max(life.model.network.in_a_row for life in self._lives.values())

    async def probe(self) -> None:
        """Put a crop of our own through every network that fails.

        Raises:
            Exception: whatever one of them raises.
        """
        for life in tuple(self._lives.values()):
            if life.model.network.in_a_row:
                await life.model.probe()

    def close(self) -> None:
        """Free all that live. Blocks."""
        for life in self._lives.values():
            life.model.close()

    def _end_unneeded(self, life: _Life) -> None:
        model = life.model
        if model is self.current or life.calls or life.sessions or self._lives.get(model.bundle_id) is not life:
            return
        del self._lives[model.bundle_id]
        self._observer.bundle_gone(model.bundle_id)
        self._observer.bundle_sessions_changed(model.bundle_id, None)
        self._ending += 1
        _free(model, asyncio.get_running_loop(), self._freed)

    def _freed(self) -> None:
        self._ending -= 1


def _free(model: LiveModel, loop: asyncio.AbstractEventLoop, done: Callable[[], object]) -> None:
    """Free a model in a thread of its own, and give its memory back; ``done`` is called on the loop."""
    held, gone = [model], weakref.ref(model.aligner)  # taken out there: the thread itself must not keep it

    def free() -> None:
        held.pop().close()
        until = time.monotonic() + _LET_GO
        while gone() is not None and time.monotonic() < until:  # the stream that ended last lets go of it soon
            time.sleep(_PAUSE)
        gc.collect()  # what an error left in a circle
        give_memory_back()
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(done)

    threading.Thread(target=free, name="free model", daemon=True).start()
