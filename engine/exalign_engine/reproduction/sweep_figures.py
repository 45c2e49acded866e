"""Rows of the training runs → Fig. 3, Fig. 5, Fig. 9, Table 1 and the choice of τ."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise

from matplotlib.figure import Figure as Canvas

from exalign_engine.reproduction.blocks import Block, Figure, Section, Table, Text, missing, number, percent
from exalign_engine.reproduction.results import Results
from exalign_engine.reproduction.runs import EPOCHS, KMEANS_K, LOSSES, TAU
from exalign_engine.reproduction.tables import Row

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


def _spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean ± standard deviation over seeds; a single seed without the latter."""
    mean = number(statistics.fmean(values), digits)
    return f"{mean} ± {number(statistics.stdev(values), digits)}" if len(values) > 1 else mean


def losses_section(results: Results) -> Section:
    """Fig. 3."""
    title = "Fig. 3: three losses against K"
    rows = _plain(results)
    if not rows:
        return Section("fig-3", title, (missing("runs/*.csv", "losses"),))

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots(1, 4)
        for axis, (column, name) in zip(axes, ERRORS, strict=True):
            for i, loss in enumerate(LOSSES):
                for split, style in (("val", "-"), ("train", "--")):
                    points = {k: v for (at, k), v in _grouped(rows, column, split).items() if at == loss}
                    ks = sorted(points)
                    means = [statistics.fmean(points[k]) for k in ks]
                    spread = [statistics.stdev(points[k]) if len(points[k]) > 1 else 0.0 for k in ks]
                    label = f"{NAMES[loss]}, {split}"
                    axis.errorbar(
                        ks, means, spread, ls=style, marker="o", ms=3.5, color=f"C{i}", capsize=3, label=label
                    )
            axis.set(xscale="log", xlabel="K", title=name)
            if column.endswith("nrmse"):
                axis.set_yscale("log")
                axis.set_yticks([2.5, 5, 10, 20], ["2.5", "5", "10", "20"])
                axis.minorticks_off()
        axes[0].legend(fontsize=7.5, handlelength=3.2)

    tables: list[Block] = []
    for column, name in ERRORS[:2]:
        val, train = (_grouped(rows, column, split) for split in ("val", "train"))
        cells = tuple(
            (
                f"{k:,}",
                *(f"{_spread(val[at])} ({_spread(train[at])})" if (at := (loss, k)) in val else "–" for loss in LOSSES),
            )
            for k in sorted({k for _, k in val})
        )
        tables += [
            Text(f"{name.capitalize()}: validation (training). ± is the standard deviation over seeds."),
            Table(("K", *(NAMES[loss] for loss in LOSSES)), cells),
        ]
    caption = (
        "Error on faces that were not trained on (lines) and that were (dashed), undisturbed and about true boxes."
    )
    verdicts = _verdicts(rows)
    return Section(
        "fig-3",
        title,
        (
            Figure("fig-3-losses", caption, (15.0, 3.9), draw),
            *(Text(verdict) for verdict in verdicts),
            *tables,
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
        " ".join(verdicts),
    )


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
            told = " < ".join(f"{NAMES[loss]} {_spread(here[loss])}" for loss in order)
            seeds = min(len(v) for v in here.values())
            held = "as in the paper" if order == ["multilabel", "soft-target", "softmax"] else "not the paper's order"
            count = f"{seeds} seeds" if seeds > 1 else "one seed: no error bars"
            close = [f"{NAMES[a]} and {NAMES[b]}" for a, b in pairwise(order) if _within(here[a], here[b])]
            equal = f"; {', '.join(close)} are within each other's error bars" if close else ""
            texts.append(f"K = {k:,}, {name}, validation error in %: {told} ({count}); {held}{equal}.")
    return texts


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
    cells = tuple(
        (NAMES[r["loss"]], f"{r['k']:,}", str(r["epochs"]), *_errors(r))
        for r in sorted(rows, key=lambda r: r["top1_nrmse"])
    )
    return [
        Text("Whether it is a matter of time: the same, trained longer, one seed."),
        Table(("loss", "K", "epochs", "best exemplar, %", "mixture mean, %"), cells),
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
        cells.append((name, _spread(top, 1), _spread(mean, 1), paper, str(len(found))))
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
        "; ".join(f"{name} {best} % (paper {paper})" for name, best, _, paper, _ in cells) + ", best exemplar.",
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
    for name, rows in kinds.items():
        for subset in ("all", "large_yaw", "large_roll", "hard"):
            found = [r for r in rows if (r["split"], r["subset"]) == ("val", subset)]
            if found:
                figures = (_spread([100 * r["mean_nrmse"] for r in found]), _spread([r["failure_rate"] for r in found]))
                cells.append((name, subset, str(found[0]["n"]), *figures, str(len(found))))
    return Section(
        "fig-9",
        title,
        (
            Table(("synthetic poses", "faces", "n", "mixture mean, %", "failures, %", "seeds"), tuple(cells)),
            Text(
                "Multi-label, the same number of training samples. Without: classes are the 4,217 faces and their "
                "mirrors, crops are neither rotated nor turned. With: each face also lends its shape to synthetic "
                "poses in and out of the plane, and crops are rotated and turned in 3-D. Tenths of the validation "
                "faces: turned farthest, rolled farthest, farthest from the mean shape (`hard`). The paper shows "
                "pictures, no figures."
            ),
        ),
        "; ".join(f"{name}, {subset}: {mean} %" for name, subset, _, mean, _, _ in cells if subset != "hard") + ".",
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


def neighbours_section(results: Results) -> Section:
    """Table 1."""
    title = "Table 1: the classifier and nearest neighbours"
    if not results.neighbours:
        return Section("table-1", title, (missing("neighbours/*.csv", "losses"),))
    groups: dict[tuple[int, str, str], list[Row]] = {}
    for r in results.neighbours:
        groups.setdefault((r["k"], r["classes"], r["method"]), []).append(r)
    paper = {"linear classifier": "0.0205", "nearest weights w": "0.0206", "nearest features s": "0.0222"}
    cells = []
    for (k, classes, method), rows in sorted(groups.items(), key=lambda g: (g[0][0], g[0][1] != "real")):
        first = rows[0]
        cells.append(
            (
                f"{k:,}",
                "training faces" if classes == "real" else "all",
                method,
                _spread([r["nrmse"] for r in rows], 4),
                f"{number(first['nrmse_lower'], 4)} … {number(first['nrmse_upper'], 4)}",
                f"{number(first['minus_linear_lower'], 4)} … {number(first['minus_linear_upper'], 4)}",
                paper.get(method, "–") if classes == "real" else "–",
                str(len(rows)),
            )
        )
    head = ("K", "answers among", "method", "error ± seeds", "95 % over faces", "less linear, 95 %", "paper", "seeds")
    return Section(
        "table-1",
        title,
        (
            Table(head, tuple(cells)),
            Text(
                "Mean error ÷ diagonal of the true face box on validation faces; intervals are bootstraps over faces "
                "of the first seed, “less linear” is paired. Nearest neighbours by cosine: of the classifier's weights "
                "w, and of the features s of the training faces and their mirrors. Linear is the network's own last "
                "layer, as in the paper; the ridge regression on s is a control that the paper does not have."
            ),
        ),
        "; ".join(f"K = {c[0]}, {c[2]} {c[3]} (paper {c[6]})" for c in cells if c[6] != "–") + ".",
    )
