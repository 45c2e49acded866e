"""Another bundle in the place of the one that answers, while calls and sessions go on.

The new one is loaded, verified, compared with the reference and warmed up in a thread, beside the old one. Then one
reference is switched (`exalign_service.models.live_models`). Whatever goes wrong before that changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from exalign_engine.bundle.bundle import MANIFEST, sha256
from exalign_engine.errors import BundleError, InvalidInputError
from exalign_service.models.live_model import LiveModel
from exalign_service.models.live_models import LiveModels
from exalign_service.rpc.errors import BundlesFullError, ModelNotFoundError, NotServingError, PreconditionError
from exalign_service.serving.loading import LoadedModel
from exalign_service.serving.own_thread import in_own_thread

_log = logging.getLogger(__name__)

T = TypeVar("T")

#: What a bundle in the directory may be called on the wire: nothing that leads elsewhere.
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")

#: When to try again where as many bundles live as may, seconds.
_RETRY_AFTER = 5.0


@dataclass(frozen=True)
class Swapped:
    """What a swap has come to.

    Attributes:
        bundle_id: the bundle that answers now.
        previous_bundle_id: the one that answered before; the same where nothing has changed.
    """

    bundle_id: str
    previous_bundle_id: str


class SwapObserver(Protocol):
    """Counts swaps."""

    def swap_ended(self, result: str) -> None:
        """A swap has ended: one of `model_metrics.SWAP_RESULTS`."""


class ModelSwap:
    """Swaps the model of one server. For the event loop's thread.

    Args:
        directory: of the bundles.
        models: which of them live.
        load: loads the bundle of a directory. Blocks.
        made_live: makes of it what answers.
        observer: see `SwapObserver`.
        not_ready: why no swap may begin yet, or any more; empty: one may.
    """

    def __init__(
        self,
        directory: Path,
        models: LiveModels,
        load: Callable[[Path], LoadedModel],
        made_live: Callable[[LoadedModel], LiveModel],
        observer: SwapObserver,
        not_ready: Callable[[], str],
    ) -> None:
        self._directory, self._models, self._observer = directory, models, observer
        self._load, self._made_live, self._not_ready = load, made_live, not_ready
        self._now: tuple[Path, asyncio.Task[Swapped]] | None = None
        #: Set while no thread loads or warms up a bundle.
        self._idle = threading.Event()
        self._idle.set()

    @property
    def working(self) -> bool:
        """Whether a thread loads or warms up a bundle; it cannot be interrupted, and nothing waits for it."""
        return not self._idle.is_set()

    async def by_name(self, name: str) -> Swapped:
        """Put a bundle of the directory in the place of the one that answers; see `to`.

        Raises:
            InvalidInputError: it is no name.
            ModelNotFoundError: there is no such bundle.
        """
        if not _NAME.fullmatch(name):
            text = f"is {name[:100]!r}, must be 1 to 100 of [A-Za-z0-9._-], not beginning with a point"
            raise InvalidInputError.of("bundle", text)
        path = await in_own_thread((self._directory / name).resolve)
        if not await in_own_thread(path.is_dir):
            raise ModelNotFoundError(f"bundle: there is no bundle {name!r} in the server's directory")
        try:
            return await self.to(path)
        except BundlesFullError:
            self._observer.swap_ended("no_room")
            raise

    async def to(self, path: Path) -> Swapped:
        """Put a bundle in the place of the one that answers. It goes on where this is cancelled.

        Asked for what is in progress, this waits for it; asked for what answers, it changes nothing.

        Args:
            path: the bundle's directory.

        Raises:
            NotServingError: the server is starting or shutting down.
            BundlesFullError: as many bundles live as may, or a swap to another one is in progress.
            PreconditionError: the bundle is refused (BUNDLE_REFUSED).
        """
        if reason := self._not_ready():
            raise NotServingError(reason)
        if await self._answers(path):
            return Swapped(self._models.current.bundle_id, self._models.current.bundle_id)
        if self._now is not None and self._now[0] != path:
            raise BundlesFullError("another swap is in progress", _RETRY_AFTER)
        if self._now is None:
            self._now = path, asyncio.create_task(self._swap(path))
            self._now[1].add_done_callback(self._ended)
        return await asyncio.shield(self._now[1])

    def cancel(self) -> None:
        """The server ends: what is in progress will not be used."""
        if self._now is not None:
            self._now[1].cancel()

    def _ended(self, task: asyncio.Task[Swapped]) -> None:
        self._now = None
        if not task.cancelled():
            task.exception()  # who waits is told; who has left is not missed

    async def _swap(self, path: Path) -> Swapped:
        start, before = time.monotonic(), self._models.current
        try:
            model = await self._live(path)
        except (BundlesFullError, NotServingError):
            raise
        except Exception as e:
            self._observer.swap_ended("refused")
            _log.error("bundle refused", exc_info=e, extra={"fields": {"bundle": path.name, "error": str(e)}})
            raise PreconditionError("BUNDLE_REFUSED", f"bundle: {path.name!r} is refused: {_shown(e)}") from e
        self._models.put(model)
        self._observer.swap_ended("used")
        fields = {"bundle": model.bundle_id[:12], "before": before.bundle_id[:12]}
        _log.info("model swapped", extra={"fields": {**fields, "seconds": round(time.monotonic() - start, 3)}})
        return Swapped(model.bundle_id, before.bundle_id)

    async def _answers(self, path: Path) -> bool:
        """Whether it is the bundle of a directory that answers."""
        try:
            return await in_own_thread(sha256, path / MANIFEST) == self._models.current.bundle_id
        except BundleError:  # said where it is loaded
            return False

    async def _live(self, path: Path) -> LiveModel:
        """The model of a bundle, as fast as it will ever be."""
        live = self._models.get(await in_own_thread(sha256, path / MANIFEST))
        if live is not None:
            return live
        if self._models.full:
            raise BundlesFullError("as many bundles are in use as there may be", _RETRY_AFTER)
        model = self._made_live(await in_own_thread(self._working, self._load, path))
        try:
            await in_own_thread(self._working, model.warm_up.whole)
            if reason := self._not_ready():
                raise NotServingError(reason)
        except BaseException:
            threading.Thread(target=model.close, name="free model", daemon=True).start()
            raise
        model.warm_up.skip()
        return model

    def _working(self, work: Callable[..., T], *args: object) -> T:
        self._idle.clear()
        try:
            return work(*args)
        finally:
            self._idle.set()


def _shown(error: Exception) -> str:
    """What the caller is told: no path, nor words of libraries that may hold one. The log has all of it."""
    if isinstance(error, BundleError):
        return f"{error.path.name} is wrong; the log says how"
    return f"{type(error).__name__}; the log says why"
