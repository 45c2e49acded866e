"""Running the video suite, and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from exalign_engine.evaluation.video.clips import PHASES, ClipMaker
from exalign_engine.evaluation.video.methods import METHODS, FrameOutcome, answers, outcomes, watch
from exalign_engine.evaluation.video.real_clips import real_clip_rows
from exalign_engine.evaluation.video.sessions import SESSION_METHODS, track_video
from exalign_engine.face.aligner import Aligner
from exalign_engine.hmm.chain import Chain
from exalign_engine.metrics.accuracy import FAILURE
from exalign_engine.progress import Progress

Rows = list[dict[str, Any]]


def run_video_suite(
    aligner: Aligner,
    chain: Chain,
    maker: ClipMaker,
    *,
    count: int,
    threads: int = 2,
    progress: Progress | None = None,
) -> dict[str, list[FrameOutcome]]:
    """Judge every method on every clip.

    Args:
        aligner: the model, with the default detector.
        chain: of its exemplars.
        maker: of the clips.
        count: how many clips, from the first.
        threads: clips at a time.
        progress: told how many clips are done.

    Returns:
        By whose boxes they are: "given", the same for all methods, and "own", those of a session.
    """

    def job(index: int) -> tuple[list[FrameOutcome], list[FrameOutcome]]:
        watched = watch(aligner, maker.clip(index))
        frames, start = watched.clip.frames, watched.clip.given[0]
        own = {m: track_video(aligner, chain, m, frames, start).answers for m in SESSION_METHODS}
        given = outcomes(watched, answers(watched, chain), aligner.bundle)
        return given, outcomes(watched, own, aligner.bundle)

    found: dict[str, list[FrameOutcome]] = {"given": [], "own": []}
    with ThreadPoolExecutor(threads) as pool:
        for done, (given, own) in enumerate(pool.map(job, range(count)), 1):
            found["given"] += given
            found["own"] += own
            if progress:
                progress(done)
    return found


def run_real_clips(
    aligner: Aligner, chain: Chain, paths: Sequence[Path], *, threads: int = 2, progress: Progress | None = None
) -> Rows:
    """Follow real videos: the rows of `exalign_engine.evaluation.video.real_clips`."""
    table: Rows = []
    with ThreadPoolExecutor(threads) as pool:
        for done, part in enumerate(pool.map(lambda path: real_clip_rows(aligner, chain, path), paths), 1):
            table += part
            if progress:
                progress(done)
    return table


def rows(found: Sequence[FrameOutcome]) -> Rows:
    """Figures by method and phase; phases that no frame belongs to are left out.

    Frames without an answer are failures, and count in nothing else.
    """
    table = []
    for method in METHODS:
        for phase in PHASES:
            part = [o for o in found if (o.method, o.phase) == (method, phase)]
            if not part:
                continue
            errors = np.array([o.error for o in part])
            there = np.isfinite(errors)
            ends = np.array([o.yaw_interval for o in part if o.yaw_interval is not None]).reshape(-1, 2)
            held = (ends[:, 0] <= 0) & (ends[:, 1] >= 0)
            table.append(
                {
                    "method": method,
                    "phase": phase,
                    "n": len(part),
                    "nrmse_mean": round(float(errors[there].mean()), 6) if there.any() else None,
                    "failure_rate": round(100 * float((errors > FAILURE).mean()), 4),
                    "yaw_interval_deg": round(float(np.diff(ends).mean()), 4) if there.any() else None,
                    "yaw_coverage": round(100 * float(held.mean()), 4) if there.any() else None,
                }
            )
    return table


def video_report(found: Mapping[str, Sequence[FrameOutcome]], real: Rows) -> dict[str, Any]:
    """What the suite prints; "real_clips" only where there are any."""
    table = [{"boxes": boxes} | row for boxes, part in found.items() for row in rows(part)]
    return {"suite": "video", "rows": table} | ({"real_clips": real} if real else {})
