"""More causes of alerts: stores, disks, files, bundles, restarts; and all stands by name."""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import cv2

sys.path.insert(0, str(Path(__file__).parents[1] / "service"))

from causes import Lasting, Stand, guarded, overloaded, repeated, slow, track
from load import BOX, photograph
from rules import FASTER

import outside_programs
from drawn_bundles import write_bundle
from exalign_client import Client, ExalignClientError, TrackFrame, local_server
from exalign_engine import default_bundle_path
from faulty_process import faulty_server
from service_fakes import GOOD_BOX, encoded, request

#: In the astronaut's photograph: her face, and a flag.
FACE, NO_FACE = BOX, (10.0, 10.0, 130.0, 130.0)


@contextmanager
def stored(folder: Path) -> Iterator[Stand]:
    """With Redis, which dies under videos that go on."""
    keys, port = folder / "keys", outside_programs.free_port()
    keys.write_text("ab" * 32)
    redis = outside_programs.start(outside_programs.redis_command(port, folder), port)
    flags = ("--store", f"redis://127.0.0.1:{port}", "--resume-keys", str(keys))
    try:
        with faulty_server(*flags) as it:
            track(it.address)

            def away() -> Iterator[None]:
                picture, stop = encoded(), threading.Event()

                def frames() -> Iterator[TrackFrame]:
                    yield TrackFrame(picture, boxes=[GOOD_BOX])
                    while not stop.wait(0.1):
                        yield TrackFrame(picture)

                def read_on() -> None:
                    with suppress(ExalignClientError), Client(it.address) as client:
                        for _ in client.track(frames()):
                            pass

                worker = threading.Thread(target=read_on)
                worker.start()
                redis.kill()
                redis.wait(30)
                try:
                    yield
                finally:
                    stop.set()
                    it.end()
                    worker.join(120)

            yield Stand(
                [it.metrics_address], [(("ExalignStoreAway", "ExalignCheckpointsFail", "ExalignSessionsBehind"), away)]
            )
    finally:
        redis.kill()
        redis.wait(30)


