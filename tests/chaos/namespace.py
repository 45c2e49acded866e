"""A network namespace for one server, whose link to all others can be cut while it works on. Needs root and `ip`."""

from __future__ import annotations

import os
import shutil
import subprocess

#: Addresses of either side, of the networks that are for tests of devices (RFC 2544).
OUTSIDE, INSIDE = "198.18.213.1", "198.18.213.2"


class Namespace:
    """One namespace and its link; there is one on a machine at a time."""

    name, link = f"exalign-{os.getpid()}", f"ex{os.getpid()}"

    @staticmethod
    def possible() -> bool:
        """Whether it can be made here: with all rights, and where only the default route leads to the addresses."""
        if shutil.which("ip") is None or os.geteuid() != 0:
            return False
        routes = subprocess.run(["ip", "route", "show", "match", OUTSIDE], capture_output=True, text=True, timeout=30)
        return all(line.startswith("default") for line in routes.stdout.splitlines())

    def __init__(self) -> None:
        peer = f"{self.link}p"
        _ip("netns", "add", self.name)
        try:
            _ip("link", "add", self.link, "type", "veth", "peer", "name", peer, "netns", self.name)
            _ip("addr", "add", f"{OUTSIDE}/30", "dev", self.link)
            _ip("link", "set", self.link, "up")
            for words in (("addr", "add", f"{INSIDE}/30", "dev", peer), ("link", "set", peer, "up")):
                _ip("-n", self.name, *words)
            _ip("-n", self.name, "link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    def command(self, command: list[str]) -> list[str]:
        """The same command, inside."""
        return ["ip", "netns", "exec", self.name, *command]

    def cut(self) -> None:
        """Nothing passes any more, and nobody is told."""
        _ip("-n", self.name, "link", "set", f"{self.link}p", "down")

    def mend(self) -> None:
        """All passes again."""
        _ip("-n", self.name, "link", "set", f"{self.link}p", "up")

    def close(self) -> None:
        """Remove it."""
        _ip("netns", "del", self.name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=30)
