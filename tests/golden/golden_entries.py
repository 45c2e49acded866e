"""What the golden file holds: answers of every layer, computed from today's code.

This is the one file here that names the project's own modules and classes. The others only store and compare.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import cv2
import grpc
import numpy as np
from numpy.typing import NDArray

TESTS = Path(__file__).parents[1]
for _folder in (TESTS, TESTS / "engine"):
    if str(_folder) not in sys.path:
        sys.path.append(str(_folder))

from golden_tree import Table, flatten

from drawn_faces import drawn_faces, drawn_shapes, write_prepared
from exalign.v1 import (
    evidence_pb2,
    geometry_pb2,
    image_pb2,
    service_pb2,
    service_pb2_grpc,
    track_pb2,
)
from exalign_client import (
    Circle,
    Click,
    Client,
    HeatmapOptions,
    Inside,
    LandmarkOptions,
    Outside,
    PastEvidence,
    Polygon,
    PoseOptions,
    Rectangle,
    SuggestionOptions,
    TrackFrame,
    local_server,
)
from exalign_client import PoseRange as ClientPoseRange
from exalign_engine import Aligner, InvalidInputError
from exalign_engine.evidence.evidence import Evidence, PoseRange, SoftClick
from exalign_engine.hmm.chain import ChainSettings
from exalign_engine.tracking import (
    FrameAnswer,
    FrameTooOldError,
    RevisionAnswer,
    SuggestionWish,
    TemporalModel,
    TrackingSession,
)
from tracking_toy import LEFT, MIDDLE, RIGHT, Toy, ToyDisplacer, detection, fingerprint

# What is recorded must be this tree's answers, not those of another one that is installed.
for _package in ("exalign_engine", "exalign_service", "exalign_client", "exalign"):
    _home = find_spec(_package)
    _places = [Path(place) for place in (_home and _home.submodule_search_locations) or ()]
    if not any(place.is_relative_to(TESTS.parent) for place in _places):
        raise ImportError(f"{_package} comes from {_places}, not from {TESTS.parent}; set PYTHONPATH")

U8 = NDArray[np.uint8]
Tables = dict[str, Table]

#: Fields of the client's answers that the clock or chance decides.
BY_CHANCE = ("timing", "latency", "posterior_id")

#: Numbers kept of each array: of answers of the real model, and of toy sessions, which are many.
KEEP, KEEP_TOY = 300, 24


@cache
def astronaut() -> U8:
    """(512, 512, 3) RGB: a photograph that is always there."""
    from skimage.data import astronaut as photograph

    return np.asarray(photograph(), dtype=np.uint8)


# Drawn faces: if these differ, so does all that is computed of them.


def drawn() -> Tables:
    """The pictures that the other entries begin with."""
    pictures, landmarks = drawn_faces(3, 21)
    return {
        "drawn/faces": flatten({"pictures": np.stack(pictures), "landmarks": landmarks}, keep=KEEP),
        "drawn/astronaut": flatten({"picture": astronaut(), "jpeg": _jpeg(astronaut())}, keep=KEEP),
    }


def _jpeg(picture: U8) -> bytes:
    return bytes(cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())


# The engine by itself, on the default bundle.


def aligner() -> Tables:
    """Detected boxes, given ones, and a given one that is 15 % off."""
    engine = Aligner.default()
    found = engine.align(astronaut())
    tables = {"aligner/astronaut detected": _faces(found)}
    box = found[0].located.box
    tables["aligner/astronaut given"] = _faces(engine.align(astronaut(), [box.tolist()]))
    off = box + 0.15 * (box[2] - box[0]) * np.array([1.0, 0.0, 1.0, 0.0])
    tables["aligner/astronaut 15 % off"] = _faces(engine.align(astronaut(), [off.tolist()]))
    for i, (picture, points) in enumerate(zip(*drawn_faces(3, 21), strict=True)):
        given = [*points.min(axis=0), *points.max(axis=0)]
        tables[f"aligner/drawn {i}"] = _faces(engine.align(picture, [given]))
    return tables


def _faces(faces: Sequence[Any]) -> Table:
    """Of the engine's faces."""
    return flatten(
        [
            {
                "box": face.located.box,
                "source_box": face.located.source_box,
                "source": face.located.source,
                "score": face.located.score,
                "landmarks": face.landmarks,
                "covariance": face.covariance,
                "confidence": face.confidence,
                "map_landmarks": face.map_landmarks,
                "map_exemplar": face.map_exemplar,
                "presence": face.presence,
                "entropy": face.entropy,
                "effective_exemplars": face.effective_exemplars,
                "cut_mass": face.cut_mass,
                "displacement": face.posterior.displacement,
                "probabilities": face.posterior.probabilities,
                "group": face.group((36, 39, 42, 45)),
            }
            for face in faces
        ],
        keep=KEEP,
    )


