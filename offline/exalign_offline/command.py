"""``exalign-model track-files``: faces through many videos, without a server: JSON lines, and files of other tools."""

from __future__ import annotations

import argparse
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from exalign.cli_support import UsageError, json_text, report
from exalign_client.commands.export import add_points_option
from exalign_client.formats import FORMATS
from exalign_engine.bundle.bundle import Bundle
from exalign_engine.commands.arguments import add_bundle, bundle_path
from exalign_engine.commands.files import Files, bundle_read
from exalign_engine.tracking.options import DETECT_EVERY, SessionOptions
from exalign_offline.one_video.place import WORK, Place, Report
from exalign_offline.one_video.settings import RunSettings
from exalign_offline.running.here import track_here
from exalign_offline.running.on_ray import require_ray, track_on_ray
from exalign_offline.running.progress import Progress, shown
from exalign_offline.videos import VideoFile, find_videos


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO|DIR", help="videos, and directories of them")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory of the results")
    parser.add_argument(
        "--format",
        action="append",
        choices=FORMATS,
        default=[],
        help="also write this of each video, beside its JSON lines; may be given again",
    )
    add_points_option(parser)
    parser.add_argument("--max-faces", type=int, default=1, metavar="N", help="faces at once (default: 1)")
    parser.add_argument("--detector", metavar="NAME", help="detector that finds faces")
    parser.add_argument(
        "--detect-every",
        type=int,
        default=DETECT_EVERY,
        metavar="N",
        help=f"look for new faces on every N-th frame; 0: only on loss (default: {DETECT_EVERY})",
    )
    parser.add_argument(
        "--lag", type=int, default=0, metavar="N", help="each answer also rests on the N frames after it"
    )
    parser.add_argument(
        "--checkpoint-frames",
        type=int,
        default=300,
        metavar="N",
        help="keep how far a video is after every N frames: so much is done again at most (default: 300)",
    )
    add_bundle(parser)
    parser.set_defaults(threads=1)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--cluster", metavar="ADDRESS", help="a Ray cluster, such as auto or HOST:6379")
    where.add_argument("--single-process", action="store_true", help="without Ray: one video after the other")
    parser.add_argument("--workers", type=int, metavar="N", help="videos at a time (default: cores here ÷ --threads)")
    parser.add_argument("--json", action="store_true", help="what came of each video as JSON, a line each")


def files(args: argparse.Namespace) -> Files:
    """What is written and read."""
    return Files((args.out,), (*args.videos, *bundle_read(args)))


def run(args: argparse.Namespace) -> int:
    """Track what is not done yet."""
    for name, least in (("workers", 1), ("threads", 1), ("checkpoint_frames", 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise UsageError(f"--{name.replace('_', '-')}: is {value}, must be at least {least}")
    settings = RunSettings(
        bundle=str(bundle_path(args).absolute()),
        runtime=args.runtime,
        precision=args.precision,
        threads=args.threads,
        detector=args.detector,
        session=SessionOptions(smoothing_lag=args.lag, max_faces=args.max_faces, detect_every=args.detect_every),
        formats=tuple(dict.fromkeys(args.format)),
        points=args.points,
        checkpoint_frames=args.checkpoint_frames,
    )
    if "parquet" in settings.formats:
        import_module("pyarrow")  # before anything is done for nothing
    if not args.single_process:
        require_ray(args.cluster)
    videos, out = find_videos(args.videos), args.out.absolute()
    name = settings.name(Bundle.load(Path(settings.bundle)))
    with one_run(out):
        done, rest = _divided(videos, settings, out, name)
        if done:
            report(f"exalign-model: {len(done)} of {len(videos)} videos are done already")
        with shown(Progress(videos, out)):
            if args.single_process:
                reports = track_here(settings, rest, out)
            else:
                workers = args.workers or max(1, (os.cpu_count() or 1) // args.threads)
                reports = track_on_ray(settings, name, rest, out, workers, args.cluster)
            found = [*done, *(reports if rest else ())]
    return _reported(found, as_json=args.json)


def _divided(
    videos: list[VideoFile], settings: RunSettings, out: Path, name: str
) -> tuple[list[Report], list[VideoFile]]:
    """What is done, with all that is wanted of it; and what is not."""
    done, rest = [], []
    for video in videos:
        found = Place(out, video.name, Path(video.path), name).done()
        wanted = set(settings.formats)
        if found is None or not wanted <= set(found.formats) or (wanted and found.points != settings.points):
            rest.append(video)
        else:
            done.append(found.report)
    return done, rest


@contextmanager
def one_run(out: Path) -> Iterator[None]:
    """No other run writes to this directory in this block.

    Raises:
        UsageError: one does.
    """
    (out / WORK).mkdir(parents=True, exist_ok=True)
    with (out / WORK / "lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"--out: another run writes to {out}") from None
        yield


def _reported(reports: list[Report], *, as_json: bool) -> int:
    """Say what came of the videos; the exit code."""
    for one in sorted(reports, key=lambda one: one.name):
        if as_json:
            print(json_text({key: value for key, value in asdict(one).items() if value not in ("", None)}))
        if one.error:
            report(f"exalign-model: {one.name}: {one.error}")
            continue
        if one.problems:
            used = f"{one.problems} of {one.frames} frames could not be used"
            report(f"exalign-model: {one.name}: {used}; {one.first_problem}")
        if one.short:
            report(f"exalign-model: {one.name}: {one.short}")
        if not one.frames:
            report(f"exalign-model: {one.name}: no frame in it can be read")
    if not as_json:
        whole = sum(one.whole for one in reports)
        print(f"{len(reports)} videos, {sum(one.frames for one in reports)} frames; {len(reports) - whole} not whole")
    return 0 if all(one.whole for one in reports) else 1
