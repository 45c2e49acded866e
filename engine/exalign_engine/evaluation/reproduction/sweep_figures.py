"""Rows of the training runs → Fig. 3, Fig. 5, Fig. 9 and the choice of τ."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from matplotlib.figure import Figure as Canvas

from exalign_engine.evaluation.reproduction.blocks import (
    Block,
    Figure,
    Section,
    Table,
    Text,
    missing,
    number,
    percent,
    spread,
)
from exalign_engine.evaluation.reproduction.results import Results
from exalign_engine.evaluation.reproduction.runs import EPOCHS, KMEANS_K, LOSSES, TAU
from exalign_engine.evaluation.reproduction.tables import Row

NAMES = {"softmax": "softmax", "soft-target": "soft target", "multilabel": "multi-label"}

#: Panels of Fig. 3: column and its name.
ERRORS = (
    ("top1_nrmse", "landmark error, best exemplar, %"),
    ("mean_nrmse", "landmark error, mixture mean, %"),
    ("class_error", "classification error, %"),
    ("member_error", "multi-label error, %"),
)

_Key = tuple[str, int]


def _plain(results: Results) -> list[Row]:
    """Runs of the sweep over losses and K alone."""
    return [r for r in results.runs if r["sharing"] and r["synthetic"] and r["tau"] == TAU and r["epochs"] == EPOCHS]


def _grouped(rows: Sequence[Row], column: str, split: str, subset: str = "all") -> dict[_Key, list[float]]:
    """Values of the seeds by (loss, K), landmark errors in %."""
    found: dict[_Key, list[float]] = {}
    for r in rows:
        if (r["split"], r["subset"]) == (split, subset):
            scale = 100.0 if column.endswith("nrmse") else 1.0
            found.setdefault((r["loss"], r["k"]), []).append(scale * r[column])
    return found


def losses_section(results: Results) -> Section:
    """Fig. 3."""
    title = "Fig. 3: three losses against K"
    rows = _plain(results)
    if not rows:
        return Section("fig-3", title, (missing("runs/*.csv", "losses"),))

    caption = (
        "Error on faces that were not trained on (lines) and that were (dashed), undisturbed and about true boxes; "
        "bars are standard deviations over seeds."
    )
    verdicts, outcome = _verdicts(rows), _outcome(rows)
    return Section(
        "fig-3",
        title,
        (
            Figure("fig-3-losses", caption, (10.0, 6.8), partial(_draw_losses, rows=rows)),
            *([Text(outcome)] if outcome else []),
            *([Text("In full: " + " ".join(verdicts))] if verdicts else []),
            _by_paper(rows),
            *_loss_tables(rows),
            *_longer(results),
            Text(
                "Each run is a network of 12 MMAC on crops of 64 pixels that sees 4,217 training faces twelve times, "
                "with the same learning rate for all losses; the errors are far above the shipped bundle's and only "
                "their order is of interest. K up to 10,000 is k-means over 33,736 poses; 33,736 and 143,378 are every "
                "pose, made of 4,217 real faces, their mirrors and synthetic poses. A face always is a member of its "
                "nearest class. The mixture's temperature is each run's best on the validation faces. The paper used "
                "real images only and about 26,000 exemplars."
            ),
        ),
        outcome,
    )


def _draw_losses(canvas: Canvas, rows: Sequence[Row]) -> None:
    axes = canvas.subplots(2, 2).ravel()
    for axis, (column, name) in zip(axes, ERRORS, strict=True):
        for i, loss in enumerate(LOSSES):
            for split, style in (("val", "-"), ("train", "--")):
                points = {k: v for (at, k), v in _grouped(rows, column, split).items() if at == loss}
                ks = sorted(points)
                means = [statistics.fmean(points[k]) for k in ks]
                deviations = [statistics.stdev(points[k]) if len(points[k]) > 1 else 0.0 for k in ks]
                label = f"{NAMES[loss]}, {split}"
                axis.errorbar(
                    ks, means, deviations, ls=style, marker="o", ms=3.5, color=f"C{i}", capsize=3, label=label
                )
        axis.set(xscale="log", xlabel="K", title=name)
        if column.endswith("nrmse"):
            axis.set_yscale("log")
            axis.set_yticks([2.5, 5, 10, 20], ["2.5", "5", "10", "20"])
            axis.minorticks_off()
    canvas.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, handlelength=3.2)


def _loss_tables(rows: Sequence[Row]) -> list[Block]:
    tables: list[Block] = []
    for column, name in ERRORS[:2]:
        val, train = (_grouped(rows, column, split) for split in ("val", "train"))
        cells = tuple(
            (
                f"{k:,}",
                *(f"{spread(val[at])} ({spread(train[at])})" if (at := (loss, k)) in val else "–" for loss in LOSSES),
            )
            for k in sorted({k for _, k in val})
        )
        tables += [
            Text(f"{name.capitalize()}: validation (training). ± is the standard deviation over seeds."),
            Table(("K", *(NAMES[loss] for loss in LOSSES)), cells),
        ]
    return tables


def _verdicts(rows: Sequence[Row]) -> list[str]:
    """At each large K with several seeds, which order the losses came in."""
    texts = []
    for column, name in (("top1_nrmse", "best exemplar"), ("mean_nrmse", "mixture mean")):
        values = _grouped(rows, column, "val")
        for k in sorted({k for _, k in values if k > 10_000}):
            here = {loss: values[loss, k] for loss in LOSSES if (loss, k) in values}
            if len(here) < len(LOSSES):
                continue
            order = sorted(here, key=lambda loss: statistics.fmean(here[loss]))
            stated = " < ".join(f"{NAMES[loss]} {spread(here[loss])}" for loss in order)
            seeds = min(len(v) for v in here.values())
            held = "as in the paper" if order == ["multilabel", "soft-target", "softmax"] else "not the paper's order"
            count = f"{seeds} seeds" if seeds > 1 else "one seed: no error bars"
            close = [f"{NAMES[a]} and {NAMES[b]}" for a, b in pairwise(order) if _within(here[a], here[b])]
            equal = f"; {', '.join(close)} are within each other's error bars" if close else ""
            texts.append(f"K = {k:,}, {name}, validation error in %: {stated} ({count}); {held}{equal}.")
    return texts


def _outcome(rows: Sequence[Row]) -> str:
    """At the largest K where every loss has several seeds: what of the paper's order holds."""
    values = _grouped(rows, "top1_nrmse", "val")
    ks = [k for k in {k for _, k in values} if all(len(values.get((loss, k), ())) > 1 for loss in LOSSES)]
    if not ks:
        return ""
    k = max(ks)
    here = {loss: values[loss, k] for loss in LOSSES}
    order = sorted(here, key=lambda loss: statistics.fmean(here[loss]))
    first, second = order[:2]
    parts = [
        f"K = {k:,}, best exemplar, error on validation faces in %: "
        + ", ".join(f"{NAMES[loss]} {spread(here[loss])}" for loss in order)
    ]
    parts.append("softmax comes last, as in the paper" if order[-1] == "softmax" else "softmax is not last")
    if first == "multilabel":
        parts.append("multi-label comes first, as in the paper")
    elif _within(here[first], here[second]):
        parts.append(f"{NAMES[first]} and {NAMES[second]} cannot be told apart")
    else:
        parts.append(
            f"{NAMES[first]} comes first, outside of the error bars, not multi-label as in the paper: refuted for "
            "networks and trainings of this size"
        )
    means = {at[0]: statistics.fmean(v) for at, v in _grouped(rows, "mean_nrmse", "val").items() if at[1] == k}
    same = order == sorted(means, key=lambda loss: means[loss])
    parts.append("the mixture's mean gives the same order" if same else "the mixture's mean gives another order")
    return "; ".join(parts) + "."


