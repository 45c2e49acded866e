"""Makes a virtual environment for each peer.

python -m benchmarks.peers.environments

Their requirements contradict ours and one another's (MediaPipe wants numpy below 2), so nothing of theirs is ever
installed beside the project. They go to EXALIGN_PEERS, or to a folder here that git does not see.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent

#: Each has its requirements in NAME.txt and answers by NAME_worker.py.
PEERS = ("dlib", "mediapipe")


def folder() -> Path:
    """Where the environments are."""
    return Path(os.environ.get("EXALIGN_PEERS", HERE / ".environments"))


def python(peer: str) -> Path:
    """The interpreter of a peer's environment.

    Raises:
        FileNotFoundError: the environment has not been made, or is of other requirements.
    """
    made = folder() / peer / "requirements.txt"
    if not made.is_file() or made.read_text() != (HERE / f"{peer}.txt").read_text():
        raise FileNotFoundError(f"no environment for {peer}: run python -m benchmarks.peers.environments")
    return folder() / peer / "bin" / "python"


def make(peer: str) -> None:
    """Make a peer's environment anew.

    Raises:
        subprocess.CalledProcessError: its packages cannot be installed.
    """
    home = folder() / peer
    home.parent.mkdir(parents=True, exist_ok=True)
    (home.parent / ".gitignore").write_text("*\n")
    venv.create(home, with_pip=True, clear=True)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--requirement", str(HERE / f"{peer}.txt")], check=True)
    # Last, so that an environment that was not finished is not taken for one.
    shutil.copyfile(HERE / f"{peer}.txt", home / "requirements.txt")


def main() -> int:
    for peer in PEERS:
        try:
            print(f"{peer}: {python(peer)}")
        except FileNotFoundError:
            print(f"{peer}: making its environment in {folder() / peer}", file=sys.stderr)
            make(peer)
            print(f"{peer}: {python(peer)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
