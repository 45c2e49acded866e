"""Rows of `benchmarks.peers` → who is more accurate, where, at what cost, and which claims hold."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure as Canvas

from exalign_engine.evaluation.reproduction.blocks import Block, Figure, Section, Table, Text, number
from exalign_engine.evaluation.reproduction.peers_verdict import (
    ABOVE,
    BOXES,
    LOWEST,
    NAMES,
    NEAR_BEST,
    OURS,
    Judgement,
    Place,
    Places,
    judge,
    places,
)
from exalign_engine.evaluation.reproduction.results import Results
from exalign_engine.evaluation.reproduction.tables import Row

CLAIMS = (ABOVE, NEAR_BEST, LOWEST)
POINTS = {"all68": "68 points", "inner51": "inner 51"}

CAVEATS = (
    "All three answer the same pictures and are measured by the same code, `benchmarks/peers/`. Crops are squares of "
    "160 pixels about one face; photos are the whole pictures, up to 1,024 pixels. A given box is the true one, or, in "
    "the rows `box`, a moved one, mapped to each peer's convention by what its own detector draws on faces of "
    "`train`; exalign refines a box that is far off, as it does for its users, which Table 3 leaves out. Detectors are "
    "MTCNN for exalign, dlib's HOG and MediaPipe's own; where several faces are found, the truth says which is meant, "
    "for all alike. A face that is not found is a failure and adds nothing to AUC.",
    "dlib's predictor was trained on 300-W (davisking/dlib issue 359), which includes HELEN and LFPW with their test "
    "parts: it may have seen these very faces. Frames of YouTube Faces (`ytf`) are new to it. exalign was trained on "
    "other photos of HELEN and LFPW and on other people of YouTube Faces.",
    "MediaPipe's mesh has no 68 points. Each is the vertex that lies nearest to it on 300 faces of `train`, the most "
    "favourable choice for these faces; but the mesh's oval turns with the head where the jaw of the 68 points is the "
    "contour that is seen. So the inner 51 stand beside all 68. About a given box MediaPipe's mesh is upright, for a "
    "box has no roll; with its own detector it follows the head's.",
    "CPU-ms are medians over pictures, all threads counted, from the picture in memory to the points, detection "
    "included where there is one. They were taken while other work ran on the "
    "machine, so their order of magnitude counts.",
)


def peers_section(results: Results) -> Section:
    """Beside what a user would pick instead."""
    title = "Beside today's peers"
    if not results.peers:
        text = (
            "Not measured here: `peers.csv` is not there. `python -m benchmarks.peers --data FACES --split test --out "
            "docs/reproduction/peers` makes it."
        )
        return Section("peers", title, (Text(text),))
    judgements = judge(results.peers)
    at = places(results.peers)
    return Section(
        "peers",
        title,
        (
            *_origin(results),
            *_verdict(judgements),
            Text("Accuracy and cost on undisturbed pictures, with 95 % intervals over faces:"),
            _accuracy(at),
            *_failures(at),
            *_unseen(at),
            *(Text(text) for text in CAVEATS),
        ),
        _summary(at, judgements),
    )


def _name(contestant: str) -> str:
    return NAMES.get(contestant, contestant)


def _contestants(at: Places) -> list[str]:
    """Ours first, the others in the order of the file."""
    names = dict.fromkeys(name for by_name in at.values() for name in by_name)
    return sorted(names, key=lambda name: name != OURS)


def _origin(results: Results) -> list[Block]:
    """Which file, split and versions; nothing where the JSON file beside the rows is not there."""
    about = results.peers_about
    if about is None:
        return []
    described = "; ".join(f"{_name(name)} {what}" for name, what in about.contestants.items())
    return [Text(f"From `peers.csv`, where every row is: split `{about.split}`; {described}.")]


def _verdict(judgements: Sequence[Judgement]) -> list[Block]:
    """Every claim by points and boxes, and a row for each place where one does not hold."""
    groups: dict[tuple[str, str, str], list[Judgement]] = {}
    for j in sorted(judgements, key=lambda j: (CLAIMS.index(j.claim), *_order(j.place))):
        groups.setdefault((j.claim, j.place.points, j.place.boxes), []).append(j)
    cells = []
    for (claim, points, boxes), here in groups.items():
        all_crops = [_on_all_crops(j) for j in here if claim != LOWEST and j.place.name == "all crops"]
        kind = "conditions" if claim == LOWEST else "sets of pictures"
        held = f"{sum(j.holds for j in here)} of {len(here)} {kind}"
        lost = ", ".join(j.place.name for j in here if not j.holds)
        described = f"{claim} ({POINTS[points]})" if claim == LOWEST else claim
        cells.append((described, BOXES[boxes], "; ".join((*all_crops, held)), lost or "none"))
    blocks: list[Block] = [
        Text(
            "Three claims, judged on the rows: AUC over all crops, over each collection's crops and over the whole "
            "photos; failures under every corruption of the stress suite. A tie is no loss. A moved box is a "
            "condition for given boxes alone."
        ),
        Table(("claim", "boxes", "holds", "does not hold for"), tuple(cells)),
    ]
    failing = tuple(
        (_short(j), j.place.name, BOXES[j.place.boxes], str(j.ours["n"]), _told(j, j.ours), _told(j, j.peer), j.reason)
        for here in groups.values()
        for j in here
        if not j.holds and (j.claim, j.place.points) != (LOWEST, "inner51")
    )
    if failing:
        head = ("what", "where", "boxes", "n", "exalign", "the best peer", "why")
        blocks += [Text("Where a claim does not hold, and why (failures over the 68 points):"), Table(head, failing)]
    return blocks


def _order(place: Place) -> tuple[int, int]:
    """Points and boxes as they are listed everywhere."""
    return list(POINTS).index(place.points), list(BOXES).index(place.boxes)


def _on_all_crops(j: Judgement) -> str:
    held = "yes" if j.holds else "no"
    peer = f"{_name(j.peer['contestant'])}'s {number(j.peer['auc'], 3)}"
    return f"all crops: {held}, {number(j.ours['auc'], 3)} beside {peer}"


def _short(j: Judgement) -> str:
    return f"{'failures' if j.claim == LOWEST else 'AUC'}, {POINTS[j.place.points]}"


def _told(j: Judgement, row: Row) -> str:
    name = "" if row is j.ours else f"{_name(row['contestant'])} "
    if j.claim == LOWEST:
        return f"{name}{number(row['failure_rate'], 2)} %"
    return name + _auc(row)


def _auc(row: Row | None) -> str:
    if row is None:
        return "–"
    return f"{number(row['auc'], 3)} ({number(row['auc_lower'], 3)} … {number(row['auc_upper'], 3)})"


def _unseen(at: Places) -> list[Block]:
    """AUC on the frames of YouTube Faces, the only faces here that no peer's training data are known to include."""
    parts = []
    for boxes, whose in BOXES.items():
        here = at.get(Place("crops", "ytf", "clean", 0, boxes, "all68"), {})
        if here:
            described = ", ".join(f"{_name(n)} {_auc(here[n])}" for n in _contestants(at) if n in here)
            parts.append(f"{'given boxes' if boxes == 'given' else whose}: {described}")
    if not parts:
        return []
    return [Text(f"AUC over 68 points on `ytf`, which 300-W does not include; {'; '.join(parts)}.")]


