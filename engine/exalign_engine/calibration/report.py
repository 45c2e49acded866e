"""The calibration of a bundle as a page or a picture: whether what it states is what was observed.

A page (.html) stands by itself: drawings are inline SVG, nothing is fetched. It shows curves and tables, no faces.
"""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # files only

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from exalign.output_files import replacing, write_file
from exalign_engine.bundle.bundle import Bundle
from exalign_engine.geometry.landmarks import GROUPS, N_LANDMARKS
from exalign_engine.metrics.coverage import MASSES
from exalign_engine.posterior.pose_calibrated import ANGLES

Card = dict[str, Any]
#: A cell of a table: text, or text and how far the share in it is from what is stated, in points.
Cell = str | tuple[str, float]

_STYLE: dict[str, Any] = {
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.fonttype": "none",
}

#: Bins of yaw with fewer faces than this are not drawn: their shares are mostly noise.
FEW_FACES = 10

#: Size of one panel, inches.
_PANEL = (4.6, 3.7)

_CSS = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; background: #f5f6f8; margin: 0; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 2px; } h2 { font-size: 18px; margin: 34px 0 8px; }
p { max-width: 76ch; } .quiet { color: #5d6878; } code { font-size: 13px; overflow-wrap: anywhere; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 18px 0; }
.figures div, figure, .scroll { background: #fff; border: 1px solid #e1e5ea; border-radius: 8px; }
.figures div { padding: 10px 14px; } .figures b { display: block; font-size: 21px; }
.figures span { color: #5d6878; font-size: 13px; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(330px, 1fr)); gap: 14px; }
figure { margin: 0; padding: 10px 12px; } figure svg { width: 100%; height: auto; display: block; }
figcaption { color: #5d6878; font-size: 13px; margin-top: 4px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
.scroll.narrow { max-width: 420px; }
th, td { padding: 5px 14px; text-align: right; border-top: 1px solid #eceff3; white-space: nowrap; }
thead th { border-top: 0; color: #5d6878; font-weight: 600; } th:first-child, td:first-child { text-align: left; }
td.off { background: #fdeccb; } td.far { background: #f9cfc9; }
"""

#: A share this far from what is stated is marked in the tables, in points.
_OFF, _FAR = 4.0, 8.0


def write_report(bundle: Bundle, out: Path) -> None:
    """Write what calibration measured.

    Args:
        bundle: calibrated.
        out: ends in .html (a page that stands by itself) or .png.

    Raises:
        ValueError: another ending, or the bundle was never calibrated.
    """
    card = bundle.calibration.card
    if not card:
        raise ValueError(f"{bundle.path} was never calibrated: there is nothing to report")
    if out.suffix == ".html":
        write_file(out, _page(bundle, card))
    elif out.suffix == ".png":
        _picture(bundle, card, out)
    else:
        raise ValueError(f"{out} must end in .html or .png")


def draw_groups(axis: Axes, card: Card) -> None:
    """What regions hold against what they state, by landmark group."""
    rows = [r for r in card["coverage"] if r["yaw"] is None]
    _reliability(axis, {name: [r for r in rows if r["group"] == name] for name in ("all", *GROUPS)})
    axis.set(title="Landmark regions, by group", xlabel="stated mass of the region")


def draw_yaw(axis: Axes, card: Card) -> None:
    """What regions hold against what they state, by yaw."""
    rows = [r for r in card["coverage"] if r["group"] == "all"]
    bins = sorted({tuple(r["yaw"]) for r in rows if r["yaw"] and r["landmarks"] >= FEW_FACES * N_LANDMARKS})
    series = {"all": [r for r in rows if r["yaw"] is None]}
    series |= {_yaw_name(b): [r for r in rows if r["yaw"] and tuple(r["yaw"]) == b] for b in bins}
    _reliability(axis, series)
    axis.set(title="Landmark regions, by yaw", xlabel="stated mass of the region")


def draw_pose(axis: Axes, card: Card) -> None:
    """What the pose's intervals hold against what they state, by angle."""
    rows = card["pose"]["intervals"]
    _reliability(axis, {name: [r for r in rows if r["angle"] == name] for name in ANGLES})
    axis.set(title="Pose intervals, by angle", xlabel="stated mass of the interval")


def draw_temperature(axis: Axes, card: Card) -> None:
    """Likelihood by temperature, each with its own best kernels."""
    curve = {float(t): v for t, v in card["nll_by_temperature"].items()}
    axis.plot(list(curve), list(curve.values()), marker="o", ms=4, color="C0")
    best = min(curve, key=lambda t: curve[t])
    axis.plot([best], [curve[best]], "o", ms=9, mfc="none", mec="C3", mew=1.6)
    axis.annotate(f"T = {best:g}", (best, curve[best]), (0, 12), textcoords="offset points", ha="center", color="C3")
    _log_ticks(axis, [t for t in (0.15, 0.25, 0.5, 1.0, 1.4) if t in curve])
    axis.set(title="Likelihood by temperature", xlabel="temperature T", ylabel="NLL of a landmark, nats")


def draw_kernels(axis: Axes, card: Card) -> None:
    """What narrower kernels cover, and what they cost."""
    rows, factor = card["kernel_factors"], card["kernel_factor"]
    factors = [r["factor"] for r in rows]
    for i, mass in enumerate(MASSES):
        axis.plot(factors, [r["coverage"][i] for r in rows], marker="o", ms=4, color=f"C{i}")
        end = (factors[0], rows[0]["coverage"][i])
        axis.annotate(f"{mass} %", end, (-7, 0), textcoords="offset points", ha="right", va="center", color=f"C{i}")
        axis.axhline(mass / 100, color=f"C{i}", lw=0.9, ls=":")
    axis.axvline(factor, color="C3", lw=1.2)
    axis.annotate(
        f"× {factor:.2f}",
        (factor, 0.03),
        (-4, 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right",
        color="C3",
    )
    axis.set_ylim(0.25, 1.02)
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    _log_ticks(axis, factors)
    axis.set_xlim(0.72 * factors[0], 1.08 * factors[-1])
    loss = axis.twinx()
    loss.plot(factors, [r["nll"] for r in rows], color="0.45", lw=1.2, ls="--", label="NLL (right)")
    loss.grid(visible=False)
    loss.spines["right"].set_visible(True)
    loss.set_ylabel("NLL of a landmark, nats", color="0.4")
    loss.legend(loc="lower right")
    axis.set(title="Width of the kernels", xlabel="factor of the likeliest c", ylabel="landmarks inside")


def draw_presence(axis: Axes, card: Card) -> None:
    """Stated presence and share of crops that show a face."""
    presence = card["presence"]
    bins = presence["reliability"]
    most = max(b["count"] for b in bins)
    axis.plot([0, 1], [0, 1], color="0.7", lw=1)
    sizes = [14 + 180 * b["count"] / most for b in bins]
    axis.scatter([b["stated"] for b in bins], [b["observed"] for b in bins], s=sizes, alpha=0.7, zorder=3)
    for b in bins:
        low = b["stated"] > 0.5
        axis.annotate(
            str(b["count"]),
            (b["stated"], b["observed"]),
            (-9, 3) if low else (9, -10),
            textcoords="offset points",
            fontsize=8,
            ha="right" if low else "left",
        )
    _percent(axis)
    title = f"Presence: ROC AUC {presence['roc_auc']:.4f}"
    axis.set(title=title, xlabel="stated presence", ylabel="crops that show a face")


#: Every panel: name, what draws it, and what a reader should see.
_PANELS: tuple[tuple[str, Callable[[Axes, Card], None], str], ...] = (
    ("groups", draw_groups, "At 0 a region holds what it states; above, it is too wide. The band is ± 4 points."),
    ("yaw", draw_yaw, f"Yaw of the posterior's mean; bins of at least {FEW_FACES} faces."),
    ("pose", draw_pose, "Truth: the pose of the true landmarks, solved with the bundle's 3-D mean face."),
    ("temperature", draw_temperature, "Every temperature with its own best kernels; less is better."),
    ("kernels", draw_kernels, "The likeliest kernels (× 1) are too wide in the middle; coverage decides."),
    ("presence", draw_presence, "The figure at a point is its number of crops; faces and others weigh the same."),
)


def _picture(bundle: Bundle, card: Card, out: Path) -> None:
    with plt.style.context(_STYLE):
        figure, axes = plt.subplots(2, 3, figsize=(3 * _PANEL[0], 2 * _PANEL[1] + 0.5), layout="constrained")
        for axis, (_, draw, _) in zip(axes.flat, _PANELS, strict=True):
            draw(axis, card)
        figure.suptitle(f"{bundle.manifest.name}: calibration on {card['split']}, {card['faces']} faces", fontsize=13)
        with replacing(out) as partial:
            figure.savefig(partial, dpi=110)
        plt.close(figure)


def _svg(name: str, draw: Callable[[Axes, Card], None], card: Card) -> str:
    """One panel as an SVG element; ``name`` keeps its ids apart from those of the others on the page."""
    with plt.style.context({**_STYLE, "svg.hashsalt": name}):
        figure, axis = plt.subplots(figsize=_PANEL, layout="constrained")
        draw(axis, card)
        figure.patch.set_alpha(0)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    for reference in ('id="', 'href="#', "url(#"):
        drawn = drawn.replace(reference, f"{reference}{name}-")
    return drawn


def _page(bundle: Bundle, card: Card) -> str:
    calibration, accuracy, presence = bundle.calibration, card["accuracy"][0], card["presence"]
    shown = [
        (f"{card['faces']:,}", f"faces of {card['split']}"),
        (f"{card['nll']:.3f}".replace("-", "−"), "NLL of a landmark, nats"),
        (f"{calibration.temperature:g}", "temperature T"),
        (f"{calibration.kernel_scale:.4f}", f"kernel scale c (likeliest × {card['kernel_factor']:.2f})"),
        (f"{accuracy['auc']:.3f}", "AUC, true boxes"),
        (f"{presence['roc_auc']:.4f}", "ROC AUC of presence"),
    ]
    panels = "\n".join(
        f"<figure>{_svg(name, draw, card)}<figcaption>{caption}</figcaption></figure>"
        for name, draw, caption in _PANELS
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(bundle.manifest.name)}: calibration</title><style>{_CSS}</style></head><body><main>
<h1>{html.escape(bundle.manifest.name)}: calibration</h1>
<p class="quiet">Bundle <code>{bundle.id}</code>. Fitted and measured on the split “{html.escape(card["split"])}”, which
the network was not trained on; figures of a split that nothing was fitted on come from
<code>exalign-model evaluate</code>.</p>
<div class="figures">{"".join(f"<div><b>{value}</b><span>{label}</span></div>" for value, label in shown)}</div>
<div class="panels">
{panels}
</div>
{_tables(card)}
</main></body></html>
"""


def _tables(card: Card) -> str:
    """Every figure behind the curves."""
    stated = [f"{mass} %" for mass in MASSES]
    whole = [r for r in card["coverage"] if r["yaw"] is None]
    groups: list[list[Cell]] = [[name, *_shares(r for r in whole if r["group"] == name)] for name in ("all", *GROUPS)]
    every = [r for r in card["coverage"] if r["group"] == "all" and r["yaw"]]
    turns: list[list[Cell]] = [
        [f"{_yaw_name(b)} ({rows[0]['landmarks'] // N_LANDMARKS:,})", *_shares(rows)]
        for b in sorted({tuple(r["yaw"]) for r in every})
        for rows in [[r for r in every if tuple(r["yaw"]) == b]]
    ]
    pose, presence = card["pose"], card["presence"]
    angles: list[list[Cell]] = []
    for name in ANGLES:
        rows = [r for r in pose["intervals"] if r["angle"] == name]
        half, ninety = rows[MASSES.index(50)]["width"], rows[MASSES.index(90)]["width"]
        angles.append([name, *_shares(rows), f"{half:.1f}°", f"{ninety:.1f}°"])
        angles[-1] += [f"{pose['mean_rms'][name]:.2f}°", f"{pose['known_rms'][name]:.2f}°"]
    crops = [[f"{b['stated']:.3f}", f"{b['observed']:.3f}", f"{b['count']:,}"] for b in presence["reliability"]]
    return f"""
<h2>Landmarks inside the region of stated mass</h2>
{_table(["group", *stated], groups)}
<p></p>
{_table(["yaw (faces)", *stated], turns)}
<p class="quiet">Marked: off by more than {_OFF:g} points, and by more than {_FAR:g}.
The likeliest kernels are {card["nll"] - card["nll_likeliest_kernels"]:.3f} nats a landmark better than these.</p>
<h2>Head pose inside the interval of stated mass</h2>
{_table(["angle", *stated, "50 % width", "90 % width", "error of the mean", "error where known"], angles)}
<p class="quiet">Widths are medians. Error of the mean: root mean square against the pose of the true landmarks.
Error where known: of the solver on projections of the 3-D face in random known poses (yaw ± 60°, pitch ± 30°,
roll ± 45°), with what real faces have of their own on top.</p>
<h2>Presence</h2>
<p>{presence["faces"]:,} crops of faces against {presence["negatives"]:,} without one: ROC AUC
{presence["roc_auc"]:.4f}. At the threshold {presence["found_at_threshold"]:.1f} % of the faces pass, and
{presence["false_at_threshold"]:.1f} % of the others.</p>
{_table(["stated", "observed", "crops"], crops, "narrow")}
"""


def _shares(rows: Iterable[dict[str, Any]]) -> list[tuple[str, float]]:
    """Cells of a table: text, and how far the share is from what is stated, in points."""
    return [(f"{100 * r['observed']:.1f}", 100 * abs(r["observed"] - r["nominal"])) for r in rows]


def _table(head: Sequence[str], rows: Sequence[Sequence[Cell]], style: str = "") -> str:
    def cell(value: Cell) -> str:
        if isinstance(value, str):
            return f"<td>{html.escape(value)}</td>"
        text, away = value
        mark = ' class="far"' if away > _FAR else ' class="off"' if away > _OFF else ""
        return f"<td{mark}>{text}</td>"

    top = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "\n".join(f"<tr>{''.join(cell(v) for v in row)}</tr>" for row in rows)
    return f'<div class="scroll {style}"><table><thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _reliability(axis: Axes, series: dict[str, list[dict[str, Any]]]) -> None:
    """Observed minus stated share of several series: a reliability diagram with its diagonal laid flat."""
    axis.axhspan(-_OFF, _OFF, color="0.5", alpha=0.13, lw=0)
    axis.axhline(0, color="0.45", lw=1)
    for i, (name, rows) in enumerate(series.items()):
        first = name == "all"
        axis.plot(
            range(len(rows)),
            [100 * (r["observed"] - r["nominal"]) for r in rows],
            label=name,
            color="k" if first else f"C{i}",
            lw=2.4 if first else 1.4,
            zorder=3 if first else 2,
            marker="o",
            ms=4,
        )
    axis.set_xticks(range(len(MASSES)), [f"{mass} %" for mass in MASSES])
    axis.set(ylim=(-3 * _OFF, 3 * _OFF), ylabel="held − stated, points")
    axis.legend(loc="lower left", ncols=2)


def _percent(axis: Axes) -> None:
    axis.set(xlim=(-0.05, 1.05), ylim=(-0.07, 1.09))
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(PercentFormatter(1))


def _log_ticks(axis: Axes, values: Sequence[float]) -> None:
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(FixedLocator(list(values)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _yaw_name(limits: Sequence[float]) -> str:
    return f"{limits[0]:.0f}° … {limits[1]:.0f}°".replace("-", "−")
