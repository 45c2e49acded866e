"""Which tokens a session's record takes, at the limits of what it takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from exalign_service.models.live_models import LiveModels
from exalign_service.rpc.errors import PreconditionError, SessionNotFoundError
from exalign_service.track.record import SessionRecord
from exalign_service.track.requests import TrackOptions
from exalign_service.track.resume_checks import check_bundle, check_lives, check_record
from exalign_service.track.resume_token import ResumeToken
from test_service_track_store import answered, record

#: A session that another bundle has answered up to frame 3, and whose client has what is up to frame 2.
MADE = answered(answered(answered(record(epoch=3), 2), 3), 5).acknowledged(2)
RECORD = replace(MADE, first_of_bundle=4)


def token(frame: int = 5, **changes: Any) -> ResumeToken:
    """The one that was given with a frame's result."""
    known = RECORD.hash_at(frame) or b"?" * 16
    return replace(ResumeToken("a", RECORD.secret, 3, frame, RECORD.bundle_id, known), **changes)


def checked(given: ResumeToken, resends_after: int | None = None, there: SessionRecord | None = RECORD) -> str:
    """Why it is refused; empty: it is taken."""
    options = cast(TrackOptions, Options(resends_after))
    try:
        assert check_record(given, options, there) is there
    except PreconditionError as e:
        return e.reason
    except SessionNotFoundError:
        return "gone"
    return ""


class Options:
    """What `check_record` looks at."""

    fingerprint = RECORD.config

    def __init__(self, resends_after: int | None) -> None:
        self.resends_after = resends_after


OTHER = "c" * 64


@pytest.mark.parametrize(
    ("given", "resends_after", "refused"),
    [
        (token(5), None, ""),
        (token(3), None, ""),
        (token(2), None, ""),  # what is acknowledged last is known
        (token(1), None, "TOKEN_TOO_OLD"),
        (token(5, epoch=2), None, ""),  # of an earlier stream
        (token(5, epoch=4), None, "TOKEN_OTHER_STATE"),
        (token(6), None, "TOKEN_OTHER_STATE"),
        (token(3, state_hash=b"!" * 16), None, "TOKEN_OTHER_STATE"),
        (token(4), None, ""),  # no result of it is kept, so nothing speaks against it
        (token(3, bundle_id=OTHER), None, ""),  # before the session moved
        (token(4, bundle_id=OTHER), None, "TOKEN_OTHER_BUNDLE"),
        (token(5, secret=b"t" * 16), None, "TOKEN_OTHER_SESSION"),
        # Who can send again what came after the newest frame here goes on from there.
        (token(7), 5, ""),
        (token(7), 4, ""),
        (token(7), 6, "TOKEN_OTHER_STATE"),
        (token(5, epoch=4), 5, ""),
        (token(4, epoch=4), 4, "TOKEN_OTHER_STATE"),  # it would go back
        (token(3, state_hash=b"!" * 16), 3, "TOKEN_OTHER_STATE"),
    ],
)
def test_a_token_is_taken_where_the_session_can_go_on_from_it(
    given: ResumeToken, resends_after: int | None, refused: str
) -> None:
    assert checked(given, resends_after) == refused


def test_a_session_that_is_not_there_is_gone() -> None:
    assert checked(token(), there=None) == "gone"


class Models:
    """One bundle is in memory."""

    bundle_id = "b" * 64

    @property
    def current(self) -> Models:
        return self

    def get(self, bundle_id: str) -> Models | None:
        return self if bundle_id == self.bundle_id else None


def test_a_session_of_another_server_and_a_token_are_refused_by_the_bundle_that_is_not_here() -> None:
    models = cast(LiveModels, Models())
    check_lives("b" * 64, models)
    check_bundle(token(), models)
    for check in (
        lambda: check_lives(OTHER, models),
        lambda: check_bundle(token(bundle_id=OTHER), models),
    ):
        with pytest.raises(PreconditionError, match=f"bundle {OTHER[:12]}…") as caught:
            check()
        assert (caught.value.reason, caught.value.bundle_id) == ("TOKEN_OTHER_BUNDLE", OTHER)
