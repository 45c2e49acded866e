"""Outside libraries know what we ask of them, and do not do what we do not ask."""

from __future__ import annotations

import ast
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numba
import onnxruntime
import openvino
import pytest
from numba.core.caching import CompileResultCacheImpl
from onnxruntime.capi import onnxruntime_pybind11_state

import exalign_engine
from exalign_engine.libraries import njit as wrapped
from exalign_engine.libraries.no_telemetry import ONNX_RUNTIME_SWITCH
from tiny_onnx import tiny_network

ROOT = Path(exalign_engine.__file__).parent


def add(a: int, b: int) -> int:
    return a + b


def calls(name: str) -> Iterator[ast.Call]:
    """Every call of a function or method of this name in the engine."""
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == name:
                yield node


def test_numba_knows_every_option_of_ours() -> None:
    options = {keyword.arg: keyword.value for call in calls("njit") for keyword in call.keywords if keyword.arg}
    assert {"cache", "nogil", "fastmath"} <= set(options)
    for name, value in options.items():
        numba.njit(**{name: ast.literal_eval(value)})(add)(1, 2)


def test_numba_refuses_an_option_that_it_does_not_know() -> None:
    with pytest.raises(KeyError):
        wrapped.njit(nogill=True)(add)(1, 2)


def test_openvino_knows_every_property_of_ours() -> None:
    source = (ROOT / "runtime" / "openvino_runtime.py").read_text("utf-8")
    names = {
        key.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and str(key.value).isupper()
    }
    assert len(names) == 5
    known = openvino.Core().get_property("CPU", "SUPPORTED_PROPERTIES")
    assert names <= set(known)


def test_onnx_runtime_knows_every_option_of_ours() -> None:
    options = onnxruntime.SessionOptions()
    named = {
        target.attr
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "options"
    }
    assert {"intra_op_num_threads", "log_severity_level"} <= named
    assert named <= set(dir(options))
    library = Path(onnxruntime_pybind11_state.__file__).read_bytes()
    keys = {call.args[0].value for call in calls("add_session_config_entry") if isinstance(call.args[0], ast.Constant)}
    assert keys == {"session.disable_quant_qdq"}
    for key in (*keys, ONNX_RUNTIME_SWITCH):
        assert str(key).encode() + b"\0" in library


def test_kernels_work_where_nothing_can_be_cached(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(CompileResultCacheImpl, "_locator_classes", [])
    wrapped._say_that_nothing_is_cached.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert [wrapped.njit(cache=True)(add)(2, 3) for _ in range(2)] == [5, 5]
    (record,) = caplog.records  # once for all kernels
    assert "NUMBA_CACHE_DIR" in record.getMessage()
    assert hasattr(numba.config, "CACHE_DIR")


def test_every_kernel_is_compiled_by_way_of_the_wrapper() -> None:
    direct = [
        path.relative_to(ROOT)
        for path in ROOT.rglob("*.py")
        if "from numba import njit" in path.read_text("utf-8") or "@numba" in path.read_text("utf-8")
    ]
    assert not direct


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_a_runtime_forks_nothing_and_writes_nothing_to_the_users_home(runtime: str, tmp_path: Path) -> None:
    network = tmp_path / "network.onnx"
    network.write_bytes(tiny_network().SerializeToString())
    # The network lacks an output of ours, which is found out when the runtime has loaded it.
    code = (
        "import os, sys, pathlib\n"
        "os.register_at_fork(before=lambda: os._exit(9))\n"
        "from exalign_engine.errors import BundleError\n"
        "from exalign_engine.runtime import create_runtime\n"
        "try: create_runtime(sys.argv[1], pathlib.Path(sys.argv[2]))\n"
        "except BundleError as e: assert 'embedding' in str(e), e\n"
        "else: raise AssertionError\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "PYTHONPATH": ":".join(sys.path), "XDG_CACHE_HOME": str(home / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code, runtime, str(network)], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    written = [path for path in home.rglob("*") if path.is_file() and "numba" not in path.parts]
    assert not written
