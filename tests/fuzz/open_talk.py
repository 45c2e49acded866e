"""A stream that is open, as a conversation has it, and what is compared with the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from conversation_client import ConversationError, Stream
from exalign_service.track.resume_token import ResumeToken
from frame_grammar import WrittenFrame
from fuzzed_server import MAX_UNACKED
from protocol_model import NO_FRAME, Session

#: Streams of one conversation at once, and frames that wait for acknowledgements: a server reads only so far ahead.
MOST_STREAMS, MOST_WAITING = 3, 3


@dataclass(eq=False)
class Talk:
    """A stream that is open.

    Attributes:
        stream: of it.
        session: that it has.
        newest: newest frame that was sent.
        waiting: frames that wait for acknowledgements, in order.
    """

    stream: Stream
    session: Session
    newest: int = NO_FRAME
    waiting: list[WrittenFrame] = field(default_factory=list)

    @property
    def room(self) -> int:
        """Results that may come before the server waits."""
        return MAX_UNACKED - len(self.session.retained)


def compare(what: str, found: object, wanted: object) -> None:
    """Compare what a server has said with what it must say.

    Raises:
        ConversationError: it is something else.
    """
    if found != wanted:
        raise ConversationError(f"{what}: {found!r}, must be {wanted!r}"[:2000])


def forged(data: bytes, random: Random) -> bytes:
    """A resume token that says something else, with a checksum that fits."""
    token = ResumeToken.decode(data)
    kinds = ({"frame": token.frame + 1}, {"epoch": 9}, {"secret": bytes(16)}, {"mac": bytes(16)})
    changes: Any = random.choice(kinds)
    return ResumeToken(**{**token.__dict__, **changes}).encode()
