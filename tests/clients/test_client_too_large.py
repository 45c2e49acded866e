"""What the client advises where a message is too large: it depends on whose message it is."""

from __future__ import annotations

import grpc
import pytest

from exalign_client import MessageTooLargeError
from exalign_client.errors import error_from_rpc


class Refused(grpc.RpcError):
    """A failed call without details."""

    def __init__(self, details: str) -> None:
        self._details = details

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.RESOURCE_EXHAUSTED

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> tuple[()]:
        return ()


@pytest.mark.parametrize(
    "text",
    [
        "SERVER: Received message larger than max (9437192 vs. 8454144)",
        "message: its 9,437,192 bytes are larger than max_message_bytes = 8,454,144",
        "Received message larger than max (9437192 vs. 8454144)",
    ],
)
def test_a_request_is_made_smaller_by_its_picture(text: str) -> None:
    error = error_from_rpc(Refused(text), "here")
    assert isinstance(error, MessageTooLargeError)
    assert str(error) == f"{text}: send an encoded JPEG or PNG file, or a smaller picture"


def test_an_answer_is_made_smaller_by_what_is_asked() -> None:
    error = error_from_rpc(Refused("CLIENT: Received message larger than max (89161600 vs. 67108864)"), "here")
    assert isinstance(error, MessageTooLargeError)
    assert "fewer faces" in str(error)
    assert "picture" not in str(error)