@contextmanager
def writing(folder: Path) -> Iterator[Stand]:
    """Recordings beyond their bound, and a disk that takes nothing; states of broken streams without room."""
    recorded = folder / "recorded"
    recorded.mkdir()
    flags = ("--record-sessions", str(recorded), "--record-max-bytes", "60000", "--max-detached-bytes", "1")
    with faulty_server(*flags) as it:

        def beyond() -> Iterator[None]:
            with repeated(lambda: track(it.address)):
                yield

        def full_disk() -> Iterator[None]:
            resource.prlimit(it.pid, resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
            with repeated(lambda: track(it.address)):
                yield
            resource.prlimit(it.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        def broken() -> Iterator[None]:
            picture = encoded()

            def leave() -> None:
                with Client(it.address) as client:
                    next(iter(client.track(TrackFrame(picture, boxes=[GOOD_BOX]) for _ in range(1000))))

            with repeated(leave):
                yield

        causes: list[tuple[tuple[str, ...], Lasting]] = [
            (("ExalignDiskFull",), full_disk),
            (("ExalignRecordingsStopped",), beyond),
            (("ExalignSessionsLost",), broken),
        ]
        yield Stand([it.metrics_address], causes)


@contextmanager
def worn(folder: Path) -> Iterator[Stand]:
    """Its bundle is removed, its decoders die, and it has no descriptor left."""
    place = folder / "place"
    place.mkdir()
    before, os.environ["TMPDIR"] = os.environ.get("TMPDIR"), str(place)
    with ExitStack() as stack:
        try:
            it = stack.enter_context(faulty_server())
        finally:
            os.environ.pop("TMPDIR") if before is None else os.environ.update(TMPDIR=before)

        def removed() -> Iterator[None]:
            for manifest in place.rglob("manifest.json"):
                manifest.unlink()
            yield

        def decoders() -> Iterator[None]:
            from injected_faults import LARGE_PICTURE

            def kill() -> None:
                for child in Path(f"/proc/{it.pid}/task/{it.pid}/children").read_text().split():
                    with suppress(ProcessLookupError):
                        os.kill(int(child), 9)

            with repeated(lambda: it.call(request(GOOD_BOX, data=LARGE_PICTURE))), repeated(kill, pause=0.3):
                yield

        def no_descriptor() -> Iterator[None]:
            limit = len(list(Path(f"/proc/{it.pid}/fd").iterdir())) + 8
            resource.prlimit(it.pid, resource.RLIMIT_NOFILE, (limit, limit))
            host, port = it.address.rsplit(":", 1)
            with ExitStack() as open_ones:
                for _ in range(12):
                    open_ones.enter_context(socket.create_connection((host, int(port)), timeout=60))
                with repeated(lambda: it.ask("/readyz")):
                    yield

        causes: list[tuple[tuple[str, ...], Lasting]] = [
            (("ExalignBundleMissing",), removed),
            (("ExalignDecodersFail",), decoders),
            (("ExalignDescriptorsExhausted",), no_descriptor),
        ]
        yield Stand([it.metrics_address], causes)


@contextmanager
def bundles(folder: Path) -> Iterator[Stand]:
    """Another bundle that is damaged, and then one whose regions hold less than they state."""
    write_bundle(folder / "good", 1)
    write_bundle(folder / "damaged", 2)
    (folder / "damaged" / "exemplars.npz").write_bytes(b"nothing")
    card = json.loads((default_bundle_path() / "calibration.json").read_text("utf-8"))["card"]
    for row in card["coverage"]:
        row["observed"] *= 0.8
    write_bundle(folder / "narrow", 3, card=card)
    link = folder / "current"
    link.symlink_to("good")

    def lead(name: str) -> None:
        (folder / "next").symlink_to(name)
        (folder / "next").replace(link)

    with local_server(tcp=True, arguments=("--bundle-directory", str(folder))) as it:

        def damaged() -> Iterator[None]:
            lead("damaged")
            yield

        def narrow() -> Iterator[None]:
            lead("narrow")
            yield

        causes: list[tuple[tuple[str, ...], Lasting]] = [
            (("ExalignSwapRefused",), damaged),
            (("ExalignCoverageOff",), narrow),
        ]
        yield Stand([it.metrics_address], causes)


@contextmanager
def restarted(folder: Path) -> Iterator[Stand]:
    """A server that is ended again and again, and started on the same ports."""
    port = str(outside_programs.free_port())
    with ExitStack() as stack:
        running = [stack.enter_context(faulty_server("--metrics-address", f"127.0.0.1:{port}"))]

        def again() -> Iterator[None]:
            def start() -> None:
                running.pop().end()
                running.append(stack.enter_context(faulty_server("--metrics-address", f"127.0.0.1:{port}")))

            with repeated(start):
                yield

        yield Stand([f"127.0.0.1:{port}"], [(("ExalignRestarts",), again)], faster=12.0)


@contextmanager
def drifting(folder: Path) -> Iterator[Stand]:
    """The real model, which is sent a face for an hour of its rules, and then pieces without one."""
    jpeg, box = bytes(cv2.imencode(".jpg", photograph()[..., ::-1])[1]), [FACE]
    with local_server(tcp=True) as it, Client(it.address) as client:
        client.wait_ready(120)

        def other() -> Iterator[None]:
            box[0] = NO_FACE
            yield

        with repeated(lambda: client.predict(jpeg, [box[0]])):
            yield Stand([it.metrics_address], [(("ExalignPresenceDrifts",), other)], healthy=3600 / FASTER)


_ALL = (overloaded, guarded, slow, stored, writing, worn, bundles, restarted, drifting)
STANDS = {stand.__name__: stand for stand in _ALL}
