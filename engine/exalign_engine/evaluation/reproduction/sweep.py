"""Training the runs that have no CSV file yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from exalign_engine.evaluation.reproduction.faces import SweepFaces
from exalign_engine.evaluation.reproduction.measures import measure, run_rows
from exalign_engine.evaluation.reproduction.neighbours import neighbour_rows
from exalign_engine.evaluation.reproduction.runs import BATCH, MAIN, Run
from exalign_engine.evaluation.reproduction.tables import write_table
from exalign_engine.progress import Progress
from exalign_engine.train.fixed_samples import learn

#: Folders of the runs' CSV files.
RUNS, NEIGHBOURS = "runs", "neighbours"

#: A bar for one run: from how many steps and its name.
Bar = Callable[[int, str], Progress]


def open_runs(folder: Path, runs: Sequence[Run]) -> list[Run]:
    """The runs that have no CSV file yet, each once, in order."""
    return [run for run in dict.fromkeys(runs) if not run_path(folder, run).is_file()]


def run_path(folder: Path, run: Run) -> Path:
    """The CSV file of a run; that it exists says that the run is done."""
    return folder / RUNS / f"{run.name}.csv"


def do_run(folder: Path, run: Run, faces: SweepFaces, bar: Bar | None = None) -> None:
    """Train, measure, and write the run's CSV files; the one that says that it is done comes last."""
    config, exemplars = run.config(faces.epochs), faces.exemplars(run)
    samples = faces.samples(run.synthetic)
    steps = config.epochs * (len(samples.crops) // faces.epochs // BATCH)
    progress = bar(steps, run.name) if bar else None
    learned = learn(config, samples, exemplars, passes=run.passes, sharing=run.sharing, progress=progress)
    train, val = (measure(learned, run, exemplars, part) for part in (faces.measured_train, faces.plain_val))
    if exemplars.recipe is not None and run == replace(MAIN, variants=run.variants, seed=run.seed):
        rows = neighbour_rows(learned, run, exemplars, faces.plain_train, faces.plain_val)
        write_table(folder / NEIGHBOURS / f"{run.name}.csv", rows)
    write_table(run_path(folder, run), run_rows(run, config.epochs, exemplars.count, train, val, faces.subsets))
