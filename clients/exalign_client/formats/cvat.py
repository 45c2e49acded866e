"""CVAT 1.1, for images and for video: one skeleton a face, its points found by their labels.

CVAT measures from the corner of the top-left pixel, whose centre is (0.5, 0.5), to two decimals. A point is ``outside``
where it is absent and ``occluded`` where it is uncertain. In a video every frame is a keyframe, and a track is ended
(``outside``) in the first frame that it is not in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from exalign.output_files import write_file
from exalign_client.formats.faces import (
    ABSENT,
    LAYOUTS,
    UNCERTAIN,
    VISIBLE,
    FormatError,
    LabelledFace,
    LabelledPicture,
    checked_face,
    point_names,
)
from exalign_client.formats.format import Format, text_of

_LABEL = "face"


def _root(pictures: Sequence[LabelledPicture], mode: str) -> ET.Element:
    """The head of a file: what CVAT and Datumaro want to know of the task."""
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    task = ET.SubElement(ET.SubElement(root, "meta"), "task")
    size = next((picture.size for picture in pictures if picture.size), None)
    frames = [picture.frame for picture in pictures if picture.frame is not None]
    texts = {"id": 0, "name": pictures[0].name if pictures else "", "mode": mode}
    texts |= {"size": max(frames) + 1 if frames else len(pictures), "source": texts["name"]}
    for tag, text in texts.items():
        ET.SubElement(task, tag).text = str(text)
    if size is not None and mode == "interpolation":
        original = ET.SubElement(task, "original_size")
        for tag, side in zip(("width", "height"), size, strict=True):
            ET.SubElement(original, tag).text = str(side)
    labels = ET.SubElement(task, "labels")
    counts = {len(face.points) for picture in pictures for face in picture.faces}
    for name, parent in [(_LABEL, ""), *((n, _LABEL) for count in sorted(counts) for n in point_names(count))]:
        label = ET.SubElement(labels, "label")
        ET.SubElement(label, "name").text = name
        ET.SubElement(label, "type").text = "points" if parent else "skeleton"
        ET.SubElement(label, "attributes")
        if parent:
            ET.SubElement(label, "parent").text = parent
    return root


def _skeleton(parent: ET.Element, face: LabelledFace, *, outside: bool = False, **attributes: str) -> None:
    """One face; an absent point is written where the box begins, as CVAT wants numbers."""
    element = ET.SubElement(parent, "skeleton", attributes)
    # CVAT wants no frame there, and Datumaro reads no video without.
    inherited: dict[str, str] = {key: attributes[key] for key in ("frame", "keyframe") if key in attributes}
    empty = face.extent[:2]
    for name, point, seen in zip(point_names(len(face.points)), face.points, face.visibility, strict=True):
        x, y = (empty if seen == ABSENT else point) + 0.5
        states = {"occluded": seen == UNCERTAIN, "outside": outside or seen == ABSENT}
        flags = {state: str(int(is_so)) for state, is_so in states.items()}
        ET.SubElement(element, "points", {"label": name, **inherited, **flags, "points": f"{x:.2f},{y:.2f}"})


def _write(root: ET.Element, out: Path) -> None:
    ET.indent(root)
    write_file(out, ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def write_images(pictures: Sequence[LabelledPicture], out: Path) -> None:
    """Write one file. An image's id is the number of its frame, or its place."""
    root = _root(pictures, "annotation")
    for place, picture in enumerate(pictures):
        number = place if picture.frame is None else picture.frame
        name = picture.name if picture.frame is None else f"frame_{number:06d}.PNG"
        image = ET.SubElement(root, "image", {"id": str(number), "name": name})
        for side, length in zip(("width", "height"), picture.size or (), strict=False):
            image.set(side, str(length))
        for face in picture.faces:
            _skeleton(image, face, label=_LABEL, source="auto", z_order="0")
    _write(root, out)


