"""Fetch the one script of others that the site brings along: mermaid, by npm, as its SHA-256 says.

python docs_site/fetch.py    into out/docs-assets; nothing is done where it is there
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE, MEMBER = "mermaid@11.12.0", "package/dist/mermaid.min.js"
SHA256 = "07e37dfa97b337ccc85365d57eddf99b9706f09db3b59b260d0333b23b343c4b"
PLACE = Path(__file__).parents[1] / "out" / "docs-assets" / "mermaid.min.js"


def is_right(data: bytes) -> bool:
    """Whether these are the bytes that were looked at."""
    return hashlib.sha256(data).hexdigest() == SHA256


def main() -> int:
    """Fetch it; 1 where it is another."""
    if PLACE.is_file() and is_right(PLACE.read_bytes()):
        return 0
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S607
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as opened:
            member = opened.extractfile(MEMBER)
            data = member.read() if member is not None else b""
    if not is_right(data):
        print(f"{PACKAGE}: {MEMBER} is not the file that was looked at", file=sys.stderr)
        return 1
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    PLACE.write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
