"""Makes a virtual environment for each peer.

python -m benchmarks.peers.environments

Their requirements contradict ours and one another's (MediaPipe wants numpy below 2): see `benchmarks.environments`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.environments import Environment

HERE = Path(__file__).parent

#: Each has its requirements in NAME.txt and answers by NAME_worker.py.
PEERS = ("dlib", "mediapipe")


def environment(peer: str) -> Environment:
    """That of a peer."""
    return Environment(HERE / f"{peer}.txt", "python -m benchmarks.peers.environments")


def python(peer: str) -> Path:
    """The interpreter of a peer's environment.

    Raises:
        FileNotFoundError: the environment has not been made, or is of other requirements.
    """
    return environment(peer).python


def main() -> int:
    for peer in PEERS:
        one = environment(peer)
        print(f"{peer}: in {one.folder}", file=sys.stderr)
        print(f"{peer}: {one.ready()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
