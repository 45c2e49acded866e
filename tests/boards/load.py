"""Calls of every kind to a real server, at a modest pace, until told to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_client import Click, Client, DeadlineError, ExalignClientError, ServerBusyError, TrackFrame

#: Where the astronaut's face is in her photograph.
BOX = (160.0, 50.0, 300.0, 190.0)

#: Seconds between two rounds.
PAUSE = 0.1


def photograph() -> NDArray[np.uint8]:
    """(512, 512, 3) RGB; scikit-image's astronaut, public domain."""
    data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(data.astronaut())


def round_of_calls(client: Client, jpeg: bytes, damaged: bytes) -> None:
    """Every method once, wrong calls among them."""
    client.predict(jpeg)
    client.predict(jpeg, [BOX])
    client.heatmaps(jpeg, [BOX])
    client.pose(jpeg, [BOX])
    answer = client.condition(jpeg, [Click("nose_tip", 228, 128)], box=BOX)
    client.suggest(posterior_id=answer.face.posterior_id)
    with suppress(ExalignClientError):
        client.predict(damaged, [BOX])
    frames = [TrackFrame(jpeg, boxes=[BOX])] + [TrackFrame(jpeg)] * 3
    for _ in client.track(frames):
        pass


@contextmanager
def load(address: str) -> Iterator[list[str]]:
    """Keep calling for the length of the block; yields what went wrong."""
    picture = photograph()
    jpeg = bytes(cv2.imencode(".jpg", picture[..., ::-1])[1])
    stop, wrong = threading.Event(), list[str]()

    def work() -> None:
        try:
            with Client(address) as client:
                client.wait_ready(120)
                while not stop.is_set():
                    with suppress(ServerBusyError, DeadlineError):  # the machine may be busy with other things
                        round_of_calls(client, jpeg, jpeg[:2000])
                    time.sleep(PAUSE)
        except Exception as e:  # noqa: BLE001 whatever it is, the test says so
            wrong.append(repr(e))

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield wrong
    finally:
        stop.set()
        worker.join(120)
