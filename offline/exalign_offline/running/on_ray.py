"""Videos on Ray: an actor with a model for each worker, a task for each video.

Ray brings work to workers and starts those anew that die; the video that one had is then tracked again, from its
checkpoint. What is done once and what goes on where is decided by the files alone (`one_video.place`).
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

from exalign.cli_support import abandon_thread
from exalign_engine.errors import RuntimeUnavailableError
from exalign_offline.one_video.place import Report
from exalign_offline.one_video.settings import OpenModel, RunSettings
from exalign_offline.one_video.tracking import track_video
from exalign_offline.videos import VideoFile

#: What Ray asks the environment: who looks at faces reports to nobody.
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0"}

#: It has so long to start, seconds.
_START = 180.0

#: Shared memory of a run on this machine, bytes: only names and reports go through it.
_OBJECTS = 100_000_000


class Worker:
    """Tracks videos in a process of Ray's. Opening the model is what each does once.

    Args:
        settings: of the run.
        name: of the model (`RunSettings.name`), as whoever sends the videos knows it.
        out: directory of all results, as this machine sees it.
    """

    def __init__(self, settings: RunSettings, name: str, out: str) -> None:
        self._settings, self._out = settings, Path(out)
        self._model = OpenModel(settings)
        if self._model.name != name:
            raise RuntimeUnavailableError("this machine has another bundle, or another version of this software")

    def ready(self) -> None:
        """Answered when the model is open."""

    def track(self, video: VideoFile) -> Report:
        """Track a video; see `track_video`."""
        return track_video(self._model, self._settings, video, self._out)


def require_ray(cluster: str | None) -> Any:
    """Ray, told to keep to itself before it is imported.

    Args:
        cluster: address of one; None: it is to be started here.

    Raises:
        ModuleNotFoundError: it is not installed (extra ``ray``).
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if cluster is None:
        # See docs/decisions/offline.md: it takes an address that others reach in the place of 127.0.0.1, unless told
        # that there are no other machines; and a token of its own would lie in the user's home, for others to read.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        if "RAY_AUTH_MODE" not in os.environ:
            os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    import ray

    return ray


def track_on_ray(
    settings: RunSettings, name: str, videos: Sequence[VideoFile], out: Path, workers: int, cluster: str | None
) -> Iterator[Report]:
    """Track videos, and yield what came of each, in the order in which they end.

    Args:
        settings: of the run.
        name: of the model; see `Worker`.
        videos: what is to be tracked.
        out: directory of all results, which every machine must see.
        workers: videos that are tracked at a time.
        cluster: address of a Ray cluster; None: workers on this machine, which end with this process.

    Raises:
        RuntimeUnavailableError: Ray cannot be reached, or gives up.
    """
    largest_first = deque(sorted(videos, key=lambda video: -Path(video.path).stat().st_size))
    open_, workers = len(videos), min(workers, len(videos))
    with _connected(workers * settings.threads, cluster) as ray:
        # Whoever dies is started anew, and what it did is done again.
        kind = ray.remote(num_cpus=settings.threads, max_restarts=-1, max_task_retries=-1)(Worker)
        started = [kind.remote(settings, name, str(out)) for _ in range(workers)]
        # A video waits for a worker that is there: on a small cluster some may never be. Futures are waited for, not
        # Ray itself: a signal that comes in `ray.wait` is taken for another, and may abort the process.
        awaited: dict[Future[Report | None], Any] = {worker.ready.remote().future(): worker for worker in started}
        while open_:
            for ended in wait(awaited, return_when=FIRST_COMPLETED).done:
                worker, report = awaited.pop(ended), ended.result()
                if largest_first:
                    awaited[worker.track.remote(largest_first.popleft()).future()] = worker
                if report is not None:
                    open_ -= 1
                    yield report


@contextmanager
def _connected(cpus: int, cluster: str | None) -> Iterator[Any]:
    """Ray, for the length of a ``with`` block.

    Raises:
        RuntimeUnavailableError: see `track_on_ray`.
    """
    ray = require_ray(cluster)
    logging.getLogger("ray").setLevel(logging.ERROR)
    options: dict[str, Any] = {"address": cluster, "configure_logging": False, "log_to_driver": False}
    with ExitStack() as stack:
        if cluster is None:
            # On loopback only: whoever reaches Ray's ports can run code.
            options |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}
            options["object_store_memory"] = _OBJECTS
            options["_temp_dir"] = stack.enter_context(
                TemporaryDirectory(prefix="exalign-", ignore_cleanup_errors=True)
            )
        stack.enter_context(_started(ray, options))
        try:
            yield ray
        except ray.exceptions.RayError as error:
            raise RuntimeUnavailableError(f"Ray: {_last_line(error)}") from error


@contextmanager
def _started(ray: Any, options: dict[str, Any]) -> Iterator[None]:
    """Ray, for the length of a ``with`` block.

    ``ray.init`` is called in a thread of its own: where a part of Ray dies meanwhile it may never return, and sees no
    signal. The thread stays to the end, for what it has started ends with it.

    Raises:
        RuntimeUnavailableError: it fails, or takes too long.
    """
    started, over, ends = Future[None](), Event(), time.monotonic() + _START
    Thread(target=_run, args=(ray, options, started, over), name="ray", daemon=True).start()
    try:
        while not started.done() and time.monotonic() < ends:
            wait([started], timeout=0.5)
    finally:
        if not started.done():
            abandon_thread()
    if not started.done():
        raise RuntimeUnavailableError(f"Ray has not started within {_START:.0f} s")
    error = started.exception()
    if error is not None:
        raise RuntimeUnavailableError(f"Ray: {_last_line(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()
        over.set()


def _run(ray: Any, options: dict[str, Any], started: Future[None], over: Event) -> None:
    """Start Ray in this thread, and keep the thread until it is over."""
    try:
        ray.init(**options)
    except BaseException as error:  # noqa: BLE001  # it raises what it likes; it is raised where somebody waits
        started.set_exception(error)
    else:
        started.set_result(None)
        over.wait()


def _last_line(error: BaseException) -> str:
    """Of its text: Ray's errors begin with where they came from."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