# The real server, through the real client.


def served() -> Tables:
    """Every method of the client, and videos."""
    with local_server() as server:
        with Client(server.address, timeout=60) as client:
            client.wait_ready()
            tables = _pictures(client) | _videos(client)
        return tables | _state_hashes(server.address)


def _answer(value: object) -> Table:
    return flatten(value, leave_out=BY_CHANCE, keep=KEEP)


def _pictures(client: Client) -> Tables:
    picture = _jpeg(astronaut())
    maps = HeatmapOptions(landmarks=(8, 30, 36), width=24, height=20)
    narrow = HeatmapOptions(landmarks=("nose_tip",), rectangle=(180, 80, 280, 180), width=32, height=32)
    pose = PoseOptions(interval_masses=(0.5, 0.9), yaw_bins=12, roll_bins=10)
    groups: tuple[Any, ...] = ("mouth", (0, 8, 16))
    first = client.predict(picture, groups=groups, top_exemplars=5, heatmaps=maps, pose=pose)
    face = first[0]
    pictures, landmarks = drawn_faces(3, 21)
    drawn_nose = landmarks[1, 30].tolist()
    boxes = [[*landmarks[1].min(axis=0), *landmarks[1].max(axis=0)]]

    def place(n: int, dx: float, dy: float) -> tuple[float, float]:
        return float(face.landmarks[n, 0]) + dx, float(face.landmarks[n, 1]) + dy

    hard = Click(30, *place(30, 2.0, 1.0), radius=6.0)
    soft = [Click("jaw_8", *place(8, -3.0, 2.0), sigma=3.0), Click(36, *place(36, 1.0, -2.0))]
    x, y = place(48, 0.0, 0.0)
    regions: list[Inside | Outside] = [
        Inside(48, Rectangle(x - 6, y - 3, x + 12, y + 8)),
        Outside(54, Circle(*place(54, 3.0, 0.0), 4.0)),
        Inside(8, Polygon((place(8, -15, -9), place(8, 15, -9), place(8, 0, 12)))),
    ]
    turned = ClientPoseRange(yaw=(-40.0, 5.0), roll=(-20.0, 20.0))
    nobody = [Click(30, *place(30, 0, 0), radius=0.5), Click(8, *place(30, 0, 0), radius=0.5)]
    given = LandmarkOptions(top_exemplars=3, groups=("eyes",))
    return {
        "served/predict": _answer(first),
        "served/predict drawn": _answer(client.predict(pictures[1], boxes)),
        "served/heatmaps": _answer(client.heatmaps(picture, options=maps, landmarks=given)),
        "served/heatmaps uint8": _answer(
            client.heatmaps(posterior_id=face.posterior_id, options=HeatmapOptions((30,), width=24, encoding="uint8"))
        ),
        "served/heatmaps sparse": _answer(
            client.heatmaps(
                posterior_id=face.posterior_id,
                options=HeatmapOptions((30, 8), width=24, height=24, encoding="sparse", sparse_mass=0.9),
            )
        ),
        "served/pose": _answer(client.pose(picture, options=pose)),
        "served/condition hard": _answer(client.condition(picture, hard, include_prior=True, heatmaps=narrow)),
        "served/condition hard, box fixed": _answer(client.condition(picture, hard, box_moves=False)),
        "served/condition soft": _answer(client.condition(picture, soft, pose=pose)),
        "served/condition regions": _answer(client.condition(picture, regions, landmarks=given)),
        "served/condition pose": _answer(client.condition(posterior_id=face.posterior_id, evidence=turned)),
        "served/condition all": _answer(client.condition(picture, [hard, *soft, *regions, turned])),
        "served/condition impossible": _answer(client.condition(picture, nobody, box_moves=False)),
        "served/condition drawn": _answer(
            client.condition(pictures[1], Click(30, drawn_nose[0], drawn_nose[1], sigma=1.0), box=boxes[0])
        ),
        "served/suggest": _answer(client.suggest(picture, max_suggestions=10)),
        "served/suggest entropy": _answer(
            client.suggest(picture, soft, criterion="entropy", candidates=("mouth", 30), max_suggestions=4)
        ),
        "served/exemplars": _answer(client.exemplars([e.class_id for e in face.top_exemplars] + [0, 1])),
    }


