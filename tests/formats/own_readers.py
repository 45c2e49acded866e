"""`make formats`: files that we write, read by the tools' own readers; and files that those tools write, read by us.

    python tests/formats/own_readers.py [--dir DIR] [--out docs/formats-own-readers.json]

Each tool is in an environment of its own, made with pip below --dir (kept there) or in a temporary folder. Points must
be equal to half a pixel in the tool's own frame, and visibility as far as the tool has one.

CVAT's reader is in no package: `cvat_source` fetches its code where the internet reaches it, or takes it from the
folder that EXALIGN_CVAT_SOURCE names. Where neither is so, CVAT is not run, which is said. In --out the rows of tools
that were not run stay as they were; each row has its tool's version.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "clients"), str(ROOT / "protos")]

import cvat_source

from exalign_client.formats import FORMATS, LabelledFace, LabelledPicture, labeling_config, oks_sigmas, point_names

READERS = Path(__file__).parent / "readers"

#: Tool -> what pip installs. They do not agree on OpenCV, NumPy and Pillow.
TOOLS = {
    "pycocotools": ("pycocotools",),
    "menpo": ("menpo",),
    "polars": ("polars",),
    "datumaro": ("datumaro",),
    "label_studio": ("label-studio-sdk",),
    "cvat": ("Django~=5.2.0", "attrs", "defusedxml", "numpy~=2.0", "scipy", "Shapely~=2.1"),
}

#: Formats of CVAT's, for which its code has files of their own: with absent points, and tracks with gaps.
CVAT = ("cvat-images", "cvat-video")

#: Half a pixel, and what the last digit of a file leaves out.
MOST = 0.5 + 0.01

#: Where a tool's frame begins: what is added to our points.
SHIFT = {"cvat-images": 0.5, "cvat-video": 0.5, "label-studio": 0.5}

#: What a tool cannot know: its reader or writer has no such thing.
NOT_KNOWN = {
    ("menpo", "pts"): "no visibility in .pts",
    ("label_studio", "label-studio"): "the converter to COCO writes 2 for every point",
}


@dataclass(frozen=True)
class Row:
    """What was found of one tool, format and direction."""

    tool: str
    version: str
    format: str
    direction: str
    faces: int
    worst_px: float
    visibility: str


#: A face, and the number of its picture.
Given = tuple[LabelledFace, int]


class WrongError(Exception):
    """A tool does not see what we wrote, or we do not see what it wrote."""


#: Which tracks are in which picture. `PRESENT_ALL`: one comes again, both end, and nobody is in the last.
PRESENT = ((1, 2), (1,))
PRESENT_ALL = ((1, 2), (1,), (1, 2), (2,), ())


def given(tracked: bool, absent: bool = False) -> list[LabelledPicture]:
    """Two pictures with three faces; with ``tracked`` two frames of a video. Every point is there.

    With ``absent`` every tenth point is absent, which lies where the box begins, and a video has tracks with gaps.
    """
    rng = np.random.default_rng(5)
    pictures = []
    for number, tracks in enumerate(PRESENT_ALL if tracked and absent else PRESENT):
        found = []
        for track in tracks:
            xy = rng.uniform((20, 20), (600, 440), (68, 2))
            seen = rng.integers(1, 3, 68).astype(np.uint8)
            box = np.concatenate([xy.min(axis=0), xy.max(axis=0)])
            if absent:
                seen[::10], xy[::10] = 0, box[:2]
            found.append(LabelledFace(xy, seen, box, 0.9, track if tracked else None))
        name = "clip.mp4" if tracked else f"picture_{number}.jpg"
        pictures.append(LabelledPicture(name, (640, 480), tuple(found), number if tracked else None))
    return pictures


def write_all(folder: Path) -> None:
    """Every format, below ``folder``, under its own name."""
    for name, one in FORMATS.items():
        out = folder / ("pts" if name == "pts" else f"{name}{one.suffixes[0]}")
        one.write(given(name == "cvat-video"), out)
    for name in CVAT:
        FORMATS[name].write(given(name == "cvat-video", absent=True), folder / f"{name}-all.xml")
    (folder / "label-studio.xml").write_text(labeling_config(68))


def environment(tool: str, place: Path) -> Path:
    """The tool's interpreter; its environment is made where it is not there."""
    python = place / tool / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(place / tool)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *TOOLS[tool]], check=True)
    return python


