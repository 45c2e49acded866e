"""The pieces of the reproduction: what each writes, and how it is run again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.data.face_source import FaceSource
from exalign_engine.data.source import open_faces
from exalign_engine.evaluation.reproduction.cost import COUNTS, cost_rows
from exalign_engine.evaluation.reproduction.membership import membership_rows
from exalign_engine.evaluation.reproduction.results import SUITES
from exalign_engine.evaluation.reproduction.runs import EPOCHS, PIECES, Run, in_order
from exalign_engine.evaluation.reproduction.suites import (
    SuiteInputs,
    accuracy_rows,
    refinement_rows,
    stress_rows,
    video_rows,
)
from exalign_engine.evaluation.reproduction.tables import write_table
from exalign_engine.geometry.frames import BoxFrame, extract_crop, tight_box
from exalign_engine.progress import Progress
from exalign_engine.runtime import create_runtime

#: Every piece that ``--only`` may name: trainings, and what is measured of a bundle.
MEASURED = ("membership", "cost", *SUITES)
NAMES = (*PIECES, *MEASURED)

#: Faces whose posteriors are timed.
TIMED_FACES = 5

Bar = Callable[[int, str], Progress]


@dataclass(frozen=True)
class Request:
    """What to run again.

    Attributes:
        folder: of the CSV files.
        data: faces with splits ``train`` and ``val``, and ``split``.
        bundle: folder of the model.
        split: what the suites run on.
        only: pieces; empty means all.
        limit: the suites look at so many faces or clips; 0 is all.
        threads: of network and suites; training always has one.
        runtime: executes the network.
        precision: of it.
        bar: opens a progress bar.
        say: tells what was skipped and what is done.
    """

    folder: Path
    data: Path
    bundle: Path
    split: str
    only: tuple[str, ...]
    limit: int
    threads: int
    runtime: str
    precision: str
    bar: Bar
    say: Callable[[str], None]

    def wants(self, piece: str) -> bool:
        """Whether a piece is to be run."""
        return not self.only or piece in self.only


def run_pieces(request: Request) -> None:
    """Run every piece that is wanted and not yet done; each CSV file is written as it ends.

    Raises:
        DataError: the data cannot be read.
    """
    _measure(request)
    _train(request)


def _train(request: Request) -> None:
    """The sweeps."""
    wanted = in_order(run for piece, runs in PIECES.items() if request.wants(piece) for run in runs)
    if not wanted:
        return
    # torch is needed from here on, and by nothing else.
    from exalign_engine.evaluation.reproduction.faces import SweepFaces
    from exalign_engine.evaluation.reproduction.sweep import do_run, open_runs

    runs: list[Run] = open_runs(request.folder, wanted)
    request.say(f"{len(set(wanted)) - len(runs)} of {len(set(wanted))} runs are done already")
    faces = SweepFaces(open_faces(request.data, "train"), open_faces(request.data, "val"), EPOCHS)
    for n, run in enumerate(runs, 1):
        do_run(request.folder, run, faces, partial(_numbered, request.bar, f"{n}/{len(runs)}"))


def _numbered(bar: Bar, number: str, total: int, what: str) -> Progress:
    return bar(total, f"{number} {what}")


def _measure(request: Request) -> None:
    """What is measured of the bundle."""
    files = {"membership": "membership.csv", "cost": "cost.csv"}
    files |= {suite: suite_file(suite, request.split, request.limit) for suite in SUITES}
    wanted = {piece: request.folder / name for piece, name in files.items() if request.wants(piece)}
    for path in wanted.values():
        if path.is_file():
            request.say(f"{path} is there already")
    wanted = {piece: path for piece, path in wanted.items() if not path.is_file()}
    if not wanted:
        return
    bundle = Bundle.load(request.bundle)
    if "membership" in wanted:
        write_table(wanted.pop("membership"), membership_rows(bundle))
    if not wanted:
        return
    runtime = create_runtime(request.runtime, bundle.network, threads=request.threads, precision=request.precision)
    faces = open_faces(request.data, request.split)
    if "cost" in wanted:
        crops = _some_crops(bundle, faces)
        rows = cost_rows(bundle, runtime, crops, progress=request.bar(len(COUNTS), "cost"))
        write_table(wanted["cost"], rows)
    setting = SuiteInputs(bundle, runtime, faces, request.split, request.threads, request.limit, request.bar)
    if "accuracy" in wanted:
        figures, curves = accuracy_rows(setting)
        write_table(request.folder / suite_file("curves", request.split, request.limit), curves)
        write_table(wanted["accuracy"], figures)
    for suite, measured in (("refinement", refinement_rows), ("video", video_rows), ("stress", stress_rows)):
        if suite in wanted and (rows := measured(setting)):
            write_table(wanted[suite], rows)


def suite_file(suite: str, split: str, limit: int) -> str:
    """Name of the CSV file of a suite on a split, or on a part of it."""
    return f"{suite}-{split}-limit{limit}.csv" if limit else f"{suite}-{split}.csv"


def _some_crops(bundle: Bundle, faces: FaceSource) -> list[NDArray[np.uint8]]:
    m = bundle.manifest
    crops = []
    for i in np.linspace(0, len(faces) - 1, min(TIMED_FACES, len(faces))).astype(int):
        frame = BoxFrame.from_box(tight_box(faces.landmarks[i]))
        crops.append(extract_crop(faces.image(int(i)), frame, m.margin, m.input_size))
    return crops
