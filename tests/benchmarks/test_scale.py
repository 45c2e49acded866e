"""The simulated fleet keeps what a fleet must: every frame is answered once, and who loses a server finds another."""

from __future__ import annotations

import pytest
from benchmarks.scale.storms import Experience, Fleet, Storm

FLEET = Fleet(4, 2, 0.02, 10.0, 0.4, open_seconds=0.05, start_seconds=2.0, balance=1.1)


def answered(seen: Experience) -> int:
    return len(seen.before) + len(seen.latencies)


def test_nobody_waits_where_there_is_room_and_every_frame_is_answered() -> None:
    seen = Storm(FLEET).killed(0, warm=5.0, seconds=10.0)
    assert answered(seen) == pytest.approx(FLEET.streams * FLEET.rate * 15, abs=2 * FLEET.streams)
    assert max(seen.before + seen.latencies) < 0.1
    assert seen.moves == {}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_streams_of_a_dead_server_go_on_elsewhere_and_no_frame_is_lost(seed: int) -> None:
    storm = Storm(FLEET, seed)
    seen = storm.killed(1, warm=5.0, seconds=20.0)
    assert answered(seen) == pytest.approx(FLEET.streams * FLEET.rate * 25, abs=2 * FLEET.streams)
    assert set(seen.moves.values()) == {1}
    assert len(seen.interruptions) == len(seen.moves) > 0
    # The pause, and what it costs to open: a few frames wait meanwhile.
    assert 0.1 < min(seen.interruptions) < 0.4
    assert sum(server.streams for server in storm._servers) == FLEET.streams


def test_an_upgrade_moves_every_stream_and_a_bound_keeps_servers_even() -> None:
    storm = Storm(FLEET)
    seen = storm.upgraded(warm=5.0, settle=5.0)
    assert set(seen.moves) == set(range(FLEET.streams))
    assert max(server.streams for server in storm._servers) <= 1.1 * FLEET.streams / 3 + 1


def test_too_much_load_is_seen() -> None:
    seen = Storm(Fleet(2, 1, 0.02, 10.0, 1.2, 0.05, 2.0, balance=1.1)).killed(0, warm=10.0, seconds=10.0)
    assert max(seen.latencies) > 1.0
