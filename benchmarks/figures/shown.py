"""Where numbers stand in pages: README, accuracy, and whoever repeats them."""

from __future__ import annotations

from benchmarks.figures.figure import Shown

_ACCURACY = "docs/accuracy.md"

#: The columns of a row of accuracy, below a key of the result.
_ROW = "{KEYn:.0f} | {KEYauc:.3f} | {KEYnrmse_mean*100:.2f} % | {KEYfailure_rate:.1f} % | {KEYmissed:.1f} % |"


def _rows(label: str, groups: tuple[str, ...], *pages: str) -> tuple[Shown, ...]:
    """Rows of the tables of accuracy: all faces, and groups of them."""
    keys = {label: "", **{f"{label}: {group}": f"groups/{group}/" for group in groups}}
    return tuple(Shown(page, f"| {name} | {_ROW.replace('KEY', key)}") for page in pages for name, key in keys.items())


TRUTH = (
    *_rows("crops, true boxes", ("helen", "lfpw", "ytf", "large_yaw", "hard"), _ACCURACY),
    Shown(
        "README.md",
        "With true boxes it is {auc:.3fz}. Of each landmark's 50 and 90 % regions, {coverage/50:.1f} and"
        " {coverage/90:.1f} % hold it.",
    ),
    Shown(
        _ACCURACY,
        "The 50, 80, 90 and 95 % regions hold {coverage/50:.1f}, {coverage/80:.1f}, {coverage/90:.1f} and"
        " {coverage/95:.1f} % of the landmarks of `test`",
    ),
    Shown(_ACCURACY, "tells faces from crops without one with a ROC AUC of {presence/roc_auc:.3f}."),
    Shown("docs/concepts.md", "On the 760 faces of `test` it holds {coverage/90:.1f} %."),
)

DETECTOR = (
    *_rows("crops, detected boxes (BlazeFace)", (), _ACCURACY),
    *(
        Shown(_ACCURACY, f"| crops, detected boxes: {group} | {_ROW.replace('KEY', f'groups/{group}/')}")
        for group in ("large_yaw", "hard")
    ),
    Shown("README.md", "is {auc:.3fz} with its own detector;"),
)

MTCNN = _rows("crops, MTCNN boxes", (), _ACCURACY)


def _stress(label: str, corruption: str) -> Shown:
    """A row of failures: regression, mixture, one click on the nose, one where it is suggested."""
    columns = (("regression", 0), ("none", 0), ("nose", 1), ("suggested", 1))
    fields = (
        f"{{rows/corruption={corruption},severity=3,policy={policy},clicks={clicks}/failure_rate:.1f}} %"
        for policy, clicks in columns
    )
    return Shown(_ACCURACY, f"| {label} | {' | '.join(fields)} |")


STRESS = (
    _stress("occluder over 60 % of the box", "occluder"),
    _stress("occluder 40 %, blur, 24 pixels and a wrong box together", "mixed"),
)


def _video(label: str, method: str, intervals: bool = True) -> Shown:
    """A row of the video table."""

    def row(phase: str) -> str:
        return f"rows/boxes=given,method={method},phase={phase}"

    def error(phase: str, digits: int) -> str:
        return f"{{{row(phase)}/nrmse_mean*100:.{digits}f}} %"

    def wide(phase: str) -> str:
        yaw = f" ({{{row(phase)}/yaw_interval_deg:.0f}}°, {{{row(phase)}/yaw_coverage:.0f}} %)" if intervals else ""
        return error(phase, 1) + yaw

    columns = (error("visible", 2), wide("partial"), wide("hidden"), error("after_cut", 2))
    return Shown(_ACCURACY, f"| {label} | {' | '.join(columns)} |")


