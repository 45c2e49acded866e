"""Every block of README and docs that can run here does, against a real server; each other one says where it runs.

    make documented

`make wheels` runs them again as a new user would: from wheels, in fresh environments, and it trains.
"""

from __future__ import annotations

import importlib
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from documented_commands import ROOT, Documented, commands, documents, python_blocks
from exalign_client.commands import cli
from exalign_client.transport.local_server import LocalServer
from install.inputs import make_inputs

#: What runs elsewhere, by a part of it: where.
ELSEWHERE = {
    "make demo": ".ci/run",
    "make test": ".ci/run",
    "make chaos": ".ci/run: the short form",
    "buf curl": "tests/e2e/test_e2e_foreign_client.py",
    "request.json": "tests/e2e/test_e2e_foreign_client.py",
    "--tls-cert": "tests/service/test_service_tls.py",
    "--store redis": "tests/service/test_service_store_redis.py, tests/chaos",
    "exalign-server serve --bundle my-bundle": "make wheels",
    "exalign-model train": "make wheels",
    "exalign-model quantise": "make wheels",
    "exalign-model calibrate": "make wheels",
    "exalign-model evaluate --protocol 300vw": "nowhere: needs its owners' data set",
    "build-engine": "nowhere: needs TensorRT",
    "--runtime tensorrt": "nowhere: needs a GPU",
    "CUDA_VISIBLE_DEVICES": "nowhere: needs a GPU",
    "test-gpu": "nowhere: needs a GPU",
    "benchmarks.gpu": "tests/benchmarks/test_gpu_run.py, tests/benchmarks/test_gpu_teacher.py: with toy sizes",
    "exalign-model track-files": "tests/offline; with Ray: make ray",
    "docker": "nowhere: needs Docker",
    "exalign annotate": "tests/page: make page",
    "pip install": "make wheels: from wheels",
    "tritonclient": "make open-inference",
    "exalign-server serve": "tests/e2e/conftest.py: so the server of these tests is started",
}


def where_else(text: str) -> str:
    """Where a block runs; empty: here."""
    return next((place for part, place in ELSEWHERE.items() if part in text), "")


LINES = list({c.text: c for path in documents() for c in commands(path) if c.in_block}.values())
HERE = [command for command in LINES if not where_else(command.text)]
BLOCKS = [(path, i, block) for path in documents() for i, block in enumerate(python_blocks(path))]
BLOCKS_HERE = [block for block in BLOCKS if not where_else(block[2])]


def names(value: object) -> str | None:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else None


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photo.jpg, clip.mp4 and what else the documents name."""
    pytest.importorskip("skimage.data")
    folder = tmp_path_factory.mktemp("documented")
    make_inputs(folder, ROOT)
    return folder


@pytest.fixture
def there(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(inputs)
    return inputs


def test_most_lines_and_blocks_run_here() -> None:
    assert len(HERE) >= 12
    assert len(BLOCKS_HERE) >= 8


def test_places_named_are_there() -> None:
    """A test file that is named exists, a target too; and nothing is excused that is not in the documents."""
    for part, place in ELSEWHERE.items():
        assert any(part in command.text for command in LINES) or any(part in block for _, _, block in BLOCKS), part
        for path in re.findall(r"tests/[\w/]+(?:\.py)?", place):
            assert (ROOT / path).exists(), path
        for target in re.findall(r"make ([a-z-]+)", place):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE), target


@pytest.mark.parametrize("command", HERE, ids=str)
def test_a_documented_line_runs(command: Documented, there: Path, server: LocalServer) -> None:
    words = command.ours
    assert words is not None, "no program of ours, and no place where it runs"
    program, *arguments = words
    if program == "exalign":
        asks_none = arguments[0] == "convert"
        assert cli.main([*arguments, *([] if asks_none else ["--server", server.address])]) == 0
    else:
        module = {"exalign-server": "exalign_service.entry", "exalign-model": "exalign_engine.cli"}[program]
        main: Callable[[list[str]], int] = importlib.import_module(module).main
        assert main(arguments) == 0


@pytest.mark.parametrize(("path", "number", "block"), BLOCKS_HERE, ids=names)
def test_a_documented_block_of_python_runs(
    path: Path, number: int, block: str, there: Path, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = io.StringIO()
    monkeypatch.setattr(sys, "stdout", said)
    frames = [np.full((240, 320, 3), 90, np.uint8)] * 3
    code = compile(block.replace("localhost:50051", server.address), f"{path.name}, block {number}", "exec")
    exec(code, {"frames": frames, "__name__": "documented"})
    assert "Traceback" not in said.getvalue()
