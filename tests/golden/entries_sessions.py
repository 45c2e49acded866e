"""Entries of tracking sessions over a toy model: everything below the network."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from golden_inputs import KEEP_TOY, Tables
from golden_tree import flatten

from drawn_faces import drawn_shapes
from exalign_engine import InvalidInputError
from exalign_engine.evidence.evidence import Evidence, PoseRange, SoftClick
from exalign_engine.hmm.chain import ChainSettings
from exalign_engine.tracking import (
    FrameAnswer,
    FrameTooOldError,
    RevisionAnswer,
    SuggestionQuery,
    TemporalModel,
    TrackingSession,
)
from exalign_engine.tracking.codec import decode
from exalign_engine.tracking.session_state import Envelope
from tracking_toy import LEFT, MIDDLE, RIGHT, Toy, ToyDisplacer, detection, fingerprint, track_ids

STEPS = 14

#: `Toy.session`'s options of each case; every one is played with two seeds.
SESSIONS: dict[str, dict[str, Any]] = {
    "filter lag 0": {"max_faces": 2, "detect_every": 3, "path_frames": 4},
    "filter lag 3": {"smoothing_lag": 3, "max_faces": 2, "detect_every": 3, "path_frames": 4},
    "filter lag 3 not steadied": {"smoothing_lag": 3, "temporal_mean": False},
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

#: Exemplars of the toy model, and a state's magic, version and hash: what follows is an `Envelope`.
K, HEADER_BYTES = 60, 42


def toy_sessions() -> Tables:
    """What sessions answer, and apart from it how they are encoded after every step."""
    toy = Toy(drawn_shapes(K, 1) + 0.5, ChainSettings(members=25), ToyDisplacer())
    tables: Tables = {}
    for name, options in SESSIONS.items():
        for seed in (1, 2):
            session, answers, states, inner = toy.session(**options), [], [], []
            for step in range(STEPS):
                answers.append(_step(toy, session, seed, step))
                state = session.encode()
                states.append(sha256(state).hexdigest())
                inner.append(sha256(decode(Envelope, state[HEADER_BYTES:], K).session).hexdigest())
            end = session.close(SuggestionQuery(count=3))
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
            stated = {"steps": answers, "closing": closing}
            tables[f"state/{name}, seed {seed}: answers"] = flatten(stated, keep=KEEP_TOY)
            tables[f"state/{name}, seed {seed}: state bytes"] = flatten(states)
            tables[f"state/{name}, seed {seed}: state bytes but the settings' name"] = flatten(inner)
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
    pieces = [_piece(rng) for _ in track_ids(session)[: int(rng.choice([0, 0, 1, 2]))]]
    named = list(zip(track_ids(session), pieces, strict=False))
    blind = bool(rng.random() < 0.15)
    answer = toy.play(session, index, rows, boxes=boxes, detections=detections, evidence=named, occluded=blind)
    stated = _stated(answer)
    if track_ids(session) and rng.random() < 0.4:
        try:
            late = session.revise(index - int(rng.integers(4)), [(track_ids(session)[-1], _piece(rng))])
        except (FrameTooOldError, InvalidInputError) as error:
            stated["refused"] = str(error)
        else:
            stated["late"] = [_revision(r) for r in late]
    return stated


def _piece(rng: np.random.Generator) -> Evidence:
    n, (x, y) = int(rng.integers(68)), rng.uniform((60, 90), (540, 210))
    click = Evidence((SoftClick(n, x, y, float(rng.uniform(1, 20))),))
    yaw = float(rng.uniform(-90, 0)), float(rng.uniform(0, 90))
    return click.union(Evidence(poses=(PoseRange(yaw=yaw),)))


def _stated(answer: FrameAnswer) -> dict[str, object]:
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
            for (name, kind), value in zip(FINGERPRINT, stated, strict=True)
        }
        for stated in fingerprint(answers)
    ]
