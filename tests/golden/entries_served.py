"""Entries of the real server, through the real client."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

import grpc
import numpy as np
from golden_inputs import KEEP, U8, Tables, astronaut, jpeg
from golden_tree import Table, flatten

from drawn_faces import drawn_faces
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

#: Fields of the client's answers that the clock or chance decides.
BY_CHANCE = ("timing", "latency", "posterior_id")


def served() -> Tables:
    """Every method of the client, and videos."""
    with local_server() as server:
        with Client(server.address, timeout=60) as client:
            client.wait_ready()
            tables = _pictures(client) | _videos(client)
        return tables | _state_hashes(server.address)


def _answer(value: object) -> Table:
    return flatten(value, leave_out=BY_CHANCE, keep=KEEP)


def _events(value: object) -> Table:
    """Of a video: results name their bundle, which the answers about pictures are compared for."""
    return flatten(value, leave_out=(*BY_CHANCE, "bundle_id"), keep=KEEP)


def _pictures(client: Client) -> Tables:
    picture = jpeg(astronaut())
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
        yield TrackFrame(None if hidden else jpeg(picture), evidence=evidence, occluded=hidden)
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
            tables[f"served/track lag {lag}"] = _events(events)
            tables[f"served/track lag {lag} closed"] = _answer(video.closed)
    models: tuple[Literal["low_pass", "per_frame"], ...] = ("low_pass", "per_frame")
    for model in models:
        with client.track(_frames(0), temporal_model=model) as video:
            tables[f"served/track {model}"] = _events(list(video)[-3:])
    return tables


#: A resume token ends with a hash of the session's state (16 bytes), an authenticator (16) and a checksum (8).
STATE_HASH = slice(-40, -24)


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
                    frame.image.CopyFrom(image_pb2.Image(encoded=jpeg(picture)))
                if i == CLICKED:
                    place = geometry_pb2.Point(x=155 - 2 * i, y=119 - i)
                    click = evidence_pb2.Click(landmark=30, position=place, sigma=3)
                    frame.evidence.add(evidence=evidence_pb2.Evidence(clicks=[click]))
                said.append(service_pb2.TrackVideoRequest(frame=frame))
            answers = list(stub.TrackVideo(iter(said), timeout=600))
            tokens = [one.result.resume_token for one in answers if one.WhichOneof("message") == "result"]
            tables[f"served/track lag {lag} state bytes"] = flatten([token[STATE_HASH].hex() for token in tokens])
    return tables
