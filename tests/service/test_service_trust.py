"""However a call ends, wherever it is: one round of `trust_matrix`."""

from __future__ import annotations

import pytest

from trust_matrix import ENDS, PLACES, one


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("place", PLACES)
async def test_nothing_of_a_call_stays_and_its_end_is_counted(place: str, end: str) -> None:
    cell = await one(place, end)
    assert cell.fault == ""
