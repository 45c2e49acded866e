"""What stands in for CVAT's server while its own reader and writer run. Nothing here parses or writes annotations.

CVAT's `formats/cvat.py`, `bindings.py` and `annotation.py` are run unmodified. They import the rest of a server: a
database, pictures, a queue, and Datumaro in a fork that is on no index of packages. This module has what they touch:

- rows of the database as plain objects, which hold one task with its labels;
- enumerations with the values that the database has;
- of Datumaro an item, a picture's name and `cast`; all else by that name fails when it is called;
- exporters and importers are registered by doing nothing;
- a zip archive and a deep copy, by Python's own.

Not covered, for it is the server's: checks of what a browser sends, the database, splitting into jobs and merging them.
Nor are projects, which CVAT reads by that fork.
"""

import copy
import enum
import sys
import types
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import django
from django.conf import settings


class Absent(type):
    """A name that CVAT's modules import and that nothing here calls; it can be inherited from and annotated with."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return cls

    def __call__(cls, *arguments, **named):
        raise NotImplementedError(f"{cls.__name__} is a part of CVAT's server that is not here")


def absent(name):
    return Absent(name, (), {})


class Module(types.ModuleType):
    """A module in which every further name is absent."""

    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return absent(name)


def module(name, **names):
    made = Module(name)
    vars(made).update(names)
    sys.modules[name] = made
    parent, _, last = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], last, made)
    return made


class Rows(list):
    """A query that is answered already."""

    model = None

    def all(self):
        return self

    def prefetch_related(self, *what):
        return self

    def first(self):
        return self[0]


class ShapeType(enum.StrEnum):
    RECTANGLE = "rectangle"
    POLYGON = "polygon"
    POLYLINE = "polyline"
    POINTS = "points"
    ELLIPSE = "ellipse"
    CUBOID = "cuboid"
    MASK = "mask"
    SKELETON = "skeleton"


class Label(SimpleNamespace):
    @property
    def pk(self):
        return self.id


class Task(SimpleNamespace):
    pass


class Media:
    def __init__(self, path):
        self.path, self.ext = path, Path(path).suffix


def _cast(value, to, default=None):
    try:
        return default if value is None else to(value)
    except (TypeError, ValueError):
        return default


def _zip(folder, out):
    with zipfile.ZipFile(out, "w") as archive:
        for file in sorted(Path(folder).rglob("*")):
            archive.write(file, file.relative_to(folder))


def _registered(**about):
    return lambda function: function


def prepare(source):
    """Make CVAT's files in the folder ``source`` importable."""
    settings.configure(USE_TZ=True, TIME_ZONE="UTC", CVAT_DOCS_URL="")
    django.setup()
    sys.path.insert(0, str(source))
    _datumaro()
    module("rq")
    module("cvat.apps.engine")
    strings = {
        "AttributeType": {"NUMBER": "number", "CHECKBOX": "checkbox", "TEXT": "text"},
        "DimensionType": {"DIM_2D": "2d", "DIM_3D": "3d"},
        "JobType": {"ANNOTATION": "annotation", "GROUND_TRUTH": "ground_truth"},
        "LabelType": {"SKELETON": "skeleton"},
        "SegmentType": {"RANGE": "range", "SPECIFIC_FRAMES": "specific_frames"},
        "ValidationMode": {"GT": "gt", "GT_POOL": "gt_pool"},
    }
    enums = {name: enum.StrEnum(name, values) for name, values in strings.items()}
    jobs = SimpleNamespace(objects=SimpleNamespace(order_by=lambda key: None))
    module("cvat.apps.engine.models", ShapeType=ShapeType, Label=Label, Task=Task, Job=jobs, **enums)
    module("cvat.apps.engine.frame_provider")
    module("cvat.apps.engine.lazy_list", LazyList=type("LazyList", (list,), {}))
    module("cvat.apps.engine.rq_job_handler")
    module("cvat.apps.engine.log", ServerLogManager=lambda name: SimpleNamespace(glob=None))
    module("cvat.apps.engine.serializers")
    before = "cvat.apps.dataset_manager"
    module(
        f"{before}.util",
        make_zip_archive=_zip,
        add_prefetch_fields=lambda rows, names: rows,
        faster_deepcopy=copy.deepcopy,
    )
    registers = SimpleNamespace(register=lambda name, what: None)
    environment = SimpleNamespace(extractors=registers, importers=registers)
    module(f"{before}.formats.registry", dm_env=environment, exporter=_registered, importer=_registered)
    module(f"{before}.formats.utils")
    module(f"{before}.formats.transformations")


def _datumaro():
    default = "default"
    util = module("datumaro", DEFAULT_SUBSET_NAME=default, Image=Media)
    module("datumaro.util", cast=_cast)
    util.util = sys.modules["datumaro.util"]
    module("datumaro.components")
    module("datumaro.components.annotation")
    module("datumaro.components.dataset", DatasetItem=SimpleNamespace)
    module("datumaro.components.dataset_base", DEFAULT_SUBSET_NAME=default)
    module("datumaro.components.importer")
    module("datumaro.components.media", Image=Media)
    module("datumaro.components.format_detection")
    for part in ("plugins", "plugins.data_formats", "plugins.data_formats.cvat", "plugins.data_formats.cvat.base"):
        module(f"datumaro.{part}")


def task(names, size, pictures=None, frames=0):
    """A task of the pictures of these paths, or of a video with so many frames. Its label is a skeleton of ``names``.

    Of its one segment there is one job.
    """
    common = {"color": "#ff0000", "attributespec_set": Rows()}
    face = Label(id=1, name="face", type="skeleton", parent=None, parent_id=None, **common)
    points = [
        Label(id=2 + n, name=name, type="points", parent=face, parent_id=1, **common) for n, name in enumerate(names)
    ]
    face.sublabels, face.skeleton = Rows(points), SimpleNamespace(svg="")
    labels = Rows([face, *points])
    labels.model = Label
    count = len(pictures) if pictures else frames
    data = SimpleNamespace(
        size=count,
        start_frame=0,
        stop_frame=count - 1,
        frame_filter="",
        deleted_frames=[],
        validation_mode=None,
        get_frame_step=lambda: 1,
    )
    if pictures:
        rows = [
            SimpleNamespace(id=n, frame=n, path=path, width=size[0], height=size[1]) for n, path in enumerate(pictures)
        ]
        data.images = Rows(rows)
    else:
        data.video = SimpleNamespace(width=size[0], height=size[1], path="clip.mp4")
    segment = SimpleNamespace(id=1, type="range", start_frame=0, stop_frame=count - 1)
    now = datetime.now(UTC)
    job = SimpleNamespace(id=1, type="annotation", segment=segment, assignee=None, updated_date=now)
    segment.job_set = Rows([job])
    segment.task = Task(
        id=1,
        name="faces",
        mode="annotation" if pictures else "interpolation",
        overlap=0,
        bug_tracker="",
        created_date=now,
        updated_date=now,
        subset="",
        owner=None,
        assignee=None,
        project_id=None,
        label_set=labels,
        segment_set=Rows([segment]),
        data=data,
    )
    return segment.task
