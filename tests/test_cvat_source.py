"""CVAT's own code is run as it was pinned, or not at all, and why is said."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from formats import cvat_source


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is named for CVAT's code, with other files in it, whose hashes are taken for the pinned ones."""
    folder = tmp_path / "own"
    pinned = []
    for number, source in enumerate(cvat_source.SOURCES):
        file = folder / source.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# {number}\n")
        pinned.append(replace(source, sha256=hashlib.sha256(file.read_bytes()).hexdigest()))
    monkeypatch.setattr(cvat_source, "SOURCES", tuple(pinned))
    monkeypatch.setenv(cvat_source.VARIABLE, str(folder))
    return folder


def test_a_named_folders_files_are_taken_and_nothing_beside_them(own: Path, tmp_path: Path) -> None:
    (own / "cvat" / "__init__.py").write_text("raise SystemExit\n")
    found = cvat_source.fetch(tmp_path)
    files = sorted(str(file.relative_to(found)) for file in found.rglob("*.py"))
    assert files == sorted(source.path for source in cvat_source.SOURCES)


def test_another_file_is_not_run_and_both_hashes_are_said(own: Path, tmp_path: Path) -> None:
    changed = cvat_source.SOURCES[1]
    (own / changed.path).write_text("# changed\n")
    with pytest.raises(cvat_source.NotRunError, match=f"bindings.py at a01a8a8f: SHA-256 is .*, not {changed.sha256}"):
        cvat_source.fetch(tmp_path)


def test_a_file_that_was_changed_after_it_was_fetched_is_not_run(own: Path, tmp_path: Path) -> None:
    (cvat_source.fetch(tmp_path) / cvat_source.SOURCES[0].path).write_text("# changed\n")
    with pytest.raises(cvat_source.NotRunError, match=r"formats/cvat\.py"):
        cvat_source.fetch(tmp_path)


def test_a_named_folder_without_the_files_is_told(own: Path, tmp_path: Path) -> None:
    (own / cvat_source.SOURCES[2].path).unlink()
    with pytest.raises(cvat_source.NotRunError, match=r"EXALIGN_CVAT_SOURCE: .*annotation\.py"):
        cvat_source.fetch(tmp_path)
