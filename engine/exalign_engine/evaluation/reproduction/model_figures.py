"""What is measured of the model itself: Fig. 2 (cost against K) and Fig. 4 (membership)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from matplotlib.figure import Figure as Canvas

from exalign_engine.evaluation.reproduction.blocks import Figure, Section, Table, Text, missing, number
from exalign_engine.evaluation.reproduction.results import Results
from exalign_engine.evaluation.reproduction.tables import Row

#: Columns of cost.csv that are parts of a face's time, their names, and the paper's colours.
PARTS = (
    ("backbone_ms", "network before the last layer", "C1"),
    ("head_ms", "last layer", "C0"),
    ("posterior_ms", "posterior", "C2"),
)


def cost_section(results: Results) -> Section:
    """Fig. 2."""
    title = "Fig. 2: time and memory against K"
    rows = sorted(results.cost, key=lambda r: int(r["k"]))
    if not rows:
        return Section("fig-2", title, (missing("cost.csv", "cost"),))
    first, last = rows[0], rows[-1]
    growth = _total(last) / _total(first)
    return Section(
        "fig-2",
        title,
        (
            Figure(
                "fig-2-cost",
                "The paper's two parts in its colours, and the posterior on top.",
                (10.0, 3.8),
                partial(_draw_cost, rows=rows),
            ),
            _cost_table(rows),
            Text(
                f"From K = {first['k']:,} to {last['k']:,} a face costs {growth:.1f} times as much, and "
                "memory grows with K. The paper found next to no change in time: its ResNet-50 is some thirty times "
                "our network's work, on a GPU. The shipped network is int8, with a quarter of the weights' memory. "
                "Shapes of the bundle on disk are a recipe: each face once, and six numbers a pose."
            ),
        ),
        f"From K = {first['k']:,} to {last['k']:,}: {growth:.1f} times the time of a face.",
    )


def _draw_cost(canvas: Canvas, rows: Sequence[Row]) -> None:
    left, right = canvas.subplots(1, 2)
    ks, bottom = [f"{r['k']:,}" for r in rows], [0.0] * len(rows)
    for column, name, colour in PARTS:
        values = [r[column] for r in rows]
        left.bar(ks, values, bottom=bottom, label=name, color=colour)
        bottom = [b + v for b, v in zip(bottom, values, strict=True)]
    right.plot(
        [r["k"] for r in rows],
        [r["head_mib"] for r in rows],
        marker="o",
        color="C0",
        label="weights of the last layer",
    )
    right.plot(
        [r["k"] for r in rows], [r["shapes_mib"] for r in rows], marker="o", color="C2", label="exemplars' shapes"
    )
    left.set(title="CPU-ms a face, float32, one thread", xlabel="K")
    right.set(title="memory, MiB", xlabel="K", xscale="log", yscale="log")
    for axis in (left, right):
        axis.legend()


def _total(row: Row) -> float:
    """A face's time, CPU-ms."""
    return sum(float(row[column]) for column, _, _ in PARTS)


def _cost_table(rows: Sequence[Row]) -> Table:
    first = rows[0]
    cells = tuple(
        (
            f"{r['k']:,}",
            *(number(r[column], 3) for column, _, _ in PARTS),
            number(_total(r) / _total(first), 2),
            number(r["head_mib"], 2),
            number(r["shapes_mib"], 2),
        )
        for r in rows
    )
    head = (
        "K",
        "before the last layer, ms",
        "last layer, ms",
        "posterior, ms",
        f"total ÷ that of K = {first['k']}",
        "weights, MiB",
        "shapes, MiB",
    )
    return Table(head, cells)


def membership_section(results: Results) -> Section:
    """Fig. 4."""
    title = "Fig. 4: sizes of the membership sets"
    rows = sorted(results.membership, key=lambda r: int(r["rank_from"]))
    if not rows:
        return Section("fig-4", title, (missing("membership.csv", "membership"),))

    def draw(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2)
        middle = [(r["rank_from"] + r["rank_to"]) / 2 for r in rows]
        left.fill_between(middle, [r["least"] for r in rows], [r["most"] for r in rows], alpha=0.3, step="mid")
        left.plot(middle, [r["members"] for r in rows])
        left.set(title="members of a face's set", xlabel="training faces, ranked", ylim=(0, None))
        right.plot(middle, [r["yaw"] for r in rows], label="|yaw|, °")
        right.plot(middle, [r["roll"] for r in rows], label="|roll|, °")
        right.plot(middle, [100 * r["deviation"] for r in rows], label="distance from the mean shape, % of the box")
        right.set(title="who they are", xlabel="training faces, ranked", ylim=(0, None))
        right.legend()

    top, bottom = rows[0], rows[-1]
    last = bottom["rank_to"]
    median = next(r for r in rows if r["rank_to"] >= last / 2)
    return Section(
        "fig-4",
        title,
        (
            Figure("fig-4-membership", "Training faces ranked by |M_i| (Eq. 6), in equal parts.", (10.0, 3.6), draw),
            Text(
                f"Of {last:,} training faces the {top['rank_to']:,} with the most members have "
                f"{top['members']:,.0f} in the mean, those at the median {median['members']:,.0f}, the "
                f"{last - bottom['rank_from'] + 1:,} with the fewest {bottom['members']:,.0f}{_classes(top)}. As in "
                "the paper, large sets belong to frontal, upright faces near the mean (the first part: |yaw| "
                f"{top['yaw']:.1f}°, |roll| {top['roll']:.1f}°), small ones to extreme poses (|yaw| up to "
                f"{max(r['yaw'] for r in rows):.1f}° in the mean of a part, |roll| up to "
                f"{max(r['roll'] for r in rows):.1f}°). The paper's median "
                "is above 4,000 of 140,428. The faces themselves are not drawn: their data may not be redistributed."
            ),
        ),
    )


def _classes(row: Row) -> str:
    """Of how many classes the sets are, where the file says so."""
    return f", of K = {int(row['k']):,} classes" if row.get("k") else ""