def _accuracy(at: Places) -> Table:
    """Undisturbed crops and photos, one row a contestant."""
    cells = []
    for pictures in dict.fromkeys(place.pictures for place in at):
        for boxes in BOXES:
            by_points = {p: at.get(Place(pictures, "all", "clean", 0, boxes, p), {}) for p in POINTS}
            for name in _contestants(at):
                row = by_points["all68"].get(name)
                if row is not None:
                    cells.append(
                        (
                            f"{pictures}, n = {row['n']:,}",
                            BOXES[boxes],
                            _name(name),
                            *(_auc(by_points[p].get(name)) for p in POINTS),
                            number(row["failure_rate"], 2),
                            number(row["missed"], 2),
                            number(row["cpu_ms_median"], 1),
                        )
                    )
    aucs = tuple(f"AUC, {name}" for name in POINTS.values())
    head = ("pictures", "boxes", "who", *aucs, "failures, %", "missed, %", "CPU-ms")
    return Table(head, tuple(cells))


def _failures(at: Places) -> list[Block]:
    """Failures of all crops by condition, as a table and as a figure."""
    names = _contestants(at)
    by_condition: dict[tuple[str, int], dict[tuple[str, str], Row]] = {}
    for place, by_name in at.items():
        if (place.pictures, place.source, place.points) == ("crops", "all", "all68"):
            here = by_condition.setdefault((place.corruption, place.severity), {})
            here.update({(place.boxes, name): row for name, row in by_name.items()})
    cells = tuple(
        (
            corruption.replace("_", " ") + (f" {severity}" if severity else ""),
            *(_failed(here.get((boxes, name))) for boxes in BOXES for name in names),
        )
        for (corruption, severity), here in by_condition.items()
    )
    whose = {"given": "given box", "detector": "own detector"}
    blocks: list[Block] = [
        Text(
            "Failures in %, 68 points, all crops; in brackets the share that was missed. A peer may miss a face in a "
            "given box too: MediaPipe says so where it sees no face in it."
        ),
        Table(("condition", *(f"{_name(name)}, {whose[boxes]}" for boxes in BOXES for name in names)), cells),
    ]
    corruptions = list(dict.fromkeys(c for c, _ in by_condition if c != "clean"))
    if not corruptions:
        return blocks

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots(len(BOXES), len(corruptions), sharex=True, sharey=True, squeeze=False)
        for line, boxes in zip(axes, BOXES, strict=True):
            for axis, corruption in zip(line, corruptions, strict=True):
                for i, name in enumerate(names):
                    rows = {s: by_condition.get((corruption if s else "clean", s), {}).get((boxes, name)) for s in X}
                    known = {s: r for s, r in rows.items() if r is not None}
                    for column, style, marker in (("failure_rate", "-", "o"), ("missed", ":", "")):
                        values = [r[column] for r in known.values()]
                        label = _name(name) + ("" if marker else ", missed")
                        # Ours on top: it is what is compared, and often lies at 0 with another.
                        axis.plot(
                            list(known), values, style, marker=marker, ms=3, color=f"C{i}", label=label, zorder=4 - i
                        )
                axis.set(ylim=(-3, 103), xticks=X)
                if boxes == "given":
                    axis.set_title(corruption.replace("_", " "))
                else:
                    axis.set_xlabel("severity")
            line[0].set_ylabel(f"failures, %, {whose[boxes]}")
        canvas.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2 * len(names))

    caption = (
        "Failures by corruption and severity (0: undisturbed), above about given boxes, below with everyone's own "
        "detector; dotted, the faces that were missed."
    )
    return [Figure("peers-failures", caption, (11.5, 5.0), draw), *blocks]


#: Severities, 0 undisturbed.
X = (0, 1, 2, 3)


def _failed(row: Row | None) -> str:
    if row is None:
        return "–"
    failed = number(row["failure_rate"], 1)
    return f"{failed} ({number(row['missed'], 1)})" if row["missed"] else failed


def _summary(at: Places, judgements: Sequence[Judgement]) -> str:
    """AUC of everyone on all crops, and how often ours fails least."""
    parts = []
    for boxes, whose in (("given", "given boxes"), ("detector", "own detectors")):
        here = at.get(Place("crops", "all", "clean", 0, boxes, "all68"), {})
        aucs = ", ".join(f"{_name(n)} {number(here[n]['auc'], 3)}" for n in _contestants(at) if n in here)
        strong = [j for j in judgements if (j.claim, j.place.boxes, j.place.points) == (LOWEST, boxes, "all68")]
        least = f"; no peer fails less under {sum(j.holds for j in strong)} of {len(strong)} strong corruptions"
        if aucs:
            parts.append(f"AUC, {whose}: {aucs}{least if strong else ''}")
    return ". ".join(parts) + "." if parts else ""
