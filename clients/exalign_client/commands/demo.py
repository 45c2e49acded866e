"""A real face through a real socket: ``python -m exalign_client.commands.demo --out DIR``.

Starts a server on a TCP port, sends it scikit-image's photograph of the astronaut Eileen Collins (NASA,
public domain), prints the landmarks, draws them, and shows the latencies on the server's ``/metrics`` page.
Needs the extra ``demo``.
"""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from exalign.cli_support import OneLineParser, report
from exalign.output_files import report_written
from exalign_client.calls.sync import Client
from exalign_client.commands.histograms import draw_histogram, parse_histograms
from exalign_client.commands.tables import landmark_table, prediction_summary
from exalign_client.commands.terminal import run_client_command
from exalign_client.errors import InternalServerError, MissingExtraError
from exalign_client.opencv import require_opencv
from exalign_client.pictures.overlay import draw_overlay, write_picture
from exalign_client.transport.local_server import LocalServer, local_server

_MORE_CALLS = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration.

    Args:
        argv: arguments without the program's name; None: those of this process.

    Returns:
        The exit code: 0 done, 1 failed.
    """
    parser = OneLineParser(
        prog="python -m exalign_client.commands.demo", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory for astronaut.png")
    arguments = parser.parse_args(argv)
    return run_client_command("demo", lambda: _demonstrate(arguments.out))


def _demonstrate(out: Path) -> int:
    photograph = _astronaut_jpeg()
    out.mkdir(parents=True, exist_ok=True)
    report("demo: starting a server")
    with local_server(tcp=True) as server, Client(server.address) as client:
        client.wait_ready()
        model = client.model()
        runtime = model.runtime
        print(f"server at {server.address}: {model.exemplars} exemplars, {runtime.name} {runtime.precision}")
        prediction = client.predict(photograph)
        print(f"astronaut: {prediction_summary(prediction)}\n")
        if not prediction:
            raise InternalServerError("no face was found in a photograph that shows one")
        print(landmark_table(prediction[0], model.landmark_names))
        picture = out / "astronaut.png"
        pixels = draw_overlay(photograph, prediction, presence_threshold=model.presence_threshold)
        write_picture(picture, pixels)
        report_written("demo", picture)
        print(f"\noverlay (ellipses hold 90 % of each landmark): {picture}\n")
        report(f"demo: {_MORE_CALLS} more calls")
        for _ in range(_MORE_CALLS):
            client.predict(photograph)
        _print_latencies(server)
    return 0


def _astronaut_jpeg() -> bytes:
    cv2 = require_opencv()
    try:
        from skimage import data
    except ImportError:
        raise MissingExtraError("the photograph of the demonstration", "demo") from None
    encoded: bytes = cv2.imencode(".jpg", data.astronaut()[..., ::-1])[1].tobytes()
    return encoded


def _print_latencies(server: LocalServer) -> None:
    url = f"http://{server.metrics_address}/metrics"
    # No proxy of the environment lies between us and our own machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as page:
        text = page.read().decode("utf-8")
    print(f"latencies from {url}\n")
    for name, label in (("grpc_server_handling_seconds", "grpc_method"), ("exalign_stage_seconds", "stage")):
        for histogram in parse_histograms(text, name):
            if histogram.count:
                print(draw_histogram(f"{name} {histogram.labels.get(label, '')}", histogram), end="\n\n")


if __name__ == "__main__":
    sys.exit(main())
