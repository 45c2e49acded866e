"""Rows of the nearest neighbours → Table 1."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from exalign_engine.evaluation.reproduction.blocks import Section, Table, Text, missing, number, spread
from exalign_engine.evaluation.reproduction.results import Results
from exalign_engine.evaluation.reproduction.tables import Row

LINEAR, WEIGHTS, FEATURES = "linear classifier", "nearest weights w", "nearest features s"

#: The paper's errors.
PAPER = {LINEAR: "0.0205", WEIGHTS: "0.0206", FEATURES: "0.0222"}

#: (K, classes that may answer, method).
_Group = tuple[int, str, str]


def neighbours_section(results: Results) -> Section:
    """Table 1."""
    title = "Table 1: the classifier and nearest neighbours"
    if not results.neighbours:
        return Section("table-1", title, (missing("neighbours/*.csv", "losses"),))
    groups: dict[_Group, list[Row]] = {}
    for r in results.neighbours:
        groups.setdefault((r["k"], r["classes"], r["method"]), []).append(r)
    cells = []
    for (k, classes, method), rows in sorted(groups.items(), key=lambda g: (g[0][0], g[0][1] != "real")):
        less = method != LINEAR
        cells.append(
            (
                f"{k:,}",
                "training faces" if classes == "real" else "all",
                method,
                spread([r["nrmse"] for r in rows], 4),
                _widest(rows, "nrmse"),
                spread([r["minus_linear"] for r in rows], 4) if less else "–",
                _widest(rows, "minus_linear") if less else "–",
                PAPER.get(method, "–") if classes == "real" else "–",
                str(len(rows)),
            )
        )
    head = ("K", "answers among", "method", "error", "95 %", "less linear", "95 %", "paper", "seeds")
    outcome = _outcome(groups)
    return Section(
        "table-1",
        title,
        (
            *([Text(outcome)] if outcome else []),
            Table(head, tuple(cells)),
            Text(
                "Mean error ÷ diagonal of the true face box on validation faces, ± the standard deviation over seeds. "
                "95 %: bootstraps over faces, from the lowest end to the highest that any seed has; “less linear” is "
                "paired. Nearest neighbours by cosine: of the classifier's weights w, and of the features s of the "
                "training faces and their mirrors. Linear is the network's own last layer, as in the paper; the ridge "
                "regression on s is a baseline that the paper does not have."
            ),
        ),
        outcome,
    )


def _widest(rows: Sequence[Row], column: str) -> str:
    """The lowest and the highest end of the seeds' intervals."""
    lower, upper = (pick(r[f"{column}_{end}"] for r in rows) for pick, end in ((min, "lower"), (max, "upper")))
    return f"{number(lower, 4)} … {number(upper, 4)}"


def _outcome(groups: Mapping[_Group, Sequence[Row]]) -> str:
    """At the largest K: whether w is as good as the classifier and s worse, as in the paper."""
    known = [k for k, classes, _ in groups if classes == "real"]
    k = max(known, default=0)
    three = [groups.get((k, "real", method)) for method in (LINEAR, WEIGHTS, FEATURES)]
    if not known or None in three:
        return ""
    linear, weights, features = (rows for rows in three if rows is not None)
    equal = all(r["minus_linear_lower"] <= 0 <= r["minus_linear_upper"] for r in weights)
    worse = all(r["minus_linear_lower"] > 0 for r in features)
    errors = [statistics.fmean(r["nrmse"] for r in rows) for rows in (linear, weights, features)]
    stated = ", ".join(
        f"{method} {spread([r['nrmse'] for r in rows], 4)} (paper {PAPER[method]})"
        for method, rows in ((LINEAR, linear), (WEIGHTS, weights), (FEATURES, features))
    )
    seeds = f"in each of {len(linear)} seeds" if len(linear) > 1 else "in one seed"
    verdict = f"w can{'not' if equal else ''} be told from the classifier and s is {'' if worse else 'not '}worse"
    return (
        f"K = {k:,}: {stated}. By the 95 % intervals, {seeds}, {verdict}: "
        f"{'as in the paper' if equal and worse else 'not as in the paper'}. The error of w is "
        f"{errors[1] / errors[0]:.3f} times the classifier's, that of s {errors[2] / errors[0]:.3f} times "
        "(paper 1.005, 1.083)."
    )
