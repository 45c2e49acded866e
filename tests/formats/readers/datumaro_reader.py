"""COCO and CVAT by Datumaro, and files that Datumaro writes of them. Runs in Datumaro's environment.

Of CVAT's skeletons Datumaro has each point by itself, and nothing that says whose it is: they come in the file's order.
"""

import json
import logging
import shutil
import sys
from pathlib import Path

import numpy as np
from datumaro import Dataset
from datumaro.components.annotation import AnnotationType
from PIL import Image

logging.disable(logging.CRITICAL)
folder, count = Path(sys.argv[1]), int(sys.argv[2])
answer = {}


def with_images(place):
    """Datumaro reads no annotation without its picture."""
    place.mkdir(parents=True, exist_ok=True)
    for number in range(2):
        for name in (f"picture_{number}.jpg", f"frame_{number:06d}.png"):
            Image.fromarray(np.zeros((480, 640, 3), np.uint8)).save(place / name)


inside = folder / "datumaro-coco" / "annotations"
inside.mkdir(parents=True)
shutil.copy(folder / "coco.json", inside / "person_keypoints_default.json")
with_images(inside.parent / "images" / "default")
coco = Dataset.import_from(str(inside.parent), "coco_person_keypoints")
found = [a for item in coco for a in item.annotations if a.type == AnnotationType.points]
answer["coco"] = [
    {"points": [a.points[i : i + 2] for i in range(0, len(a.points), 2)], "visibility": [int(v) for v in a.visibility]}
    for a in found
]
coco.export(str(folder / "coco-by-datumaro"), "coco_person_keypoints", save_media=False)

for name in ("cvat-images", "cvat-video"):
    place = folder / f"datumaro-{name}"
    with_images(place / "images")
    shutil.copy(folder / f"{name}.xml", place / "annotations.xml")
    read = Dataset.import_from(str(place), "cvat")
    labels = read.categories()[AnnotationType.label]
    points = [a for item in read for a in item.annotations if a.type == AnnotationType.points]
    faces = [points[i : i + count] for i in range(0, len(points), count)]
    answer[name] = [
        {
            "points": [list(a.points) for a in face],
            "visibility": [1 if a.attributes.get("occluded") else 2 for a in face],
            "labels": [labels[a.label].name for a in face],
        }
        for face in faces
    ]
    if name == "cvat-images":
        read.export(str(folder / "cvat-by-datumaro"), "cvat", save_media=False)
print(json.dumps(answer))