def ask(tool: str, python: Path, folder: Path, source: Path | None = None) -> dict[str, Any]:
    """What the tool's reader says; ``source`` is the folder of CVAT's code.

    Raises:
        WrongError: it failed.
    """
    extra = {
        "pycocotools": [json.dumps(oks_sigmas().tolist())],
        "datumaro": ["68"],
        "cvat": [str(source), json.dumps(list(point_names(68)))],
    }.get(tool, [])
    done = subprocess.run(
        [str(python), str(READERS / f"{tool}_reader.py"), str(folder), *extra],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    if done.returncode:
        raise WrongError(f"{tool} ended with {done.returncode}: {done.stderr.strip()[-600:]}")
    said: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return said


def compare(
    what: str, name: str, found: Sequence[Any], visibility: Sequence[Any] | str, faces: Sequence[Given]
) -> tuple[float, str]:
    """The largest distance of a coordinate, pixels, and what became of visibility; or why that is not looked at.

    Args:
        what: the tool, or its file.
        name: our format.
        found: the points of each face that was found, and the frame that it is in, None where the tool has none.
        visibility: of each point of these.
        faces: what was given.

    Raises:
        WrongError: more than half a pixel, another number of faces, another frame, or another visibility.
    """
    if len(found) != len(faces):
        raise WrongError(f"{what} {name}: {len(found)} faces, {len(faces)} were written")
    arrays = [np.asarray(xy, dtype=np.float64) for xy, _ in found]
    apart = np.array([[np.abs(xy - face.points - SHIFT.get(name, 0.0)).max() for xy in arrays] for face, _ in faces])
    order = apart.argmin(axis=1)  # tools have pictures in an order of their own
    worst = float(apart.min(axis=1).max())
    if worst > MOST:
        raise WrongError(f"{what} {name}: {worst:.3f} px apart")
    if any(found[place][1] not in (None, frame) for place, (_, frame) in zip(order, faces, strict=True)):
        raise WrongError(f"{what} {name}: a face is in another frame")
    if isinstance(visibility, str):
        return worst, visibility
    if any(list(visibility[place]) != face.visibility.tolist() for place, (face, _) in zip(order, faces, strict=True)):
        raise WrongError(f"{what} {name}: other visibility")
    return worst, "kept"


def in_order(name: str, absent: bool = False) -> list[Given]:
    """The faces in the order in which a file has them: of a video, track by track; and the frame of each."""
    pictures = given(name == "cvat-video", absent)
    faces = [(face, number) for number, picture in enumerate(pictures) for face in picture.faces]
    if name == "label-studio":
        return [(picture.faces[0], number) for number, picture in enumerate(pictures)]
    return faces


def outward(tool: str, version: str, said: dict[str, Any]) -> list[Row]:
    """What the tool read.

    Raises:
        WrongError: it is not what we wrote.
    """
    rows = []
    if said.get("AP", 1.0) < 1 - 1e-9 or said.get("errors"):
        raise WrongError(f"{tool}: AP {said.get('AP')}, errors {said.get('errors')}")
    for name in FORMATS:
        if name not in said:
            continue
        read, faces = said[name], in_order(name, absent=tool == "cvat")
        names = list(point_names(68))
        if (tool, name) == ("datumaro", "cvat-video"):
            # An ended track has points that are outside, which it takes for points; and of a track it has the label.
            faces, names = [*faces, faces[1]], ["face"] * 68
        found = [(one["points"], one.get("frame")) for one in read]
        visible = NOT_KNOWN.get((tool, name)) or [one["visibility"] for one in read]
        if any(one.get("labels", names) != names for one in read):
            raise WrongError(f"{tool} {name}: points have other labels")
        rows.append(Row(tool, version, name, "we wrote", len(faces), *compare(tool, name, found, visible, faces)))
    return rows


#: File that a tool wrote -> tool, our format, what it was given (of CVAT a task), and why visibility cannot be in it.
WRITTEN = {
    "pts-by-menpo": ("menpo", "pts", "pts", "no visibility in .pts"),
    "parquet-by-polars.parquet": ("polars", "parquet", "parquet", ""),
    "openface-by-polars.csv": ("polars", "openface", "openface", ""),
    "coco-by-datumaro/annotations/person_keypoints_default.json": ("datumaro", "coco", "coco", ""),
    "cvat-by-datumaro/annotations.xml": ("datumaro", "cvat-images", "cvat-images", ""),
    "label-studio-json/result.json": ("label_studio", "label-studio", "label-studio", ""),
    "label-studio-coco/result.json": (
        "label_studio",
        "coco",
        "label-studio",
        "its converter writes 2 for every point",
    ),
    "coco-by-label-studio.json": ("label_studio", "label-studio", "coco", ""),
    **{
        f"{was}-as-{kind}-by-{whose}.xml": ("cvat", f"cvat-{kind}", was, "")
        for was in CVAT
        for kind in ("images", "video")
        for whose in ("cvat", "cvat-job")
    },
}


def inward(folder: Path, versions: dict[str, str]) -> list[Row]:
    """What we read of what the tools wrote.

    Raises:
        WrongError: it is not what they were given.
    """
    rows = []
    for file, (tool, name, was, unknown) in WRITTEN.items():
        if tool not in versions:
            continue
        pictures = FORMATS[name].read(folder / file)
        # Where CVAT writes a task of pictures as a video, it says no size.
        size = None if (was, name) == CVAT else (640, 480)
        if tool == "cvat" and any(picture.size != size for picture in pictures):
            raise WrongError(f"{tool}'s {file} {name}: other sizes, {[picture.size for picture in pictures]}")
        numbers = [number if picture.frame is None else picture.frame for number, picture in enumerate(pictures)]
        found = [
            (face, number if tool == "cvat" else None)
            for number, picture in zip(numbers, pictures, strict=True)
            for face in picture.faces
        ]
        # Its pixels begin at the corner, those of our COCO at a centre, and it moves neither.
        shift = 0.5 if file == "label-studio-coco/result.json" else 0.0
        points = [(face.points - shift + SHIFT.get(name, 0.0), number) for face, number in found]
        visible = [face.visibility.tolist() for face, _ in found]
        faces = in_order(was, absent=tool == "cvat")
        worst, kept = compare(f"{tool}'s {file}", name, points, unknown or visible, faces)
        rows.append(Row(tool, versions[tool], f"{name} ({file})", "it wrote", len(found), worst, kept))
    return rows


def both_ways(tool: str, place: Path, folder: Path) -> list[Row]:
    """What a tool reads of ours, and we of its own.

    Raises:
        WrongError: either sees something else.
        NotRunError: its code is not to be had.
    """
    source = cvat_source.fetch(place) if tool == "cvat" else None
    python = environment(tool, place)
    show = [str(python), "-c", f"from importlib.metadata import version as v; print(v({TOOLS[tool][0]!r}))"]
    version = cvat_source.VERSION
    if source is None:
        version = subprocess.run(show, capture_output=True, text=True, check=True).stdout.strip()
    return [*outward(tool, version, ask(tool, python, folder, source)), *inward(folder, {tool: version})]


def write_table(rows: Sequence[Row], ran: set[str], out: Path) -> None:
    """The rows of the tools that were run, and those that ``out`` has of the others."""
    table = [vars(row) | {"worst_px": round(row.worst_px, 4)} for row in rows]
    before = json.loads(out.read_text()) if out.exists() else []
    table += [row for row in before if row["tool"] not in ran]
    table.sort(key=lambda row: list(TOOLS).index(row["tool"]))
    out.write_text(json.dumps(table, indent=1) + "\n")


def main() -> int:
    """Set up, ask, compare; 1 where a tool sees something else."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, help="folder of the environments, kept (default: a temporary one)")
    parser.add_argument("--tool", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--out", type=Path, metavar="JSON", help="where the table goes (default: nowhere)")
    arguments = parser.parse_args()
    rows, wrong, ran = list[Row](), list[str](), set[str]()
    with tempfile.TemporaryDirectory() as temporary:
        place, folder = (arguments.dir or Path(temporary, "environments")).resolve(), Path(temporary, "files")
        folder.mkdir()
        write_all(folder)
        for tool in arguments.tool:
            try:
                rows += both_ways(tool, place, folder)
                ran.add(tool)
            except cvat_source.NotRunError as error:
                print(f"not run: {tool}: {error}", file=sys.stderr)
            except WrongError as error:
                wrong.append(str(error))
    for row in rows:
        print(
            f"{row.tool} {row.version}, {row.format}, {row.direction}: {row.faces} faces, {row.worst_px:.3f} px,"
            f" visibility: {row.visibility}"
        )
    for line in wrong:
        print(f"WRONG: {line}", file=sys.stderr)
    if arguments.out is not None and not wrong:
        write_table(rows, ran, arguments.out)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
