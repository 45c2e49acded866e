"""Rows of the accuracy suite → Table 2 and Fig. 7."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure as Canvas

from exalign_engine.evaluation.reproduction.blocks import Block, Figure, Section, Table, Text, missing, number, percent
from exalign_engine.evaluation.reproduction.results import Results, Suite
from exalign_engine.evaluation.reproduction.tables import Row

#: Methods of Table 2 as `exalign_engine.evaluation.reproduction.suites` calls them, and what they are.
METHODS = {"classification": "classification", "mixture": "the mixture's mean", "residual": "+ residual"}
SUBSETS = {"all": "all faces", "hard": "hard tenth", "large_yaw": "turned tenth"}
BOXES = {"truth": "true", "detector": "detector, refined"}


def origin(suite: Suite) -> Text:
    """Which file, split and model the figures are of."""
    n = max(row["n"] for row in suite.rows)
    return Text(f"From `{suite.name}`: split `{suite.split}`, n = {n:,}, bundle `{suite.rows[0].get('bundle', '?')}`.")


def accuracy_section(results: Results) -> Section:
    """Table 2, without smoothing, which has no meaning on stills."""
    title = "Table 2: classification, + residual, + temporal smoothing"
    suite = results.accuracy
    blocks: list[Block] = []
    if suite is None:
        blocks.append(missing("accuracy-SPLIT.csv", "accuracy"))
    else:
        blocks += [origin(suite), *_accuracy(suite.rows)]
    blocks += _smoothing(results)
    blocks.append(
        Text(
            "The paper, on 300VW: classification .678 and 2.398 % failures in category 1, .635 and 3.431 % in category "
            "3; + regressor .774, 2.221 % and .709, 3.189 %; + smoothing .777, 2.462 % and .718, 3.298 %. 300VW was "
            "not at hand: its place is taken by stills of HELEN, LFPW and YouTube Faces, by source and by difficulty, "
            "and by clips made of them; these figures are a proxy and cannot be compared with the paper's. "
            "`exalign-model evaluate --protocol 300vw DIR` prints the paper's Table 2 for who has the videos."
        )
    )
    return Section("table-2", title, tuple(blocks), _accuracy_summary(results))


def _accuracy(rows: Sequence[Row]) -> list[Block]:
    """Faces by row and methods by column; true boxes and 68 points first."""
    found: dict[tuple[bool, int, str, str], dict[str, Row]] = {}
    for r in rows:
        if r["points"] == 68 or r["subset"] == "all":
            key = (r["boxes"] != "truth", -r["points"], r["boxes"], r["subset"])
            found.setdefault(key, {})[r["method"]] = r
    methods = [m for m in METHODS if any(m in by_method for by_method in found.values())]
    cells = []
    for (_, points, boxes, subset), by_method in sorted(found.items(), key=lambda item: item[0][:2]):
        n = next(iter(by_method.values()))["n"]
        figures = (_three(by_method.get(m)) for m in methods)
        cells.append((BOXES.get(boxes, boxes), str(-points), SUBSETS.get(subset, subset), str(n), *figures))
    return [
        Table(("boxes", "points", "faces", "n", *(METHODS[m] for m in methods)), tuple(cells)),
        Text(
            "AUC (mean error, failures; both in %). Classification answers with the most probable exemplar, and was "
            "measured about true boxes alone; the residual stands in the place of the paper's regressors. The hard "
            "tenth is farthest from the mean shape, the turned tenth has the largest yaw."
        ),
    ]


def _three(row: Row | None) -> str:
    if row is None:
        return "–"
    return f"{number(row['auc'], 3)} ({percent(row['nrmse_mean'])}, {number(row['failure_rate'], 2)})"


def _accuracy_summary(results: Results) -> str:
    """The AUC of every method on all faces about true boxes."""
    rows = results.accuracy.rows if results.accuracy else []
    found = {r["method"]: r for r in rows if (r["boxes"], r["points"], r["subset"]) == ("truth", 68, "all")}
    areas = ", ".join(f"{METHODS[m]} {number(found[m]['auc'], 3)}" for m in METHODS if m in found)
    return f"AUC on {results.accuracy.split}, true boxes: {areas}." if areas and results.accuracy else ""


def _figures(row: Row) -> tuple[str, str, str]:
    return number(row["auc"], 3), percent(row["nrmse_mean"]), number(row["failure_rate"], 2)


def _smoothing(results: Results) -> list[Block]:
    suite = results.video
    if suite is None:
        return [missing("video-SPLIT.csv", "video")]
    named = {
        "per_frame": "each frame by itself",
        "low_pass": "3-frame low-pass (the paper's)",
        "filter": "HMM, filter",
        "smoother": "HMM, smoother",
        "viterbi": "HMM, max-product",
    }
    rows = [
        r for r in suite.rows if r["boxes"] == "given" and r["method"] in named and r["phase"] in ("all", "visible")
    ]
    phases = {"all": "all judged frames", "visible": "in view"}
    cells = tuple((named[r["method"]], phases[r["phase"]], str(r["n"]), *_figures(r)) for r in rows)
    return [
        Text(f"Temporal smoothing, on the clips of `{suite.name}` (stills that turn, with a cover that sweeps over):"),
        Table(("method", "frames", "n", "AUC", "mean error, %", "failures, %"), cells),
    ]


def curves_section(results: Results) -> Section:
    """Fig. 7."""
    title = "Fig. 7: cumulative error"
    suite = results.curves
    if suite is None:
        return Section("fig-7", title, (missing("curves-SPLIT.csv", "accuracy"),))
    rows = suite.rows

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots(2, 2, sharex=True, sharey=True).ravel()
        for axis, (subset, points) in zip(
            axes, (("all", 68), ("all", 66), ("hard", 68), ("large_yaw", 68)), strict=True
        ):
            for i, (method, name) in enumerate(METHODS.items()):
                line = [r for r in rows if (r["method"], r["subset"], r["points"]) == (method, subset, points)]
                axis.plot(
                    [100 * r["error"] for r in line],
                    [r["share"] for r in line],
                    color=f"C{i}",
                    label=name,
                )
            axis.set(title=f"{SUBSETS[subset]}, {points} points", ylim=(0, 101))
        canvas.supxlabel("error, % of the box's diagonal", fontsize="medium")
        canvas.supylabel("faces with at most this error, %", fontsize="medium")
        axes[0].legend(loc="lower right")

    caption = "Share of faces by error, true boxes. The hard tenth is farthest from the mean shape (paper §4.2)."
    figure = Figure("fig-7-curves", caption, (10.0, 6.4), draw)
    return Section("fig-7", title, (figure, Text(_origin_of_curves(suite))))


def _origin_of_curves(suite: Suite) -> str:
    return f"From `{suite.name}`, split `{suite.split}`. AUC and failures of each curve stand in Table 2."
