"""Configs and frames of TrackVideo by the grammar, each with what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import call_grammar as grammar
from call_grammar import SIZE, Writer
from exalign.v1 import evidence_pb2, image_pb2, track_pb2

#: Share of configs, and of frames, with something wrong.
WRONG = 0.12

#: A landmark is clicked at one place only: two clicks on it would contradict each other.
PLACES = {n: {"x": 14.0 + n % 13, "y": 13.0 + n % 11} for n in range(68)}


@dataclass
class WrittenConfig:
    """A config, without name and token.

    Attributes:
        message: the config.
        wrong: paths of what is wrong with it.
    """

    message: track_pb2.TrackConfig
    wrong: frozenset[str]


@dataclass
class WrittenFrame:
    """A frame.

    Attributes:
        message: the frame.
        wrong: paths of what is wrong with it; it ends the stream.
        problem: whether its picture cannot be used; None: perhaps something of it cannot.
        size: (width, height) of its picture, where it has one that can be decoded.
        boxed: whether it has a box that can be used.
    """

    message: track_pb2.VideoFrame
    wrong: frozenset[str]
    problem: bool | None
    size: tuple[int, int] | None
    boxed: bool


def config(random: Random) -> WrittenConfig:
    """How a session works."""
    w = Writer(random, 0.05 if random.random() < WRONG else 0.0)
    found = track_pb2.TrackConfig()
    found.mode = w.pick("mode", (0, 1, 1, 2), (9,))  # type: ignore[assignment]
    found.temporal_model = w.pick("temporal_model", (0, 1, 1, 2, 3), (7, -1))  # type: ignore[assignment]
    filtered = found.temporal_model in (0, 1, 7, -1)
    if w.wrongly():
        w.wrong.add("smoothing_lag")
        found.smoothing_lag = w.random.choice((-1, 31)) if filtered else 3
    else:
        found.smoothing_lag = w.random.choice((0, 0, 1, 2, 3)) if filtered else 0
    if w.perhaps(0.3):
        found.detect_every = w.pick("detect_every", (0, 1, 5), (-1,))
    if w.perhaps(0.3):
        found.path_frames = w.pick("path_frames", (0, 3), (-1, 257))
    found.detection.max_faces = w.pick("detection.max_faces", (1, 2, 3), (0, grammar.MAX_FACES + 1))
    if w.perhaps(0.2):
        found.detection.detector = w.pick("detection.detector", ("blazeface",), ("nobody",))
    if w.perhaps(0.2):
        found.suggestion.CopyFrom(grammar.suggestion(w))
    for name, value in grammar.views(w).items():
        getattr(found, name).CopyFrom(value)
    return WrittenConfig(found, frozenset(f"config.{path}" for path in w.wrong))


def frame(random: Random, index: int, size: tuple[int, int] | None, most_faces: int, *, tracked: bool) -> WrittenFrame:
    """One frame.

    Args:
        random: decides.
        index: of it.
        size: (width, height) of the session's pictures; None: it has seen none.
        most_faces: tracks that its config allows.
        tracked: whether a face is tracked.
    """
    message = track_pb2.VideoFrame(frame_index=index, may_change_model=random.random() < 0.2)
    if random.random() < 0.3:
        message.media_time.FromMilliseconds(random.randrange(10**6))
    problem, seen = _picture(random, message, size)
    within = size or seen
    boxed = random.random() < (0.3 if tracked else 0.8)
    if boxed:
        # A box that could only be refused for its place needs a picture to be compared with.
        right = Writer(random, 0.0)
        message.boxes.add(track_id=0, box=grammar.box(right, "", seen=within is not None))
    if random.random() < 0.2:
        landmark = random.randrange(68)
        click: Any = {"landmark": landmark, "position": PLACES[landmark], "sigma": 2.0}
        message.evidence.add(track_id=0, evidence=evidence_pb2.Evidence(clicks=[click]))
        problem = True if problem else None
    wrong: frozenset[str] = frozenset()
    if random.random() < WRONG:
        wrong = frozenset({_spoilt(random, message, most_faces, seen=within is not None)})
    return WrittenFrame(message, wrong, problem, seen, boxed and seen is not None)


def _picture(
    random: Random, message: track_pb2.VideoFrame, size: tuple[int, int] | None
) -> tuple[bool, tuple[int, int] | None]:
    """Put a picture into a frame: whether it cannot be used, and the size of one that can."""
    kind = random.random()
    if kind < 0.1:
        message.occluded = True
        return False, None
    if kind < 0.2:
        wrong = Writer(random, 1.0)
        while not message.image.WhichOneof("source"):
            message.image.CopyFrom(grammar.image(wrong))
        return True, None
    if kind < 0.25:
        message.image.CopyFrom(image_pb2.Image(encoded=grammar.OTHER_PICTURE))
        other = (40, 48)
        return (False, other) if size in (None, other) else (True, None)
    message.image.CopyFrom(grammar.image(Writer(random, 0.0)))
    return (False, SIZE) if size in (None, SIZE) else (True, None)


def _spoilt(random: Random, message: track_pb2.VideoFrame, most_faces: int, *, seen: bool) -> str:
    """Make one thing of a frame wrong; its path."""
    box = grammar.box(Writer(random, 0.0), "", seen=False)
    kinds = ["index", "negative", "picture", "boxes", "box", "corners", "id", "evidence", "click"]
    kind = random.choice([*kinds, *(["place", "unknown"] if seen else [])])
    if kind in ("index", "negative"):
        message.ClearField("frame_index")
        if kind == "negative":
            message.frame_index = -random.randint(1, 9)
        return "frame.frame_index"
    if kind == "picture":
        message.occluded = False
        message.ClearField("image")
        return "frame.image"
    if kind == "boxes":
        del message.boxes[:]
        message.boxes.extend([track_pb2.TrackBox(box=box)] * (most_faces + 1))
        return "frame.boxes"
    if kind in ("evidence", "click"):
        del message.evidence[:]
        entry = message.evidence.add()
        if kind == "evidence":
            return "frame.evidence[0].evidence"
        entry.evidence.clicks.add(landmark=99, position={"x": 1, "y": 1})
        return "frame.evidence[0].evidence.clicks[0].landmark"
    del message.boxes[:]
    given = message.boxes.add(box=box)
    if kind == "box":
        given.ClearField("box")
        return "frame.boxes[0].box"
    if kind == "corners":
        given.box.x1 = given.box.x0
        return "frame.boxes[0].box.x1"
    if kind == "place":
        given.box.x0, given.box.x1 = 900.0, 940.0
        return "frame.boxes[0].box"
    given.track_id = -2 if kind == "id" else 999
    return "frame.boxes[0].track_id"
