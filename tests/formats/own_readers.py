"""`make formats`: files that we write, read by the tools' own readers; and files that those tools write, read by us.

    python tests/formats/own_readers.py [--dir DIR] [--out docs/formats-own-readers.json]

Each tool is in an environment of its own, made with pip below --dir (kept there) or in a temporary folder. Points must
be equal to half a pixel in the tool's own frame, and visibility as far as the tool has one.
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

from exalign_client.formats import FORMATS, LabelledFace, LabelledPicture, labeling_config, oks_sigmas, point_names

READERS = Path(__file__).parent / "readers"

#: Tool -> what pip installs. They do not agree on OpenCV, NumPy and Pillow.
TOOLS = {
    "pycocotools": ("pycocotools",),
    "menpo": ("menpo",),
    "polars": ("polars",),
    "datumaro": ("datumaro",),
    "label_studio": ("label-studio-sdk",),
}

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


class WrongError(Exception):
    """A tool does not see what we wrote, or we do not see what it wrote."""


def given(tracked: bool) -> list[LabelledPicture]:
    """Two pictures with three faces; with ``tracked`` two frames of a video. Every point is there."""
    rng, count = np.random.default_rng(5), 0
    pictures = []
    for number, faces in enumerate((2, 1)):
        found = []
        for track in range(faces):
            xy = rng.uniform((20, 20), (600, 440), (68, 2))
            seen = rng.integers(1, 3, 68).astype(np.uint8)
            box = np.concatenate([xy.min(axis=0), xy.max(axis=0)])
            found.append(LabelledFace(xy, seen, box, 0.9, track + 1 if tracked else None))
            count += 1
        name = "clip.mp4" if tracked else f"picture_{number}.jpg"
        pictures.append(LabelledPicture(name, (640, 480), tuple(found), number if tracked else None))
    return pictures


def write_all(folder: Path) -> None:
    """Every format, below ``folder``, under its own name."""
    for name, one in FORMATS.items():
        out = folder / ("pts" if name == "pts" else f"{name}{one.suffixes[0]}")
        one.write(given(name == "cvat-video"), out)
    (folder / "label-studio.xml").write_text(labeling_config(68))


def environment(tool: str, place: Path) -> Path:
    """The tool's interpreter; its environment is made where it is not there."""
    python = place / tool / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(place / tool)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *TOOLS[tool]], check=True)
    return python


def ask(tool: str, python: Path, folder: Path) -> dict[str, Any]:
    """What the tool's reader says.

    Raises:
        WrongError: it failed.
    """
    extra = {"pycocotools": [json.dumps(oks_sigmas().tolist())], "datumaro": ["68"]}.get(tool, [])
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
    what: str, name: str, points: Sequence[Any], visibility: Sequence[Any] | str, faces: Sequence[LabelledFace]
) -> tuple[float, str]:
    """The largest distance of a coordinate, pixels, and what became of visibility; or why that is not looked at.

    Raises:
        WrongError: more than half a pixel, another number of faces, or another visibility.
    """
    if len(points) != len(faces):
        raise WrongError(f"{what} {name}: {len(points)} faces, {len(faces)} were written")
    arrays = [np.asarray(xy, dtype=np.float64) for xy in points]
    apart = np.array([[np.abs(xy - face.points - SHIFT.get(name, 0.0)).max() for xy in arrays] for face in faces])
    order = apart.argmin(axis=1)  # tools have pictures in an order of their own
    worst = float(apart.min(axis=1).max())
    if worst > MOST:
        raise WrongError(f"{what} {name}: {worst:.3f} px apart")
    if isinstance(visibility, str):
        return worst, visibility
    if any(list(visibility[place]) != face.visibility.tolist() for place, face in zip(order, faces, strict=True)):
        raise WrongError(f"{what} {name}: other visibility")
    return worst, "kept"


