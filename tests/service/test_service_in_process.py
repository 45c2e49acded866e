"""A server in a thread of its caller's process: what it cannot do is one line, and it goes with its block."""

from __future__ import annotations

import threading

import pytest

from exalign.local_answers import CannotAnswerError
from exalign_service.in_process.answerer import answer_here


def alive() -> bool:
    return any(thread.name == "exalign server" for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("EXALIGN_BUNDLE", "/nowhere", "no such directory"),
        ("EXALIGN_MAX_BATCH", "0", "max_batch is 0"),
        ("EXALIGN_MAX_BACTH", "4", "the nearest is EXALIGN_MAX_BATCH"),
    ],
)
def test_what_is_wrong_is_one_line(variable: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(CannotAnswerError, match=expected) as caught, answer_here("127.0.0.1:0", lambda _: None):
        pass
    assert "\n" not in str(caught.value)
    assert not alive()
