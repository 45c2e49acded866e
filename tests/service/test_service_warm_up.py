"""What a start makes ready, and what it gives back."""

from __future__ import annotations

import json
import mmap
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from exalign_engine.tables.store import WORTH_KEEPING, Tables
from exalign_service.models.freed_memory import give_memory_back, unwritten_file_mappings

HERE = Path(__file__).parent

SMAPS = """\
55d0c0000000-55d0c0001000 r--p 00000000 fe:00 17                         /usr/bin/python3.11
Anonymous:             0 kB
7f0000000000-7f0000004000 r-xp 00001000 fe:00 18                         /usr/lib/libfirst.so
Rss:                  16 kB
Anonymous:             0 kB
7f0000004000-7f0000005000 r--p 00005000 fe:00 18                         /usr/lib/libfirst.so
Anonymous:             4 kB
7f0000005000-7f0000006000 rw-p 00006000 fe:00 18                         /usr/lib/libfirst.so
Anonymous:             0 kB
7f0000006000-7f0000007000 r--p 00000000 00:00 0
Anonymous:             0 kB
7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
"""


def resident(file: Path) -> int:
    """Pages of a file that this process holds, kB."""
    lines = Path("/proc/self/smaps").read_text("ascii", "replace").splitlines()
    start = next(i for i, line in enumerate(lines) if line.endswith(f" {file}"))
    return next(int(line.split()[1]) for line in lines[start:] if line.startswith("Rss:"))


def test_after_a_warm_up_no_kernel_is_made_for_a_caller(tmp_path: Path) -> None:
    child = [sys.executable, str(HERE / "warm_up_child.py"), str(tmp_path)]
    done = subprocess.run(child, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["warm"] > 10
    assert found["added"] == []


def test_only_mappings_of_files_that_nobody_wrote_to_are_given_back() -> None:
    assert list(unwritten_file_mappings(SMAPS)) == [(0x55D0C0000000, 0x1000), (0x7F0000000000, 0x4000)]


TABLES = """\
7f0000004000-7f0000005000 rw-p 00005000 fe:00 18                         /cache/exalign/tables/b/a table.npy
Anonymous:             0 kB
7f0000005000-7f0000006000 rw-p 00006000 fe:00 19                         /cache/exalign/tables/b/written.npy
Anonymous:             4 kB
7f0000006000-7f0000007000 rw-p 00000000 fe:00 20                         /cache/exalign/other.npy
Anonymous:             0 kB
"""


def test_tables_are_given_back_although_they_could_be_written_to() -> None:
    assert list(unwritten_file_mappings(TABLES, Path("/cache/exalign/tables"))) == [(0x7F0000004000, 0x1000)]
    assert list(unwritten_file_mappings(TABLES)) == []


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
def test_a_mapped_table_is_given_back_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    rows = np.arange(WORTH_KEEPING * 2, dtype=np.float32)
    tables = Tables.of_bundle("a" * 64, WORTH_KEEPING)
    mapped = tables.arrays("rows", {"rows": (np.float32, rows.shape)}, lambda: {"rows": rows})["rows"]
    assert tables.folder is not None
    assert mapped.sum() == rows.sum()
    file = tables.folder / "rows.rows.npy"
    assert resident(file) > 0
    give_memory_back()
    assert resident(file) == 0
    assert np.array_equal(mapped, rows)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
def test_pages_of_a_file_are_given_back_and_read_again(tmp_path: Path) -> None:
    file, content = tmp_path / "pages", bytes(range(256)) * 4096
    file.write_bytes(content)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as pages:
        assert pages[:] == content
        assert resident(file) == len(content) // 1024
        give_memory_back()
        assert resident(file) == 0
        assert pages[:] == content