def in_order(name: str) -> list[LabelledFace]:
    """The faces in the order in which a file has them: of a video, track by track."""
    pictures = given(name == "cvat-video")
    faces = [face for picture in pictures for face in picture.faces]
    if name == "label-studio":
        return [picture.faces[0] for picture in pictures]
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
        found, faces = said[name], in_order(name)
        if name == "cvat-video":  # an ended track has points that are outside, which Datumaro takes for points
            faces = [*faces, faces[1]]
        points = [one["points"] for one in found]
        visible = NOT_KNOWN.get((tool, name)) or [one["visibility"] for one in found]
        names = ["face"] * 68 if name == "cvat-video" else list(point_names(68))  # of a track, Datumaro has its label
        if any(one.get("labels", names) != names for one in found):
            raise WrongError(f"{tool} {name}: points have other labels")
        rows.append(Row(tool, version, name, "we wrote", len(faces), *compare(tool, name, points, visible, faces)))
    return rows


#: File that a tool wrote -> tool, our format, and why visibility cannot be in it.
WRITTEN = {
    "pts-by-menpo": ("menpo", "pts", "no visibility in .pts"),
    "parquet-by-polars.parquet": ("polars", "parquet", ""),
    "openface-by-polars.csv": ("polars", "openface", ""),
    "coco-by-datumaro/annotations/person_keypoints_default.json": ("datumaro", "coco", ""),
    "cvat-by-datumaro/annotations.xml": ("datumaro", "cvat-images", ""),
    "label-studio-json/result.json": ("label_studio", "label-studio", ""),
    "label-studio-coco/result.json": ("label_studio", "coco", "its converter writes 2 for every point"),
    "coco-by-label-studio.json": ("label_studio", "label-studio", ""),
}


def inward(folder: Path, versions: dict[str, str]) -> list[Row]:
    """What we read of what the tools wrote.

    Raises:
        WrongError: it is not what they were given.
    """
    rows = []
    for file, (tool, name, unknown) in WRITTEN.items():
        if tool not in versions:
            continue
        found = [face for picture in FORMATS[name].read(folder / file) for face in picture.faces]
        faces = in_order({"label-studio": "label-studio", "coco-by-labe": "coco"}.get(file[:12], name))
        # Its pixels begin at the corner, those of our COCO at a centre, and it moves neither.
        shift = 0.5 if file == "label-studio-coco/result.json" else 0.0
        points = [face.points - shift + SHIFT.get(name, 0.0) for face in found]
        visible = [face.visibility.tolist() for face in found]
        worst, kept = compare(f"{tool}'s {file}", name, points, unknown or visible, faces)
        rows.append(Row(tool, versions[tool], f"{name} ({file})", "it wrote", len(found), worst, kept))
    return rows


def main() -> int:
    """Set up, ask, compare; 1 where a tool sees something else."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, help="folder of the environments, kept (default: a temporary one)")
    parser.add_argument("--tool", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--out", type=Path, metavar="JSON", help="where the table goes (default: nowhere)")
    arguments = parser.parse_args()
    rows, versions, wrong = list[Row](), dict[str, str](), list[str]()
    with tempfile.TemporaryDirectory() as temporary:
        place, folder = (arguments.dir or Path(temporary, "environments")).resolve(), Path(temporary, "files")
        folder.mkdir()
        write_all(folder)
        for tool in arguments.tool:
            python = environment(tool, place)
            show = [str(python), "-c", f"from importlib.metadata import version as v; print(v({TOOLS[tool][0]!r}))"]
            versions[tool] = subprocess.run(show, capture_output=True, text=True, check=True).stdout.strip()
            try:
                rows += outward(tool, versions[tool], ask(tool, python, folder))
                rows += inward(folder, {tool: versions[tool]})
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
        arguments.out.write_text(
            json.dumps([vars(row) | {"worst_px": round(row.worst_px, 4)} for row in rows], indent=1) + "\n"
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
