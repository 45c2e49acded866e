"""States that versions of this software have written, for the versions after them to read.

    python tests/engine/former_states.py --write

adds those of this version, once, to `FILE`: when `session_state.VERSION` has changed. States of versions that have no
reader any more may be removed by hand.
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from drawn_faces import drawn_shapes
from exalign_engine.hmm.chain import ChainSettings
from exalign_engine.tracking import TemporalModel, TrackingSession
from exalign_engine.tracking.session_state import VERSION
from tracking_toy import LEFT, MIDDLE, RIGHT, Toy, ToyDisplacer, click

FILE = Path(__file__).with_name("former_states.json")

#: Version -> name -> what was written, and what is in it.
States = dict[str, dict[str, dict[str, Any]]]


def toy() -> Toy:
    """The model of all of them; its shapes are drawn, and it has no network."""
    return Toy(drawn_shapes(60, 1) + 0.5, ChainSettings(members=25), ToyDisplacer())


def sessions(model: Toy) -> Iterator[tuple[str, TrackingSession]]:
    """Sessions that have all that a state may hold."""
    yield "new", model.session(max_faces=3, detect_every=7)
    lagging = model.session(smoothing_lag=2, max_faces=2, path_frames=4)
    for index in range(6):
        seen = 0.02 if index == 4 else 0.95
        boxes = [(0, LEFT), (0, RIGHT)] if index == 0 else [(1, LEFT)] if index < 4 else []
        evidence = [(1, click(30, 100, 150)), (2, click(8, 500, 200))] if index == 5 else []
        rows = {0: model.scores(index, seen), 1: model.scores(20 + index, 0.9)}
        model.play(lagging, index, rows, boxes=boxes, evidence=evidence)
    yield "lag, evidence, path, two faces", lagging
    for temporal in (TemporalModel.FILTER, TemporalModel.LOW_PASS, TemporalModel.PER_FRAME):
        session = model.session(temporal_model=temporal)
        for index in (0, 1, 3):
            model.play(session, index, model.scores(index), boxes=[(0, MIDDLE)] if index == 0 else [])
        model.play(session, 4, occluded=True)
        yield temporal.value, session


def stated(session: TrackingSession) -> dict[str, Any]:
    """What is in a session that every version must find there: numbers and names, exactly."""
    state, options = session.state, session.options
    return {
        "options": [options.temporal_model.value, options.smoothing_lag, options.max_faces, options.detect_every],
        "more_options": [options.path_frames, options.temporal_mean],
        "size": None if state.size is None else list(state.size),
        "last_frame": state.last_frame,
        "next_id": state.next_id,
        "recent": list(state.recent),
        "tracks": [
            {
                "id": track.track_id,
                "box": track.motion.box.tolist(),
                "visibility": [*track.visibility.probabilities, track.visibility.state.value],
                "records": [record.observation.index for record in track.records],
                "evidence": [record.observation.evidence is not None for record in track.records],
                "samples": [sample.index for sample in track.samples],
            }
            for track in state.tracks
        ],
    }


def read_states() -> States:
    """The file."""
    found: States = json.loads(FILE.read_text("utf-8"))
    return found


def bytes_of(entry: dict[str, Any]) -> bytes:
    """What was written."""
    return b64decode(entry["state"])


def main() -> int:
    """Entry point."""
    if sys.argv[1:] != ["--write"]:
        print(__doc__, file=sys.stderr)
        return 2
    states = read_states() if FILE.exists() else {}
    if str(VERSION) in states:
        print(f"version {VERSION} has its states already: they stay as they were written", file=sys.stderr)
        return 1
    states[str(VERSION)] = {
        name: {"state": b64encode(session.encode()).decode("ascii"), "holds": stated(session)}
        for name, session in sessions(toy())
    }
    FILE.write_text(json.dumps(states, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
