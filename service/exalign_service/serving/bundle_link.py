"""The link `current` in the directory of bundles: which bundle its operator wants."""

from __future__ import annotations

import logging
from pathlib import Path

from exalign_engine.bundle.bundle import MANIFEST
from exalign_service.rpc.clock import Clock
from exalign_service.rpc.errors import BundlesFullError, NotServingError, PreconditionError
from exalign_service.serving.loading import CURRENT
from exalign_service.serving.own_thread import in_own_thread
from exalign_service.serving.swap import ModelSwap, SwapObserver

_log = logging.getLogger(__name__)

#: It is looked at so often, seconds.
LOOK = 1.0

#: A bundle's directory, and times, size and number of its manifest: another bundle in its place has others.
_Target = tuple[Path, tuple[int, ...]]


class BundleLink:
    """Follows the link. For the event loop's thread.

    A bundle that is refused is not tried again before the link, or what it leads to, has changed. One for which there
    is no room waits: it is tried again at each look.

    Args:
        directory: holds the link.
        swap: is asked for what it names.
        observer: a link that leads to no bundle any more counts as a swap that was refused.
        clock: the time between looks.
    """

    def __init__(self, directory: Path, swap: ModelSwap, observer: SwapObserver, clock: Clock) -> None:
        self._link, self._swap, self._observer, self._clock = directory / CURRENT, swap, observer, clock
        self._seen: _Target | None = None
        self._waiting: _Target | None = None

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:  # noqa: BLE001  # a look that fails must not be the last
                _log.exception("the directory of bundles cannot be looked at")
            await self._clock.sleep(LOOK)

    async def look(self) -> None:
        """Look once; returns when what was found is done."""
        target = await in_own_thread(_target, self._link)
        if target == self._seen:
            return
        if target is None:
            _log.error("the link names no bundle: the one before goes on answering")
            self._observer.swap_ended("refused")
            self._seen = None
            return
        try:
            await self._swap.to(target[0])
        except NotServingError:
            return
        except BundlesFullError as e:
            if self._waiting != target:
                self._waiting = target
                _log.warning("a bundle waits", extra={"fields": {"bundle": target[0].name, "reason": str(e)}})
            return
        except PreconditionError:  # it is in the log, and counted
            pass
        self._seen, self._waiting = target, None


def _target(link: Path) -> _Target | None:
    """What the link leads to; None where that is no bundle."""
    try:
        path = link.resolve(strict=True)
        s = (path / MANIFEST).stat()
    except OSError:
        return None
    return path, (s.st_mtime_ns, s.st_ctime_ns, s.st_size, s.st_ino)