def write_video(pictures: Sequence[LabelledPicture], out: Path) -> None:
    """Write one file; faces without a track are refused.

    Raises:
        FormatError: a face has no track, or a picture is no frame.
    """
    tracks: dict[int, dict[int, LabelledFace]] = defaultdict(dict)
    frames = sorted(picture.frame for picture in pictures if picture.frame is not None)
    for picture in pictures:
        for face in picture.faces:
            if picture.frame is None or face.track_id is None:
                raise FormatError(f"{picture.name} is no frame of a tracked video: use cvat-images")
            tracks[face.track_id][picture.frame] = face
    root = _root(pictures, "interpolation")
    after = dict(pairwise(frames))
    for number, shapes in sorted(tracks.items()):
        track = ET.SubElement(root, "track", {"id": str(number), "label": _LABEL, "source": "auto"})
        for frame, face in sorted(shapes.items()):
            _skeleton(track, face, frame=str(frame), keyframe="1", z_order="0")
            end = after.get(frame)
            if end is not None and end not in shapes:
                _skeleton(track, face, frame=str(end), keyframe="1", outside=True, z_order="0")
    _write(root, out)


def read(path: Path) -> list[LabelledPicture]:
    """Read a file of either kind. What is no skeleton of a known layout is left out; names of points may be numbers.

    Raises:
        FormatError: it is no such file.
    """
    text = text_of(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FormatError(f"{path}: defines entities, which no file of CVAT's does")
    try:
        root = ET.fromstring(text.encode("utf-8"))  # noqa: S314 - no entities, and expat bounds the rest
        pictures = [_image(image) for image in root.iter("image")]
        return pictures or _video(root)
    except (ET.ParseError, KeyError, ValueError, FormatError) as error:
        raise FormatError(f"{path}: is no file of CVAT 1.1: {error}") from None


def _image(image: ET.Element) -> LabelledPicture:
    sides = image.get("width"), image.get("height")
    size = (int(sides[0]), int(sides[1])) if sides[0] and sides[1] else None
    faces = [_face(skeleton.findall("points")) for skeleton in image.findall("skeleton")]
    faces += [_face(group) for group in _without_skeletons(image.findall("points"))]
    return LabelledPicture(image.attrib["name"], size, tuple(faces))


def _without_skeletons(shapes: Iterable[ET.Element]) -> list[list[ET.Element]]:
    """Points as Datumaro writes a skeleton's: the n-th of each label is of the n-th face. Other shapes are left out."""
    groups: list[list[ET.Element]] = []
    counts: dict[str, int] = defaultdict(int)
    for shape in shapes:
        label = shape.attrib["label"]
        if ";" in shape.attrib["points"]:
            continue
        counts[label] += 1
        if counts[label] > len(groups):
            groups.append([])
        groups[counts[label] - 1].append(shape)
    return [group for group in groups if len(group) in LAYOUTS]


def _video(root: ET.Element) -> list[LabelledPicture]:
    # Within the task where CVAT exported a task, beside the job where it exported a job.
    sides = [root.findtext(f"meta//original_size/{side}") for side in ("width", "height")]
    size = (int(sides[0]), int(sides[1])) if sides[0] and sides[1] else None
    name = next(filter(None, (root.findtext(f"meta/*/{tag}") for tag in ("source", "name"))), "video")
    frames: dict[int, list[LabelledFace]] = defaultdict(list)
    for track in root.iter("track"):
        for skeleton in track.findall("skeleton"):
            points = skeleton.findall("points")
            if skeleton.get("outside") == "1" or all(point.get("outside") == "1" for point in points):
                frames[int(skeleton.attrib["frame"])] += []
                continue
            frames[int(skeleton.attrib["frame"])].append(_face(points, int(track.attrib["id"])))
    return [LabelledPicture(name, size, tuple(faces), frame) for frame, faces in sorted(frames.items())]


def _face(elements: Iterable[ET.Element], track_id: int | None = None) -> LabelledFace:
    found = {}
    for element in elements:
        x, y = (float(number) - 0.5 for number in element.attrib["points"].split(","))
        hidden = UNCERTAIN if element.get("occluded") == "1" else VISIBLE
        found[element.attrib["label"]] = (x, y, ABSENT if element.get("outside") == "1" else hidden)
    names: Sequence[str] = point_names(len(found))
    if not set(names) <= set(found):  # a skeleton of somebody's own: by number where its names are numbers
        names = sorted(found, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0))
    rows = np.array([found[name] for name in names])
    return checked_face(rows[:, :2], rows[:, 2], track_id=track_id)


IMAGES = Format("cvat-images", (".xml",), "CVAT for images 1.1", write_images, read, lambda head: b"<track" not in head)
VIDEO = Format("cvat-video", (".xml",), "CVAT for video 1.1", write_video, read)