#: Of the videos.
FRAMES, CLICKED, HIDDEN, LATE = 14, 5, (8, 9), 11


@cache
def _clip(side: int = 320) -> tuple[U8, ...]:
    """A camera that pans over the astronaut."""
    corners = [(60 + 2 * t % 40, t % 20) for t in range(FRAMES)]
    return tuple(np.ascontiguousarray(astronaut()[y : y + side, x : x + side]) for x, y in corners)


def _frames(lag: int) -> Iterator[TrackFrame | PastEvidence]:
    """A click in one frame, a face that is hidden in two, and a late click where the lag allows it."""
    for i, picture in enumerate(_clip()):
        evidence = Click("nose_tip", 155.0 - 2 * i, 119.0 - i, sigma=3.0) if i == CLICKED else ()
        hidden = i in HIDDEN
        yield TrackFrame(None if hidden else _jpeg(picture), evidence=evidence, occluded=hidden)
        if lag and i == LATE:
            yield PastEvidence(i - 1, Click("jaw_8", 152.0 - 2 * i, 166.0 - i, sigma=4.0))


def _videos(client: Client) -> Tables:
    tables = {}
    for lag in (0, 5):
        wishes: dict[str, Any] = {"smoothing_lag": lag, "path_frames": 6, "detect_every": 6}
        if lag:
            wishes |= {"pose": PoseOptions(yaw_bins=0, roll_bins=0), "suggestion": SuggestionOptions(max_suggestions=3)}
        with client.track(_frames(lag), **wishes) as video:
            events = list(video)
            tables[f"served/track lag {lag}"] = _answer(events)
            tables[f"served/track lag {lag} closed"] = _answer(video.closed)
    models: tuple[Literal["low_pass", "per_frame"], ...] = ("low_pass", "per_frame")
    for model in models:
        with client.track(_frames(0), temporal_model=model) as video:
            tables[f"served/track {model}"] = _answer(list(video)[-3:])
    return tables


#: A resume token ends with a hash of the session's state (16 bytes) and a checksum (8).
STATE_HASH = slice(-24, -8)


def _state_hashes(address: str) -> Tables:
    """What the resume tokens say of the session's state after each frame."""
    tables: Tables = {}
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.FaceAlignmentServiceStub(channel)
        for lag in (0, 5):
            said = [service_pb2.TrackVideoRequest(config=track_pb2.TrackConfig(smoothing_lag=lag, path_frames=6))]
            for i, picture in enumerate(_clip()):
                frame = track_pb2.VideoFrame(frame_index=i, occluded=i in HIDDEN)
                if not frame.occluded:
                    frame.image.CopyFrom(image_pb2.Image(encoded=_jpeg(picture)))
                if i == CLICKED:
                    place = geometry_pb2.Point(x=155 - 2 * i, y=119 - i)
                    click = evidence_pb2.Click(landmark=30, position=place, sigma=3)
                    frame.evidence.add(evidence=evidence_pb2.Evidence(clicks=[click]))
                said.append(service_pb2.TrackVideoRequest(frame=frame))
            heard = list(stub.TrackVideo(iter(said), timeout=60))
            tokens = [one.result.resume_token for one in heard if one.WhichOneof("message") == "result"]
            tables[f"served/track lag {lag} state bytes"] = flatten([token[STATE_HASH].hex() for token in tokens])
    return tables


# Sessions over a toy model: everything below the network.

STEPS = 14

#: `Toy.session`'s options of each case; every one is played with two seeds.
SESSIONS: dict[str, dict[str, Any]] = {
    "filter lag 0": {"max_faces": 2, "detect_every": 3, "path_frames": 4},
    "filter lag 3": {"smoothing_lag": 3, "max_faces": 2, "detect_every": 3, "path_frames": 4},
    "filter lag 3 not steadied": {"smoothing_lag": 3, "steadied": False},
    "low pass": {"temporal_model": TemporalModel.LOW_PASS, "max_faces": 2, "detect_every": 3},
    "per frame": {"temporal_model": TemporalModel.PER_FRAME, "max_faces": 3},
}

