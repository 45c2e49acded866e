"""The board of a real run: the queries of its panels over two minutes of a real server, drawn as Grafana would."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "deploy"))

import rules
from causes import repeated
from load import BOX, load, photograph

import boards
import outside_programs
from exalign_client import Client, local_server
from prometheus import Prometheus, prometheus

#: Seconds: one caller, three more, a crowd that is too much, and one again.
PHASES = (30.0, 30.0, 20.0, 30.0)

#: Callers of the crowd.
CROWD = 40

#: Grafana's variables in the picture.
VARIABLES = {"$__rate_interval": "8s", "$job": "exalign", "$instance": ".*"}

#: How a unit's numbers are shown: factor and sign.
UNITS = {"s": (1e3, "ms"), "bytes": (2**-20, "MiB"), "Bps": (2**-10, "KiB/s"), "percentunit": (100.0, "%"),
         "reqps": (1.0, "/s"), "cps": (1.0, "/s"), "short": (1.0, "")}  # fmt: skip

#: Most lines of a legend.
MOST = 7


@contextmanager
def crowd(address: str) -> Iterator[None]:
    """More calls than can be answered in time."""
    jpeg = bytes(cv2.imencode(".jpg", photograph()[..., ::-1])[1])
    with Client(address) as client, repeated(lambda: client.predict(jpeg, [BOX], timeout=0.3), 0.0, CROWD):
        yield


def run(address: str) -> None:
    """All phases."""
    first, second, third, fourth = PHASES
    with load(address):
        time.sleep(first)
        with ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(load(address))
            time.sleep(second)
        with crowd(address):
            time.sleep(third)
        time.sleep(fourth)


def series(running: Prometheus, panel: boards.Panel, start: float, end: float) -> Iterator[tuple[str, Any, Any]]:
    """Name, times and values of every line of a panel."""
    for query in panel.queries:
        text = query.text
        for variable, value in VARIABLES.items():
            text = text.replace(variable, value)
        for found in running.range(rules.faster_text(text) if ":exalign" in text else text, start, end, 1.0):
            name = query.legend or "value"
            for label, value in found["metric"].items():
                name = name.replace(f"{{{{{label}}}}}", value[:18])
            points = np.array([(float(t), float(v)) for t, v in found["values"]])
            yield name, points[:, 0] - start, points[:, 1]


def draw(path: Path, where: str) -> None:
    """Run, and write the picture.

    Args:
        path: of the PNG.
        where: the machine, for the picture's title.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary, ExitStack() as stack:
        folder = Path(temporary)
        (folder / "keys").write_text("ab" * 32)
        redis = stack.enter_context(outside_programs.redis(folder))
        flags = ("--store", redis, "--resume-keys", str(folder / "keys"), "--record-sessions", temporary)
        server = stack.enter_context(local_server(tcp=True, arguments=flags))
        running = stack.enter_context(
            prometheus(folder, [server.metrics_address], rules.faster_rules("1s"), scrape="1s")
        )
        start = time.time()
        run(server.address)
        end = time.time()
        figure = _figure({
            title: [(panel, list(series(running, panel, start, end))) for panel in panels]
            for title, panels in boards.ROWS.items()
        }, where)  # fmt: skip
        figure.savefig(path, dpi=64)
        plt.close(figure)


def _figure(rows: dict[str, list[tuple[boards.Panel, list[tuple[str, Any, Any]]]]], where: str) -> Any:
    lines = sum(-(-len(panels) // 3) for panels in rows.values())
    figure = plt.figure(figsize=(17, 3.0 * lines + 1), layout="constrained", facecolor="white")
    figure.suptitle(f"deploy/grafana/exalign.json over a real run\n{where}", fontsize=12)
    grid = figure.add_gridspec(lines, 3)
    place = 0
    for title, panels in rows.items():
        for i, (panel, drawn) in enumerate(panels):
            axes = figure.add_subplot(grid[place + i // 3, i % 3])
            _panel(axes, f"{title}: {panel.title}" if i == 0 else panel.title, panel.unit, drawn)
        place += -(-len(panels) // 3)
    return figure


def _panel(axes: Any, title: str, unit: str, drawn: list[tuple[str, Any, Any]]) -> None:
    factor, sign = UNITS[unit]
    largest = sorted(drawn, key=lambda line: -np.nanmax(np.nan_to_num(line[2]), initial=0.0))
    for name, t, value in largest:
        shown = name if name in [line[0] for line in largest[:MOST]] else None
        axes.plot(t, value * factor, linewidth=1.2, label=shown)
    axes.set_title(f"{title} [{sign}]" if sign else title, fontsize=9, loc="left")
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    axes.set_xlim(0, sum(PHASES))
    for spine in ("top", "right"):
        axes.spines[spine].set_visible(False)
    if drawn:
        axes.legend(fontsize=6, loc="upper left", framealpha=0.6)
