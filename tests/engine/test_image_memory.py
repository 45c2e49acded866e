"""A good picture for which there is no memory is never called damaged."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

#: With as much memory as it has taken, and no more: what comes of a picture of 2 megapixels as a file of each kind.
PROGRAM = """
import io, json, resource, sys
from PIL import Image
from exalign_engine.geometry.image import decode

KINDS = {
    "JPEG": {}, "JPEG in scans": {"progressive": True}, "PNG": {}, "BMP": {}, "WEBP": {},
    "WEBP without loss": {"lossless": True, "method": 0}, "AVIF": {"speed": 10},
}

def encoded(name, size):
    file = io.BytesIO()
    Image.new("RGB", size, (200, 40, 90)).save(file, name.split()[0], **KINDS[name])
    return file.getvalue()

for name in KINDS:
    decode(encoded(name, (16, 16)))  # loads what decodes it
files = {name: encoded(name, (1600, 1200)) for name in KINDS}
with open("/proc/self/status") as status:
    taken = next(1024 * int(line.split()[1]) for line in status if line.startswith("VmData:"))
_, hard = resource.getrlimit(resource.RLIMIT_DATA)
found = {}
for name, data in files.items():
    resource.setrlimit(resource.RLIMIT_DATA, (taken, hard))
    try:
        decode(data)
        found[name] = "decoded"  # by memory that was free
    except Exception as e:
        found[name] = type(e).__name__
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    assert decode(data).shape == (1200, 1600, 3)
json.dump(found, sys.stdout)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux: RLIMIT_DATA and /proc")
def test_a_picture_without_memory_for_it_is_not_called_damaged() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found.values()) <= {"MemoryError", "decoded"}, found
    assert "MemoryError" in found.values()