#: What `fingerprint` says of a track, in its order; of bytes, the kind of their numbers.
FINGERPRINT: tuple[tuple[str, type | None], ...] = (
    ("track_id", None),
    ("state", None),
    ("visible_probability", None),
    ("lost_probability", None),
    ("has_evidence", None),
    ("cut_mass", None),
    ("outcome", None),
    ("surprise", None),
    ("box", np.float64),
    ("landmarks", np.float64),
    ("covariance", np.float64),
    ("displacement", np.float64),
    ("probabilities", np.float32),
    ("presence", None),
    ("located_box", np.float64),
    ("source", None),
)


#: A state's magic, version and hash of the rest; and the first text in the rest that is a SHA-256: the settings' name.
#: That one is made of reprs, in which the names of classes and fields are: renaming those changes it, and nothing else.
_HEADER, _SETTINGS = 42, re.compile(rb"[0-9a-f]{64}")


def toy_sessions() -> Tables:
    """What sessions answer, and apart from it how they are encoded after every step."""
    toy = Toy(drawn_shapes(60, 1) + 0.5, ChainSettings(members=25), ToyDisplacer())
    tables: Tables = {}
    for name, options in SESSIONS.items():
        for seed in (1, 2):
            session, answers, states, bodies = toy.session(**options), [], [], []
            for step in range(STEPS):
                answers.append(_step(toy, session, seed, step))
                state = session.encode()
                states.append(sha256(state).hexdigest())
                bodies.append(sha256(_SETTINGS.sub(b"settings", state[_HEADER:], count=1)).hexdigest())
            end = session.close(SuggestionWish(count=3))
            closing = {
                "revisions": [_revision(r) for r in end.revisions],
                "paths": [
                    {"track": p.track_id, "classes": p.class_ids, "points": p.points, "score": p.score, "gap": p.gap}
                    for p in end.paths
                ],
                "suggestions": [
                    {"frame": s.frame_index, "track": s.track_id, "suggestion": s.suggestion} for s in end.suggestions
                ],
            }
            told = {"steps": answers, "closing": closing}
            tables[f"state/{name}, seed {seed}: answers"] = flatten(told, keep=KEEP_TOY)
            tables[f"state/{name}, seed {seed}: state bytes"] = flatten(states)
            tables[f"state/{name}, seed {seed}: state bytes but the settings' name"] = flatten(bodies)
    return tables


