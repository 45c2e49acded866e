"""CVAT for images and for video 1.1 by CVAT's own reader, and the same written by its own writer.

Runs in an environment of its own. The second argument is the folder with CVAT's files, the third the names of points.
What is not CVAT's is in `cvat_server.py`.
"""

import io
import json
import sys
import tempfile
import zipfile
from pathlib import Path

import cvat_server

folder, names = Path(sys.argv[1]), json.loads(sys.argv[3])
cvat_server.prepare(sys.argv[2])

from cvat.apps.dataset_manager.annotation import AnnotationIR
from cvat.apps.dataset_manager.bindings import JobData, TaskData
from cvat.apps.dataset_manager.formats import cvat as formats

SIZE = (640, 480)
PICTURES = tuple(f"picture_{number}.jpg" for number in range(2))
FRAMES = 5


def read(name, job=False):
    """The task, or the only job of it, after CVAT has read our file into it."""
    kind = {"pictures": PICTURES} if name == "cvat-images" else {"frames": FRAMES}
    task = cvat_server.task(names, SIZE, **kind)
    annotations = AnnotationIR("2d")
    data = JobData(annotations, task.segment_set[0].job_set[0]) if job else TaskData(annotations, task)
    with (folder / f"{name}-all.xml").open("rb") as file, tempfile.TemporaryDirectory() as temporary:
        formats._import(file, temporary, data)
    return data


def faces(name):
    """What CVAT shows in each frame."""
    found = []
    for frame in read(name).group_by_frame():
        for shape in frame.labeled_shapes:
            points = shape.elements
            found.append(
                {
                    "frame": frame.frame,
                    "label": shape.label,
                    "labels": [point.label for point in points],
                    "points": [list(point.points) for point in points],
                    "visibility": [0 if point.outside else 1 if point.occluded else 2 for point in points],
                }
            )
    return found


def write(function, name, job, out):
    """What CVAT writes of that task."""
    archive = io.BytesIO()
    with tempfile.TemporaryDirectory() as temporary:
        function(archive, temporary, read(name, job))
    (folder / out).write_bytes(zipfile.ZipFile(archive).read("annotations.xml"))


answer = {name: faces(name) for name in ("cvat-images", "cvat-video")}
for name in answer:
    for kind, function in {"images": formats._export_images, "video": formats._export_video}.items():
        write(function, name, False, f"{name}-as-{kind}-by-cvat.xml")
        write(function, name, True, f"{name}-as-{kind}-by-cvat-job.xml")
print(json.dumps(answer))
