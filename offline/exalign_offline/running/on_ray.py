"""Videos on Ray Data: an actor with a model for each worker, a block for each video.

Ray brings work to workers and starts those anew that die; the video that one had is then tracked again by another, from
its checkpoint. What is done once and what goes on where is decided by the files alone (`one_video.place`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from exalign_engine.errors import RuntimeUnavailableError
from exalign_offline.one_video.place import Report
from exalign_offline.one_video.settings import OpenModel, RunSettings
from exalign_offline.one_video.tracking import track_video
from exalign_offline.videos import VideoFile

#: What Ray asks the environment: who looks at faces reports to nobody, and a progress of our own is shown.
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1", "RAY_DEDUP_LOGS": "0"}


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

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Track the video of a row; see `Report`."""
        video = VideoFile(str(row["path"]), str(row["name"]))
        return asdict(track_video(self._model, self._settings, video, self._out))


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
    os.environ.update({key: value for key, value in _ENVIRONMENT.items() if key not in os.environ})
    with _ray(workers * settings.threads, cluster) as data:
        rows = data.from_items([asdict(video) for video in videos], override_num_blocks=len(videos))
        reports = rows.map(
            Worker,
            fn_constructor_args=(settings, name, str(out)),
            concurrency=(1, workers),
            num_cpus=settings.threads,
        )
        for row in reports.iter_rows():
            yield Report(**row)


@contextmanager
def _ray(cpus: int, cluster: str | None) -> Iterator[Any]:
    """Ray Data, connected for the length of a ``with`` block.

    Raises:
        RuntimeUnavailableError: see `track_on_ray`.
    """
    import ray
    import ray.data
    from ray.exceptions import RayError

    options: dict[str, Any] = {"configure_logging": False, "log_to_driver": False}
    if cluster is None:
        # On loopback only: whoever reaches Ray's ports can run code.
        options |= {"address": "local", "num_cpus": cpus, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    else:
        options |= {"address": cluster}
    try:
        ray.init(**options)
    except (RayError, ConnectionError, RuntimeError, ValueError) as error:
        raise RuntimeUnavailableError(f"Ray: {str(error).strip().splitlines()[0]}") from error
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        yield ray.data
    except RayError as error:
        raise RuntimeUnavailableError(f"Ray: {str(error).strip().splitlines()[-1]}") from error
    finally:
        ray.shutdown()
