"""What really causes alerts: servers as processes, and what is done to each. See `stands` for more of them.

Each cause begins with a healthy server; its block is left once the alert has fired.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).parents[1] / "service"))


from rules import FASTER

import faulty_server as does
from access_fakes import Authority
from exalign.v1 import service_pb2_grpc
from exalign_client import Client, ExalignClientError, TrackFrame
from exalign_service.access.static_tokens import new_token
from faulty_process import OWN, faulty_server
from service_fakes import GOOD_BOX, encoded, request
from token_fakes import PREDICT, bearer

#: Runs while its cause lasts.
Lasting = Callable[[], Iterator[None]]


@dataclass(frozen=True)
class Stand:
    """A healthy server and how to break it.

    Attributes:
        pages: host:port of what Prometheus scrapes.
        causes: what is done one after the other, with the alerts that must fire while it lasts.
        healthy: seconds before the first of them.
        faster: how much faster time passes in the rules; less where what is done takes long.
    """

    pages: Sequence[str]
    causes: Sequence[tuple[tuple[str, ...], Lasting]]
    healthy: float = 0.0
    faster: float = FASTER


@contextmanager
def repeated(step: Callable[[], object], pause: float = 0.05, threads: int = 1) -> Iterator[None]:
    """Do something again and again for the length of the block, whatever comes of it."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            with suppress(grpc.RpcError, ExalignClientError, OSError):
                step()
            stop.wait(pause)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        stop.set()
        for worker in workers:
            worker.join(120)


def track(address: str, frames: int = 5, size: int = 0) -> None:
    """One short video."""
    picture = encoded()
    with Client(address) as client:
        for _ in client.track([TrackFrame(picture, boxes=[GOOD_BOX]), *[TrackFrame(picture)] * frames]):
            pass


@contextmanager
def overloaded(folder: Path) -> Iterator[Stand]:
    """Few calls at once, and a network that raises, or that never answers."""
    flags = ("--queue", "4", "--max-faces", "4", "--stuck-after", "600", "--max-deadline", "600", "--max-wait", "300")
    with faulty_server(*flags) as it:

        def raises() -> Iterator[None]:
            it.want(does.RAISES)
            with repeated(it.call):
                yield
            it.want("")

        def undecodable() -> Iterator[None]:
            with repeated(lambda: it.call(request(GOOD_BOX, data=b"no picture at all"))):
                yield

        def full() -> Iterator[None]:
            it.want(does.HANGS)
            with grpc.insecure_channel(it.address, OWN) as channel:  # one caller: each has room for one call at least
                stub = service_pb2_grpc.FaceAlignmentServiceStub(channel)
                with repeated(lambda: stub.PredictLandmarks(request(GOOD_BOX), timeout=300), threads=8):
                    yield
                    it.want("")

        def gone() -> Iterator[None]:
            it.end()
            yield

        it.call()
        causes: list[tuple[tuple[str, ...], Lasting]] = [
            (("ExalignRuntimeFaults", "ExalignFaults"), raises),
            (("ExalignUndecodable",), undecodable),
            (("ExalignNearBound", "ExalignRefusing"), full),
            (("ExalignDown",), gone),
        ]
        yield Stand([it.metrics_address], causes)


@contextmanager
def guarded(folder: Path) -> Iterator[Stand]:
    """With TLS and tokens: callers without one, a wrong file, and certificates that end."""
    authority, tokens = Authority(), folder / "tokens"
    pair = authority.issue(ends=timedelta(days=90)).write(folder)
    tokens.write_text("# nobody\n")
    flags = ("--tls-cert", str(pair[0]), "--tls-key", str(pair[1]), "--token-file", str(tokens))
    with faulty_server(*flags) as it:
        token, _ = new_token("nobody", PREDICT, math.inf)

        def ask() -> None:
            with grpc.secure_channel(it.address, authority.trusted(), OWN) as channel:
                channel.unary_unary("/exalign.v1.FaceAlignmentService/GetModel")(b"", timeout=30, **bearer(token))

        def denied() -> Iterator[None]:
            with repeated(ask, pause=0.02):
                yield

        def wrong_file() -> Iterator[None]:
            tokens.write_text("no token\n")
            with repeated(ask):  # files are looked at when somebody calls
                yield

        def nearly() -> Iterator[None]:
            authority.issue(ends=timedelta(days=1)).write(folder)
            with repeated(ask):
                yield

        def ended() -> Iterator[None]:
            authority.issue(ends=timedelta(seconds=8)).write(folder)
            with repeated(ask):
                yield

        causes: list[tuple[tuple[str, ...], Lasting]] = [
            (("ExalignDenied",), denied),
            (("ExalignReloadRefused",), wrong_file),
            (("ExalignCertificateEnds",), nearly),
            (("ExalignCertificateEnded",), ended),
        ]
        yield Stand([it.metrics_address], causes)


@contextmanager
def slow(folder: Path) -> Iterator[Stand]:
    """A network that takes long, and then one that does not end."""
    with faulty_server("--stuck-after", "4") as it:

        def hold() -> None:
            it.want(does.HANGS)
            time.sleep(1.5)
            it.want("")
            time.sleep(0.2)

        def long_calls() -> Iterator[None]:
            with repeated(it.call, threads=2), repeated(hold):
                yield
            it.want("")

        def long_frames() -> Iterator[None]:
            with repeated(lambda: track(it.address)), repeated(hold):
                yield
            it.want("")

        def stuck() -> Iterator[None]:
            it.want(does.HANGS)
            with it.calling(deadline=300):
                yield
            it.want("")

        causes: list[tuple[tuple[str, ...], Lasting]] = [
            (("ExalignSlowCalls",), long_calls),
            (("ExalignSlowFrames",), long_frames),
            (("ExalignStuck",), stuck),
        ]
        yield Stand([it.metrics_address], causes)