def _step(toy: Toy, session: TrackingSession, seed: int, step: int) -> dict[str, object]:
    """One frame made of chance: several faces, cuts, occlusion, gaps, boxes, detections and evidence, also late."""
    rng = np.random.default_rng([seed, step])
    index = session.next_frame + int(rng.choice([0, 0, 0, 1, 7]))
    seen = 0.01 if (step // 4) % 3 == 2 else float(rng.uniform(0.6, 0.999))
    rows = {i: toy.scores(int(rng.integers(60)), seen, float(rng.uniform(0.01, 0.1))) for i in range(4)}
    spots = [tuple(np.array((LEFT, MIDDLE, RIGHT)[i]) + rng.normal(0, 4, 4)) for i in rng.permutation(3)]
    boxes = [(0, box) for box in spots[: int(rng.choice([0, 0, 1, 2]))]][: session.options.max_faces]
    detections = [detection(box) for box in spots[: int(rng.integers(4))]]
    pieces = [_piece(rng) for _ in session.track_ids[: int(rng.choice([0, 0, 1, 2]))]]
    named = list(zip(session.track_ids, pieces, strict=False))
    blind = bool(rng.random() < 0.15)
    answer = toy.play(session, index, rows, boxes=boxes, detections=detections, evidence=named, occluded=blind)
    told = _told(answer)
    if session.track_ids and rng.random() < 0.4:
        try:
            late = session.revise(index - int(rng.integers(4)), [(session.track_ids[-1], _piece(rng))])
        except (FrameTooOldError, InvalidInputError) as error:
            told["refused"] = str(error)
        else:
            told["late"] = [_revision(r) for r in late]
    return told


def _piece(rng: np.random.Generator) -> Evidence:
    n, (x, y) = int(rng.integers(68)), rng.uniform((60, 90), (540, 210))
    click = Evidence((SoftClick(n, x, y, float(rng.uniform(1, 20))),))
    yaw = float(rng.uniform(-90, 0)), float(rng.uniform(0, 90))
    return click.union(Evidence(poses=(PoseRange(yaw=yaw),)))


def _told(answer: FrameAnswer) -> dict[str, object]:
    return {
        "frame": answer.frame_index,
        "tracks": _tracks(answer.tracks),
        "revisions": [_revision(r) for r in answer.revisions],
        "detected": answer.detected,
        "opened": answer.opened,
        "lost": answer.lost,
    }


def _revision(revision: RevisionAnswer) -> dict[str, object]:
    return {
        "frame": revision.frame_index,
        "through": revision.through_frame,
        "cause": revision.cause,
        "tracks": _tracks(revision.tracks),
    }


def _tracks(answers: Sequence[Any]) -> list[dict[str, object]]:
    return [
        {
            name: value if kind is None else np.frombuffer(value, kind)  # type: ignore[call-overload]
            for (name, kind), value in zip(FINGERPRINT, told, strict=True)
        }
        for told in fingerprint(answers)
    ]


# From drawn faces to a calibrated bundle, and that bundle's int8 form.

TRAINING = """\
seed = 3
epochs = 2
batch_size = 16
warmup = 2
validate_every = 1
shards = 2
threads = 1

[exemplars]
variants = 2
tau = 0.1
wide_roll = 0.2
turned = 0.3

[network]
input_size = 32
widths = [4, 4, 8, 8]
feature_channels = 4
embedding = 8
local_width = 8
local_channels = 4
residual_levels = 2
residual_hidden = 16

[augment]
wide_roll = 0.1
turned = 0.25
turned_pictures = 1

[export]
looks = 2

[description]
name = "golden"
training_data = "faces drawn by the tests"
"""

#: Left out: the manifest's date; its seal, which holds the date; its hashes of the other files, an entry of their own.
MANIFEST_LEFT_OUT = ("created", "seal", "files")


def bundle() -> Tables:
    """``exalign-model train`` and ``quantise`` on drawn faces, as a user calls them."""
    with tempfile.TemporaryDirectory(prefix="exalign-golden-") as folder:
        root = Path(folder)
        data, run, int8 = root / "data", root / "run", root / "int8"
        write_prepared(data, 32, 24, 4, 11)
        (root / "golden.toml").write_text(TRAINING, encoding="utf-8")
        _exalign_model("train", "--config", root / "golden.toml", "--data", data, "--run", run)
        _exalign_model("quantise", "--bundle", run / "bundle", "--out", int8, "--data", data)
        curves = (run / "curves.csv").read_text(encoding="utf-8")
        return {
            "bundle/curves": flatten(_columns(curves)),
            **_bundle_tables("bundle", run / "bundle"),
            **{name: table for name, table in _bundle_tables("quantised", int8).items() if "card" not in name},
        }


def _exalign_model(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "exalign_engine.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    if done.returncode:
        raise RuntimeError(f"exalign-model {arguments[0]} ended with {done.returncode}: {done.stderr[-2000:]}")


def _bundle_tables(name: str, folder: Path) -> Tables:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    files = {
        path.name: sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != "manifest.json"
    }
    return {
        f"{name}/files": flatten(files),
        f"{name}/manifest": flatten({k: v for k, v in manifest.items() if k not in MANIFEST_LEFT_OUT}),
        f"{name}/calibration card": flatten(json.loads((folder / "calibration.json").read_text(encoding="utf-8"))),
    }


def _columns(curves: str) -> dict[str, list[str]]:
    """The training curves by column, without the seconds that an epoch took."""
    head, *rows = [line.split(",") for line in curves.splitlines()]
    return {name: [row[i] for row in rows] for i, name in enumerate(head) if "second" not in name}


#: Kind of entry (the part of its name before the slash) → what computes all entries of that kind.
GROUPS: dict[str, Callable[[], Tables]] = {
    "drawn": drawn,
    "aligner": aligner,
    "served": served,
    "state": toy_sessions,
    "bundle": bundle,
    "quantised": bundle,
}


@cache
def _made(maker: Callable[[], Tables]) -> Tables:
    return maker()


def computed(group: str) -> Tables:
    """All entries of a kind; computed once."""
    return {name: table for name, table in _made(GROUPS[group]).items() if name.partition("/")[0] == group}
