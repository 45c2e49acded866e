"""Rows of the suites → Table 3, Fig. 6 and Fig. 10."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure as Canvas

from exalign_engine.evaluation.reproduction.accuracy_figures import origin
from exalign_engine.evaluation.reproduction.blocks import Figure, Section, Table, Text, missing, number, percent
from exalign_engine.evaluation.reproduction.results import Results
from exalign_engine.evaluation.reproduction.tables import Row

#: Rows of Table 3: policy, clicks, name, the paper's failures.
CLICKS = (
    ("none", 0, "no annotation", "4.010"),
    ("nose", 1, "nose tip", "1.564"),
    ("random", 1, "random landmark", "–"),
    ("suggested", 1, "landmark chosen from the posterior", "–"),
    ("oracle", 1, "best landmark (oracle)", "0.639"),
)


def stress_section(results: Results) -> Section:
    """Table 3."""
    title = "Table 3: one click"
    suite = results.stress
    if suite is None:
        return Section("table-3", title, (missing("stress-SPLIT.csv", "stress"),))
    found = {(r["corruption"], r["severity"], r["policy"], r["clicks"]): r for r in suite.rows}
    conditions = [key for key in dict.fromkeys((c, s) for c, s, _, _ in found) if (*key, "nose", 1) in found]
    rows: list[tuple[str, ...]] = []
    for policy, clicks, name, paper in CLICKS:
        row = [name]
        for condition in conditions:
            r = found.get((*condition, policy, clicks))
            row.append("–" if r is None else f"{number(r['failure_rate'], 1)} ({number(r['auc'], 3)})")
        rows.append((*row, paper))
    head = ("", *(_condition(*c) for c in conditions), "paper, failures %")
    order = _order(found, conditions)
    others = [(c, s) for c, s in dict.fromkeys((c, s) for c, s, _, _ in found) if c not in ("clean", "mixed")]
    plain = tuple(
        (
            _condition(*c),
            *(
                f"{number(r['failure_rate'], 1)} ({number(r['auc'], 3)})"
                for p in ("regression", "none")
                if (r := found[*c, p, 0])
            ),
        )
        for c in others
    )
    return Section(
        "table-3",
        title,
        (
            origin(suite),
            Table(head, tuple(rows)),
            Text(
                "Failures in % and, in brackets, AUC; simulated soft clicks with noise of 1 % of the box's diagonal. "
                "The baseline, “no annotation”, is the shipped model (mixture and residual) in the boxes as they are "
                "given; refinement, which the aligner adds for boxes that are far off, is left out here (see Fig. 6). "
                "A random landmark is the mean over eight random orders. Bundle `c1bf4cd76b5f` differs from "
                "`cc4401223a2a` in what suggestions promise, and in nothing else. "
                "The paper's 4.010 is no row of its Table 2. " + order
            ),
            Text("Other corruptions, without a click, beside plain regression on the same features:"),
            Table(("corruption", "regression", "mixture + residual"), plain),
        ),
        f"{order} ({suite.split}, {max(r['n'] for r in suite.rows):,} faces)",
    )


def _condition(corruption: str, severity: int) -> str:
    return corruption.replace("_", " ") + (f" {severity}" if severity else "")


def _order(found: dict[tuple[str, int, str, int], Row], conditions: Sequence[tuple[str, int]]) -> str:
    """Whether none ≥ nose ≥ oracle in failures, and none ≤ nose ≤ oracle in AUC."""
    broken = []
    for condition in conditions:
        three = [
            found.get((*condition, policy, clicks)) for policy, clicks in (("none", 0), ("nose", 1), ("oracle", 1))
        ]
        if None in three:
            continue
        none, nose, oracle = (r for r in three if r is not None)
        worse = none["failure_rate"] >= nose["failure_rate"] >= oracle["failure_rate"]
        if not (worse and none["auc"] <= nose["auc"] <= oracle["auc"]):
            broken.append(_condition(*condition))
    if broken:
        return f"The paper's order (none, nose, best) does not hold for: {', '.join(broken)}."
    return "The paper's order (none, nose, best) holds in every column, in failures and in AUC."


def refinement_section(results: Results) -> Section:
    """Fig. 6."""
    title = "Fig. 6: refining the detection"
    suite = results.refinement
    if suite is None:
        return Section("fig-6", title, (missing("refinement-SPLIT.csv", "refinement"),))
    rows = suite.rows
    rounds: dict[tuple[str, int], list[Row]] = {}
    for row in sorted(rows, key=lambda r: int(r["round"])):
        rounds.setdefault((row["condition"], row["severity"]), []).append(row)
    conditions = list(dict.fromkeys((r["condition"], r["severity"]) for r in rows))
    cells = []
    for condition in conditions:
        ends = rounds[condition][:1] + rounds[condition][1:][-1:]
        cells.append(
            (
                _condition(*condition),
                str(ends[0]["n"]),
                " → ".join(percent(r["box_error"], 1) for r in ends),
                " → ".join(number(r["auc"], 3) for r in ends),
                " → ".join(number(r["failure_rate"], 2) for r in ends),
                number(ends[1]["worse"], 2) if len(ends) > 1 else "–",
            )
        )

    def draw(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2)
        names = [_condition(*c).replace(" as drawn", "\nas drawn") for c in conditions]
        for axis, column, scale, name in (
            (left, "box_error", 100.0, "box error, % of its side"),
            (right, "auc", 1.0, "AUC of the landmarks"),
        ):
            for offset, after, label in ((-0.1, False, "before"), (0.1, True, "after")):
                chosen = [(i, rounds[c]) for i, c in enumerate(conditions) if len(rounds[c]) > 1 or not after]
                values = [scale * (of[-1 if after else 0][column] or 0.0) for _, of in chosen]
                axis.plot([i + offset for i, _ in chosen], values, "s" if after else "o", label=label)
            axis.set_xticks(range(len(names)), names)
            axis.set_title(name)
            axis.legend()

    return Section(
        "fig-6",
        title,
        (
            origin(suite),
            Figure("fig-6-refinement", "Boxes before and after refinement.", (10.0, 3.6), draw),
            Table(("boxes", "n", "box error, %", "AUC", "failures, %", "made worse, %"), tuple(cells)),
            Text(
                "`truth` are true boxes, `box 1–3` are moved and scaled at random by up to 5, 10 and 15 %. `mtcnn` is "
                "the detector, its boxes mapped to face boxes by its mean bias; `as drawn` they are squared only, so "
                "that this row and `mtcnn` show both steps of the paper's refinement. Made worse: faces whose error "
                "grew by more than 1 % of the diagonal, where refinement failed. A given box moves only where it is "
                "far off."
            ),
        ),
        "; ".join(f"{boxes}: AUC {auc}" for boxes, _, _, auc, _, _ in cells) + ".",
    )


def video_section(results: Results) -> Section:
    """Fig. 10, and complete occlusion."""
    title = "Fig. 10: uncertainty under occlusion"
    suite = results.video
    if suite is None:
        return Section("fig-10", title, (missing("video-SPLIT.csv", "video"),))
    names = {
        "per_frame": "each frame by itself",
        "filter": "HMM, filter",
        "smoother": "HMM, smoother",
        "hold": "last visible answer, held",
    }
    phases = {"visible": "in view", "partial": "half covered", "hidden": "hidden", "after_cut": "after a cut"}
    rows = {(r["method"], r["phase"]): r for r in suite.rows if r["boxes"] == "given"}
    there = [p for p in phases if any((m, p) in rows for m in names)]
    cells = tuple((name, *(_uncertain(rows.get((method, phase))) for phase in there)) for method, name in names.items())

    def draw(canvas: Canvas) -> None:
        for axis, (column, scale, title) in zip(
            canvas.subplots(1, 3),
            (
                ("nrmse_mean", 100.0, "mean error, %"),
                ("yaw_interval_deg", 1.0, "width of the 90 % yaw interval, °"),
                ("yaw_coverage", 1.0, "truth inside that interval, %"),
            ),
            strict=True,
        ):
            shown = [m for m in names if m != "hold" or column == "nrmse_mean"]
            for i, method in enumerate(shown):
                values = [scale * ((rows.get((method, p)) or {}).get(column) or 0.0) for p in there]
                axis.bar(
                    [x + (i - 1.5) * 0.2 for x in range(len(there))], values, 0.19, label=names[method], color=f"C{i}"
                )
            if column == "yaw_coverage":
                axis.axhline(90, color="0.3", lw=1, ls=":")
            axis.set_xticks(range(len(there)), [phases[p] for p in there])
            axis.set_title(title)
        canvas.legend(*canvas.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(names))

    return Section(
        "fig-10",
        title,
        (
            origin(suite),
            Figure(
                "fig-10-occlusion",
                "Clips made of stills, given boxes; dotted, the 90 % that the interval states.",
                (13.0, 3.6),
                draw,
            ),
            Table(("mean error, % (90 % yaw interval; truth inside)", *(phases[p] for p in there)), cells),
            Text(
                "The paper shows one web video; here the truth is known. All are given the same trembling boxes; "
                "filter and smoother filter them too, as sessions do. The joint yaw × roll map of any frame is "
                "`EstimatePose`'s histogram and `exalign pose --out`."
            ),
        ),
        _hidden_summary(rows),
    )


def _hidden_summary(rows: Mapping[tuple[str, str], Row]) -> str:
    """What the HMM does for faces that are hidden; empty where that was not measured."""
    alone, smoothed = (rows.get((method, "hidden")) for method in ("per_frame", "smoother"))
    if alone is None or smoothed is None:
        return ""
    return (
        "Hidden faces, mean error (90 % yaw interval; truth inside): each frame by itself "
        f"{_uncertain(alone)}, HMM smoother {_uncertain(smoothed)}, errors in %."
    )


def _uncertain(row: Row | None) -> str:
    if row is None:
        return "–"
    if row["yaw_interval_deg"] is None:
        return percent(row["nrmse_mean"], 1)
    return (
        f"{percent(row['nrmse_mean'], 1)} ({number(row['yaw_interval_deg'], 0)}°; {number(row['yaw_coverage'], 0)} %)"
    )
