"""COCO keypoints. A point is the number of its pixel: the centre of the top-left one is (0, 0), as Detectron2 reads it.

A box is measured from that pixel's corner, hence half a pixel more. ``area`` is that of the box: there is no mask.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exalign.output_files import write_file
from exalign_client.formats.faces import ABSENT, FormatError, LabelledFace, LabelledPicture, checked_face, point_names
from exalign_client.formats.format import Format, json_of

#: Of COCO-WholeBody's face, thousandths: what OKS divides by. pycocotools has those of 17 points of a body only.
# fmt: off
_SIGMAS = np.array([
    42, 43, 44, 43, 40, 35, 31, 25, 20, 23, 29, 32, 37, 38, 43, 41, 45, 13, 12, 11, 11, 12, 12, 11, 11, 13, 15, 9, 7, 7,
    7, 12, 9, 8, 16, 10, 17, 11, 9, 11, 9, 7, 13, 8, 11, 12, 10, 34, 8, 8, 9, 8, 8, 7, 10, 8, 9, 9, 9, 7, 7, 8, 11, 8,
    8, 8, 10, 8,
], dtype=np.float64)
# fmt: on


def oks_sigmas() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(68,) COCO-WholeBody's sigmas of the face's landmarks, for ``COCOeval.params.kpt_oks_sigmas``.

    Their areas are those of whole bodies: about a face's own area an OKS is stricter than about a body's.
    """
    return _SIGMAS / 1000


def _category(points: int) -> dict[str, Any]:
    return {"id": 1, "name": "face", "supercategory": "person", "keypoints": list(point_names(points)), "skeleton": []}


def _annotation(number: int, image: int, face: LabelledFace) -> dict[str, Any]:
    there = face.visibility != ABSENT
    rows = np.column_stack([np.where(there[:, None], face.points, 0).round(3), face.visibility])
    x0, y0, x1, y1 = face.extent + 0.5
    width, height = max(x1 - x0, 0.0), max(y1 - y0, 0.0)
    answer = {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "keypoints": [int(v) if v == int(v) else float(v) for v in rows.ravel()],
        "num_keypoints": int(there.sum()),
        "bbox": [round(float(v), 3) for v in (x0, y0, width, height)],
        "area": round(float(width * height), 3),
        "iscrowd": 0,
    }
    if face.score is not None:
        answer["score"] = round(face.score, 6)
    if face.track_id is not None:
        answer["track_id"] = face.track_id
    return answer


def coco_content(pictures: Sequence[LabelledPicture]) -> dict[str, Any]:
    """What a file holds.

    Raises:
        FormatError: faces have different numbers of points.
    """
    sizes = {len(face.points) for picture in pictures for face in picture.faces} or {68}
    if len(sizes) > 1:
        raise FormatError(f"faces of {' and '.join(map(str, sorted(sizes)))} points cannot be in one category")
    images, annotations = [], list[dict[str, Any]]()
    for number, picture in enumerate(pictures, start=1):
        image: dict[str, Any] = {"id": number, "file_name": picture.name}
        if picture.size is not None:
            image |= {"width": picture.size[0], "height": picture.size[1]}
        if picture.frame is not None:
            image |= {"file_name": f"frame_{picture.frame:06d}.png", "frame_id": picture.frame, "video": picture.name}
            image |= {} if picture.time is None else {"time": picture.time}
        images.append(image)
        for face in picture.faces:
            annotations.append(_annotation(len(annotations) + 1, number, face))
    return {
        "info": {"description": "Exalign"},
        "licenses": [],
        "categories": [_category(*sizes)],
        "images": images,
        "annotations": annotations,
    }


def write(pictures: Sequence[LabelledPicture], out: Path) -> None:
    """Write one file.

    Raises:
        FormatError: faces have different numbers of points.
    """
    write_file(out, json.dumps(coco_content(pictures), ensure_ascii=False, allow_nan=False))


def read(path: Path) -> list[LabelledPicture]:
    """Read a file. Keypoints are found by name where the names are ours, else taken in their order.

    Raises:
        FormatError: it is no such file.
    """
    content = json_of(path)
    try:
        orders = {c["id"]: _order(c["keypoints"]) for c in content["categories"] if c.get("keypoints")}
        faces: dict[Any, list[LabelledFace]] = {image["id"]: [] for image in content["images"]}
        for found in content["annotations"]:
            if found["category_id"] in orders and found.get("keypoints"):
                faces[found["image_id"]].append(_face(found, orders[found["category_id"]]))
        return [
            LabelledPicture(
                str(image.get("video", image["file_name"])),
                (int(image["width"]), int(image["height"])) if image.get("width") and image.get("height") else None,
                tuple(faces[image["id"]]),
                image.get("frame_id"),
                image.get("time"),
            )
            for image in content["images"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FormatError(f"{path}: is no COCO keypoints file: {type(error).__name__} {error}") from None
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None


def _order(names: list[str]) -> list[int]:
    """Where each of our points is among the keypoints of a category."""
    ours = point_names(len(names))
    return [names.index(name) for name in ours] if set(names) == set(ours) else list(range(len(names)))


def _face(found: dict[str, Any], order: list[int]) -> LabelledFace:
    rows = np.asarray(found["keypoints"], dtype=np.float64).reshape(-1, 3)[order]
    box = None
    if found.get("bbox"):
        x, y, width, height = map(float, found["bbox"])
        box = np.array([x, y, x + width, y + height]) - 0.5
    return checked_face(rows[:, :2], rows[:, 2], box=box, score=found.get("score"), track_id=found.get("track_id"))


FORMAT = Format("coco", (".json",), "COCO keypoints", write, read, lambda head: head.lstrip()[:1] == b"{")