def _by_paper(rows: Sequence[Row]) -> Table:
    """What the paper says of each loss as K grows, beside what is seen."""
    values = _grouped(rows, "top1_nrmse", "val")
    paper = {
        "softmax": "best near K = 1,000, then worse than at K = 10",
        "soft-target": "helps up to K = 10,000, then fails",
        "multilabel": "improves up to the largest K",
    }
    cells = []
    for loss in LOSSES:
        means = {k: statistics.fmean(v) for (at, k), v in sorted(values.items()) if at == loss}
        if means:
            best = min(means, key=lambda k: means[k])
            stated = [f"{number(means[k], 2)} at K = {k:,}" for k in (min(means), best, max(means))]
            cells.append((NAMES[loss], paper[loss], *stated))
    return Table(("best exemplar, %", "the paper", "smallest K", "lowest error", "largest K"), tuple(cells))


def _within(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether the means of several seeds are no farther apart than their standard deviations together."""
    if min(len(a), len(b)) < 2:
        return False
    return abs(statistics.fmean(a) - statistics.fmean(b)) <= statistics.stdev(a) + statistics.stdev(b)


def _longer(results: Results) -> list[Block]:
    """Whether the order depends on how long they learned."""
    rows = [r for r in results.runs if r["epochs"] != EPOCHS and (r["split"], r["subset"]) == ("val", "all")]
    if not rows:
        return [missing("runs/*-passes3.csv", "longer")]
    usual = {
        (r["loss"], r["k"]): r
        for r in _plain(results)
        if (r["split"], r["subset"], r["seed"]) == ("val", "all", rows[0]["seed"])
    }
    cells = []
    for r in sorted(rows, key=lambda r: float(r["top1_nrmse"])):
        before = usual.get((r["loss"], r["k"]))
        shown = (f"{a} → {b}" for a, b in zip(_errors(before) if before else ("–", "–"), _errors(r), strict=True))
        cells.append((NAMES[r["loss"]], f"{r['k']:,}", *shown))
    epochs = f"{EPOCHS} → {rows[0]['epochs']} epochs"
    return [
        Text("Whether it is a matter of time: the same, trained longer, one seed."),
        Table(("loss", "K", f"best exemplar, %: {epochs}", f"mixture mean, %: {epochs}"), tuple(cells)),
    ]


def _errors(row: Row) -> tuple[str, str]:
    return percent(row["top1_nrmse"]), percent(row["mean_nrmse"])


def sharing_section(results: Results) -> Section:
    """Fig. 5."""
    title = "Fig. 5: sharing examples between classes"
    rows = [r for r in results.runs if (r["split"], r["subset"]) == ("val", "all") and r["synthetic"]]
    unshared = [r for r in rows if not r["sharing"]]
    if not unshared:
        return Section("fig-5", title, (missing("runs/*-unshared.csv", "sharing"),))
    k = unshared[0]["k"]
    same = [r for r in _plain(results) if (r["split"], r["subset"], r["k"]) == ("val", "all", k)]
    kinds = {
        "K-way (softmax)": ([r for r in same if r["loss"] == "softmax"], "66"),
        "multi-label, no sharing": (unshared, "78"),
        "multi-label, sharing": ([r for r in same if r["loss"] == "multilabel"], "24"),
        "soft target (shares too; not in the paper's figure)": ([r for r in same if r["loss"] == "soft-target"], "–"),
    }
    cells = []
    for name, (found, paper) in kinds.items():
        if not found:
            continue
        top, mean = ([100 * r[c] / r["random_nrmse"] for r in found] for c in ("top1_nrmse", "mean_nrmse"))
        cells.append((name, spread(top, 1), spread(mean, 1), paper, str(len(found))))
    head = ("training", "best exemplar", "mixture mean", "paper", "seeds")
    return Section(
        "fig-5",
        title,
        (
            Table(head, tuple(cells)),
            Text(
                f"Landmark error on validation faces as % of that of a random classifier, K = {k:,}; above 100: worse "
                "than chance. Without sharing, a face is a member of its nearest class alone."
            ),
        ),
        "Error of the best exemplar ÷ a random classifier's: "
        + "; ".join(f"{name} {best} % (paper {paper} %)" for name, best, _, paper, _ in cells if paper != "–")
        + ".",
    )


def synthetic_section(results: Results) -> Section:
    """Fig. 9."""
    title = "Fig. 9: with and without synthetic poses"
    real = [r for r in results.runs if not r["synthetic"]]
    if not real:
        return Section("fig-9", title, (missing("runs/*-real.csv", "synthetic"),))
    with_k = min((r["k"] for r in _plain(results) if r["k"] > KMEANS_K[-1]), default=0)
    kinds = {
        f"without, K = {real[0]['k']:,}": real,
        f"with, K = {with_k:,}": [r for r in _plain(results) if (r["loss"], r["k"]) == ("multilabel", with_k)],
    }
    cells = []
    faces = {"all": "all", "large_yaw": "turned tenth", "large_roll": "rolled tenth", "hard": "hard tenth"}
    for name, rows in kinds.items():
        for subset, called in faces.items():
            found = [r for r in rows if (r["split"], r["subset"]) == ("val", subset)]
            if found:
                figures = (spread([100 * r["mean_nrmse"] for r in found]), spread([r["failure_rate"] for r in found]))
                cells.append((name, called, str(found[0]["n"]), *figures, str(len(found))))
    return Section(
        "fig-9",
        title,
        (
            Table(("synthetic poses", "faces", "n", "mixture mean, %", "failures, %", "seeds"), tuple(cells)),
            Text(
                "Multi-label, the same number of training samples. Without: classes are the 4,217 faces and their "
                "mirrors, crops are neither rotated nor turned. With: each face also lends its shape to synthetic "
                "poses in and out of the plane, and crops are rotated and turned in 3-D. Tenths of the validation "
                "faces: turned farthest, rolled farthest, farthest from the mean shape (hard). The paper shows "
                "pictures, no figures."
            ),
        ),
        "Error of the mixture's mean: "
        + "; ".join(
            f"{name}: " + ", ".join(f"{called} {mean} %" for kind, called, _, mean, _, _ in cells if kind == name)
            for name in dict.fromkeys(kind for kind, *_ in cells)
        )
        + ".",
    )


def tau_section(results: Results) -> Section:
    """The choice of τ."""
    title = "Choosing τ"
    tried = [r for r in results.runs if r["tau"] != TAU]
    if not tried:
        return Section("tau", title, (missing("runs/*-tau*.csv", "tau"),))
    k = tried[0]["k"]
    losses = {r["loss"] for r in tried}
    rows = [r for r in _plain(results) if r["loss"] in losses and (r["k"], r["seed"]) == (k, 1)] + tried
    cells = tuple(
        (NAMES[r["loss"]], number(r["tau"], 3), *_errors(r), number(r["temperature"], 1))
        for r in sorted(rows, key=lambda r: (r["loss"], r["tau"]))
        if (r["split"], r["subset"]) == ("val", "all")
    )
    return Section(
        "tau",
        title,
        (
            Table(("loss", "τ, box sides", "best exemplar, %", "mixture mean, %", "best T"), cells),
            Text(f"K = {k:,}, validation errors, one seed. The shipped bundle has τ = {TAU}."),
        ),
    )
