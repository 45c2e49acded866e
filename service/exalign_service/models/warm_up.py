"""Once through everything that is slow the first time: kernels are compiled or read, sizes of batches prepared.

What a face needs comes first, and a server that starts serves after it. The rest follows in a thread of its own, while
faces are answered. Calls that need it wait for it before they take a thread or a place of a session. A model that
takes another's place has had all of it before.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from exalign_engine.arrays import U8
from exalign_engine.face.aligner import Aligner, Face, LocatedFace
from exalign_engine.face.views import warm_up as warm_up_views
from exalign_engine.network.outputs import FaceOutputs
from exalign_service.models.session_factory import SessionFactory

_log = logging.getLogger(__name__)


class WarmUp:
    """Warms up one model. For the event loop's thread, but for `faces` and `whole`.

    Args:
        aligner: the model.
        sessions: makes sessions of videos.
        max_batch: the largest batch that the network will see.

    Attributes:
        sessions: as given.
        views: heatmaps, evidence and pose are as fast as later; set also where nothing is to be warmed up.
        videos: so are videos.
    """

    def __init__(self, aligner: Aligner, sessions: SessionFactory, max_batch: int) -> None:
        self._aligner, self.sessions, self._max_batch = aligner, sessions, max_batch
        self.views, self.videos = asyncio.Event(), asyncio.Event()
        self._stopping, self._thread = threading.Event(), threading.Thread(target=lambda: None)
        #: Nothing of the model is touched any more.
        self._ended = threading.Event()
        #: Whether `whole` is at work.
        self._whole = False

    def skip(self) -> None:
        """Nothing is warmed up: who is never asked for a view need not wait for it."""
        self.views.set()
        self.videos.set()

    def faces(self) -> None:
        """Warm up what a face needs. Blocks, for a second; for five where no kernel has been compiled yet."""
        _log.info("warming up", extra={"fields": {"step": "network and landmarks"}})
        self._aligner.warm_up()

    def whole(self) -> None:
        """Warm up everything, until it is stopped. Blocks; for a model that answers nobody yet."""
        self._whole = True
        try:
            self.faces()
            for step, _ in self._steps():
                step()
        finally:
            self._whole = False

    def begin(self, done: Callable[[], object]) -> None:
        """Warm up the rest, in a thread.

        Args:
            done: called when that has ended, well or not.
        """
        loop = asyncio.get_running_loop()

        def warm_up() -> None:
            start, failed = time.monotonic(), False
            try:
                for step, event in self._steps():
                    step()
                    if event is not None:
                        loop.call_soon_threadsafe(event.set)
            except Exception:  # noqa: BLE001  # whoever asks for it meets it again, and is told
                _log.exception("warming up failed")
                failed = True
            self._ended.set()
            if not self._stopping.is_set():
                loop.call_soon_threadsafe(end, None if failed else time.monotonic() - start)

        def end(seconds: float | None) -> None:
            self.skip()
            done()
            # Said last: who reads it may end the process, which then has nothing of this left to do.
            if seconds is not None:
                _log.info("warm", extra={"fields": {"seconds": round(seconds, 3)}})

        self._thread = threading.Thread(target=warm_up, name="warm up", daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End it after the step that it is in, from any thread.

        Args:
            seconds: how long to wait for that; a step that compiles cannot be interrupted.
        """
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    @property
    def running(self) -> bool:
        """Whether the thread works, or `whole`. From any thread."""
        return self._whole or (self._thread.is_alive() and not self._ended.is_set())

    def _steps(self) -> Iterator[tuple[Callable[[], object], asyncio.Event | None]]:
        """What comes after `faces`, and what is as fast as later then; no more of it once it is stopped."""
        steps = ((self._warm_views, self.views), (self._warm_videos, self.videos), (self._warm_batches, None))
        for step, event in steps:
            if not self._stopping.is_set():
                yield step, event

    def _warm_views(self) -> None:
        _log.info("warming up", extra={"fields": {"step": "heatmaps, evidence and pose"}})
        place, row = self._example()
        bundle = self._aligner.bundle
        warm_up_views(Face(place, self._aligner.posterior(row)), bundle.poses, bundle.manifest.margin)

    def _warm_videos(self) -> None:
        _log.info("warming up", extra={"fields": {"step": "videos"}})
        self.sessions.warm_up(*self._example())

    def _warm_batches(self) -> None:
        _log.info("warming up", extra={"fields": {"step": "sizes of batches"}})
        # The largest first: the others then find room in what it took, 50 MB in all.
        for size in range(self._max_batch, 1, -1):
            if self._stopping.is_set():
                return
            self._aligner.runtime.infer(np.repeat(self._grey_crop()[None], size, axis=0))

    def _example(self) -> tuple[LocatedFace, FaceOutputs]:
        """A face of which all scores are alike: every exemplar counts."""
        size = float(self._aligner.bundle.manifest.input_size)
        answer = self._aligner.runtime.infer(self._grey_crop()[None]).row(0)
        place = self._aligner.place(np.array([0.0, 0.0, size, size]))
        return place, replace(answer, scores=np.zeros_like(answer.scores))

    def _grey_crop(self) -> U8:
        size = self._aligner.bundle.manifest.input_size
        return np.full((size, size, 3), 128, np.uint8)
