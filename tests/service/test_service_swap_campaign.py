"""Bundle after bundle under load, in a form that takes seconds; `swap_campaign` is the whole of it."""

from __future__ import annotations

import sys

import pytest

import swap_campaign


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
async def test_no_frame_is_lost_none_has_two_bundles_and_memory_comes_back() -> None:
    found = await swap_campaign.run(streams=12, swaps=6, seconds=1.0, within=1.2)
    assert found.wrong == []
    assert found.moves >= 6
    assert found.sessions >= 12
    assert min(found.frames_answered, found.calls, found.asked_again) > 0