VIDEO = (
    _video("each frame by itself", "per_frame"),
    _video("filter", "filter"),
    _video("smoother", "smoother"),
    _video("the last visible answer, held", "hold", intervals=False),
    *(
        Shown(
            "docs/video.md",
            f"| {label} | "
            + " | ".join(
                f"{{rows/boxes=given,method={method},phase={phase}/nrmse_mean*100:.{digits}f}} %"
                for phase, digits in (("visible", 2), ("partial", 1), ("hidden", 1))
            )
            + " |",
        )
        for label, method in (
            ("each frame by itself", "per_frame"),
            ("filter", "filter"),
            ("smoother", "smoother"),
        )
    ),
)

FACE = (
    Shown("README.md", "| **{rows/0/total:.1f} CPU-ms** (the paper: 60 ms on a GPU) |"),
    Shown("docs/operations.md", "| CPU | {rows/0/total:.1f} ms a face; about as much again"),
    Shown("docs/faq.md", "About {rows/0/total:.1f} CPU-ms a face with a box"),
    Shown(
        _ACCURACY,
        "From crop to 68 refined landmarks with covariances: {rows/0/total:.1f} CPU-ms a face,"
        " {rows/0/reading:.1f} of it the posterior; {rows/1/total:.1f} in fp32, {rows/2/total:.1f} at K = 1,000",
    ),
)

STREAMS = (
    Shown("README.md", "its JPEG decoded and its state kept | {frame/0/cpu_ms/here, lag 0/0:.0f} CPU-ms |"),
    Shown(
        "docs/scale.md",
        "| {frame/0/cpu_ms/here, lag 0/0:.0f} ms at a lag of 0, {frame/0/cpu_ms/here, lag 5/0:.0f} ms at a lag of 5 (",
    ),
)

#: Rows: in process, in process by eight, gRPC by 1, 8 and 32.
SERVING = (
    Shown(
        "README.md",
        "| p50 {rows/2/p50_ms:.0f} and {rows/3/p50_ms:.0f} ms, p99 {rows/2/p99_ms:.0f} and {rows/3/p99_ms:.0f} ms;"
        " {rows/2/calls_per_second:.0f} and {rows/3/calls_per_second:.0f} calls a second |",
    ),
    Shown(
        _ACCURACY,
        "| floor: decode, crop, score and read in process, 2 callers | {rows/0/calls_per_second:.0f} |"
        " {rows/0/cpu_ms:.1f} | {rows/0/p50_ms:.1f} | {rows/0/p99_ms:.1f} | 1 |",
    ),
    *(
        Shown(
            _ACCURACY,
            f"| gRPC, concurrency {n} | {{rows/{i}/calls_per_second:.0f}} | {{rows/{i}/cpu_ms:.1f}} |"
            f" {{rows/{i}/p50_ms:.0f}} | {{rows/{i}/p99_ms:.0f}} | {{rows/{i}/ratio_to_floor:.2f}} |",
        )
        for i, n in ((2, 1), (3, 8), (4, 32))
    ),
)


def _annotated(condition: str) -> Shown:
    """A row of the simulated annotator; where a way is sometimes never right, its share stands in brackets."""

    def cell(way: str, never: bool = False) -> str:
        row = f"rows/condition={condition},way={way}"
        share = f" ({{{row}/never_right_percent:.0f}} %)" if never else ""
        return f"{{{row}/clicks_mean:.1f}}, {{{row}/seconds_mean:.0f}} s{share}"

    cells = (cell("suggested", never=True), cell("worst"), cell("drag"), cell("all"))
    return Shown("docs/annotate.md", f"| {condition} | {' | '.join(cells)} |")


ANNOTATING = tuple(_annotated(condition) for condition in ("clean", "occluder 3", "mixed 2", "mixed 3"))

#: By the figure's name.
SHOWN = {
    "accuracy": TRUTH,
    "accuracy-own": DETECTOR,
    "accuracy-mtcnn": MTCNN,
    "stress": STRESS,
    "video": VIDEO,
    "annotating": ANNOTATING,
    "face": FACE,
    "serving": SERVING,
    "streams": STREAMS,
}
