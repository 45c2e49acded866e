"""Label Studio's JSON: a task a picture, predictions in percent of it, measured from the corner of its top-left pixel.

A face is a rectangle, and its points name it (``parentID``), by which several faces of one picture stay apart; points
that name none are of the rectangle before them. What is not VISIBLE says so in the text of its region: ``uncertain`` or
``absent``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exalign.output_files import write_file
from exalign_client.formats.faces import (
    ABSENT,
    UNCERTAIN,
    VISIBLE,
    FormatError,
    LabelledFace,
    LabelledPicture,
    checked_face,
    point_names,
)
from exalign_client.formats.format import Format, json_of

_WORDS = {UNCERTAIN: "uncertain", ABSENT: "absent"}


def labeling_config(points: int) -> str:
    """The labeling configuration of a project that takes these predictions.

    Raises:
        FormatError: there is no layout of so many points.
    """
    labels = "\n".join(  # its converter to COCO orders points by model_index
        f'    <Label value="{name}" model_index="{n}"/>' for n, name in enumerate(point_names(points))
    )
    return (
        '<View>\n  <Image name="image" value="$image"/>\n  <RectangleLabels name="faces" toName="image">\n'
        '    <Label value="face"/>\n  </RectangleLabels>\n'
        f'  <KeyPointLabels name="landmarks" toName="image">\n{labels}\n  </KeyPointLabels>\n</View>\n'
    )


def regions(face: LabelledFace, parent: str, size: tuple[int, int]) -> list[dict[str, Any]]:
    """One face as regions of a result: its rectangle, then its points, as `labeling_config` calls them.

    Args:
        face: it.
        parent: id of the rectangle, which the points name, and with which their own ids begin.
        size: width and height of the picture, pixels.
    """
    scale = 100 / np.array(size, dtype=np.float64)
    (x0, y0), (x1, y1) = ((face.extent.reshape(2, 2) + 0.5) * scale).tolist()
    about = {"to_name": "image", "original_width": size[0], "original_height": size[1], "image_rotation": 0}
    box = {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "rotation": 0, "rectanglelabels": ["face"]}
    found: list[dict[str, Any]] = [
        {"id": parent, "type": "rectanglelabels", "from_name": "faces", "value": box, **about}
    ]
    if face.score is not None:
        found[0]["score"] = face.score
    for name, point, seen in zip(point_names(len(face.points)), face.points, face.visibility, strict=True):
        x, y = (x0, y0) if seen == ABSENT else ((point + 0.5) * scale).tolist()
        value = {"x": x, "y": y, "width": 0.5, "keypointlabels": [name]}
        region = {"id": f"{parent}-{name}", "type": "keypointlabels", "from_name": "landmarks", "value": value, **about}
        region["parentID"] = parent
        if seen in _WORDS:
            region["meta"] = {"text": [_WORDS[seen]]}
        found.append(region)
    return found


def write(pictures: Sequence[LabelledPicture], out: Path) -> None:
    """Write one file of tasks.

    Raises:
        FormatError: the size of a picture is not known: points are in percent of it.
    """
    tasks = []
    for picture in pictures:
        if picture.size is None:
            raise FormatError(f"{picture.name}: its size is not known, and Label Studio has percent of it: give --size")
        data: dict[str, Any] = {"image": picture.name}
        if picture.frame is not None:
            data |= {"image": f"frame_{picture.frame:06d}.png", "frame": picture.frame, "video": picture.name}
        found = [region for n, face in enumerate(picture.faces) for region in regions(face, f"face-{n}", picture.size)]
        scores = [face.score for face in picture.faces if face.score is not None]
        prediction: dict[str, Any] = {"model_version": "exalign", "result": found}
        if scores:
            prediction["score"] = min(scores)
        tasks.append({"data": data, "predictions": [prediction]})
    write_file(out, json.dumps(tasks, ensure_ascii=False, allow_nan=False))


def read(path: Path) -> list[LabelledPicture]:
    """Read an export. What a person annotated comes before predictions.

    Raises:
        FormatError: it is no such file, or points of several faces cannot be told apart.
    """
    content = json_of(path)
    try:
        return [_picture(task) for task in content]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, FormatError) as error:
        reason = str(error) if isinstance(error, FormatError) else f"{type(error).__name__} {error}"
        raise FormatError(f"{path}: is no export of Label Studio: {reason}") from None


def _picture(task: dict[str, Any]) -> LabelledPicture:
    data, given = task["data"], [a for a in task.get("annotations") or () if not a.get("was_cancelled")]
    name, size, latest = str(data.get("video") or data["image"]), None, None
    boxes, points = dict[Any, Any](), dict[Any, list[tuple[str, float, float, int]]]()
    for region in (given or task.get("predictions") or [{"result": []}])[0]["result"]:
        value = region.get("value", {})
        labels = value.get("keypointlabels") or value.get("rectanglelabels")
        if not labels:
            continue
        size = int(region["original_width"]), int(region["original_height"])
        x, y = float(value["x"]) * size[0] / 100 - 0.5, float(value["y"]) * size[1] / 100 - 0.5
        if "rectanglelabels" in value:
            far = float(value["width"]) * size[0] / 100, float(value["height"]) * size[1] / 100
            latest = region["id"]
            boxes[latest] = ([x, y, x + far[0], y + far[1]], region.get("score"))
            continue
        said = (region.get("meta") or {}).get("text") or []
        seen = next((v for v, word in _WORDS.items() if word in said), UNCERTAIN if value.get("hidden") else VISIBLE)
        points.setdefault(region.get("parentID", latest), []).append((labels[0], x, y, seen))
    faces = tuple(_face(group, *boxes.get(parent, (None, None))) for parent, group in points.items())
    return LabelledPicture(name, size, faces, data.get("frame"))


def _face(found: list[tuple[str, float, float, int]], box: object, score: object) -> LabelledFace:
    labels = [row[0] for row in found]
    if len(set(labels)) > 1:  # else as Label Studio's importer of COCO has them: in order, all called alike
        twice = next((label for label in labels if labels.count(label) > 1), None)
        if twice is not None:
            raise FormatError(f"{twice} is there twice in one face, which neither parentID nor a rectangle tells apart")
        names = point_names(len(found))
        if set(names) != set(labels):
            raise FormatError(f"points are called {', '.join(sorted(set(labels) - set(names))[:3])}")
        found = [found[labels.index(name)] for name in names]
    rows = np.array([row[1:] for row in found], dtype=np.float64)
    return checked_face(rows[:, :2], rows[:, 2], box=box, score=score)


FORMAT = Format("label-studio", (".json",), "Label Studio's JSON", write, read, lambda head: head.lstrip()[:1] == b"[")
