"""Whether a session can be resumed with a token; if not, why."""

from __future__ import annotations

import hmac

from exalign_engine.tracking import StateError
from exalign_service.models.live_models import LiveModels
from exalign_service.rpc.errors import PreconditionError, SessionNotFoundError
from exalign_service.track.record import SessionRecord
from exalign_service.track.requests import TrackOptions
from exalign_service.track.resume_token import ResumeToken

_FIELD = "config.resume_token"


def check_token(token: ResumeToken, options: TrackOptions) -> None:
    """Check what depends on the token alone, which is ours.

    Raises:
        PreconditionError: it is of another session.
    """
    if token.session != options.name:
        text = f"{_FIELD}: is from session {token.session!r}, config.session_id is {options.name!r}"
        raise PreconditionError("TOKEN_OTHER_SESSION", text)


def check_lives(bundle_id: str, models: LiveModels) -> None:
    """Check the bundle of a session that another server had.

    Raises:
        PreconditionError: it is not in memory here.
    """
    if models.get(bundle_id) is None:
        current = models.current.bundle_id
        text = f"{_FIELD}: bundle {bundle_id[:12]}… answers the session, this server answers with {current[:12]}…"
        raise PreconditionError("TOKEN_OTHER_BUNDLE", text, bundle_id)


def check_bundle(token: ResumeToken, models: LiveModels) -> None:
    """Check the bundle of a token whose session is not here.

    Raises:
        PreconditionError: the bundle is not in memory either: another server may have both.
    """
    if models.get(token.bundle_id) is None:
        current = models.current.bundle_id
        text = f"{_FIELD}: is from bundle {token.bundle_id[:12]}…, this server answers with {current[:12]}…"
        raise PreconditionError("TOKEN_OTHER_BUNDLE", text, token.bundle_id)


def check_record(token: ResumeToken, options: TrackOptions, record: SessionRecord | None) -> SessionRecord:
    """Check what depends on the session's record; returns the record.

    Raises:
        SessionNotFoundError: there is no record.
        PreconditionError: the session of that name is another one, another bundle answers it, its config was
            another, or it has forgotten results that the token's owner does not have.
    """
    if record is None:
        raise session_gone(token)
    if not hmac.compare_digest(token.secret, record.secret):
        text = f"{_FIELD}: is from an earlier session that was called {token.session!r} too"
        raise PreconditionError("TOKEN_OTHER_SESSION", text)
    # Before the session moved to its bundle, another one answered it.
    if token.bundle_id != record.bundle_id and token.frame >= record.first_of_bundle:
        text = f"{_FIELD}: is from bundle {token.bundle_id[:12]}…, the session's is {record.bundle_id[:12]}…"
        raise PreconditionError("TOKEN_OTHER_BUNDLE", text, record.bundle_id)
    if options.fingerprint != record.config:
        raise PreconditionError("CONFIG_DIFFERS", "config: differs from the one that the session was opened with")
    if token.frame < record.acked:
        text = f"{_FIELD}: is too old: it is of frame {token.frame}, results up to {record.acked} are acknowledged"
        raise PreconditionError("TOKEN_TOO_OLD", text)
    known = record.hash_at(token.frame)
    newer = token.frame > record.frame or token.epoch > record.epoch
    if newer and options.resends_after is not None and options.resends_after <= record.frame <= token.frame:
        newer = False  # it goes on from what was stored last; what was answered after that is answered again, alike
    if newer or (known is not None and known != token.state_hash):
        text = f"{_FIELD}: names a state after frame {token.frame} that the session, now at {record.frame}, never had"
        raise PreconditionError("TOKEN_OTHER_STATE", text)
    return record


def session_gone(token: ResumeToken) -> SessionNotFoundError:
    """The session of a token is not here; so it is where the token is none of ours, or of another owner."""
    text = "is gone: it was closed, or not resumed in time; open a new session"
    return SessionNotFoundError(f"{_FIELD}: the state of session {token.session!r} {text}")


def state_error_to_precondition(error: StateError) -> PreconditionError:
    """A stored state that the engine cannot restore, as FAILED_PRECONDITION."""
    return PreconditionError(f"STATE_{error.reason.name}", f"{_FIELD}: {error}")
