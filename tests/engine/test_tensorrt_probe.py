"""Looking for a GPU takes nobody down, costs little, and where there is none the reason is one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from exalign_engine.bundle.bundle import default_bundle_path
from exalign_engine.errors import RuntimeUnavailableError
from exalign_engine.runtime import create_runtime
from exalign_engine.runtime.tensorrt import modules
from exalign_engine.runtime.tensorrt.modules import FLAVOURS, load_module, missing_packages
from exalign_engine.runtime.tensorrt.probe import Device, find_devices, require_device

NETWORK = default_bundle_path() / "network.onnx"

needs_no_gpu = pytest.mark.skipif(bool(find_devices().devices), reason="needs a machine without a GPU")
needs_cuda_bindings = pytest.mark.skipif(
    "cuda.bindings" in missing_packages(FLAVOURS["tensorrt-rtx"]), reason="needs cuda-bindings (extra 'tensorrt-rtx')"
)

#: Processor time of children that have ended, in `os.times`.
CHILDREN = ("children_user", "children_system")


def child(folder: Path, code: str) -> Path:
    script = folder / "child.py"
    script.write_text(code)
    return script


@needs_no_gpu
def test_a_machine_without_a_driver_says_so_in_half_a_second_of_work() -> None:
    before = os.times()
    probe = find_devices()
    after = os.times()
    assert probe.devices == ()
    assert probe.problem
    assert "\n" not in probe.problem
    # Work, not time: the machine may be busy with something else.
    work = sum(getattr(after, kind) - getattr(before, kind) for kind in ("user", "system", *CHILDREN))
    assert 0 < work < 0.5


def test_a_driver_that_crashes_takes_only_the_probe_with_it(tmp_path: Path) -> None:
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    assert (
        find_devices(child=child(tmp_path, crash)).problem == "the NVIDIA driver crashed the device probe (signal 11)"
    )


def test_a_driver_that_hangs_is_given_up(tmp_path: Path) -> None:
    probe = find_devices(child=child(tmp_path, "import time; time.sleep(60)"), timeout=0.5)
    assert probe.problem == "the NVIDIA driver did not answer within 0.5 s"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("raise OSError('no such thing')", "the device probe failed: OSError: no such thing"),
        ("print('not json')", "the device probe failed: exit code 0"),
        ("print('{}')", "the device probe failed: exit code 0"),
        ("print('[]')", "the device probe failed: exit code 0"),
        ("""print('{"devices": [{}]}')""", "the device probe failed: exit code 0"),
    ],
)
def test_a_probe_that_fails_otherwise_is_told_too(tmp_path: Path, code: str, problem: str) -> None:
    assert find_devices(child=child(tmp_path, code)).problem == problem


def test_devices_are_read_from_the_answer(tmp_path: Path) -> None:
    entry = {"index": 0, "name": "H100", "compute_capability": [9, 0], "memory": 80 << 30}
    probe = find_devices(child=child(tmp_path, f"print({json.dumps(json.dumps({'devices': [entry]}))})"))
    assert probe.devices == (Device(0, "H100", (9, 0), 80 << 30),)
    assert str(probe.devices[0]) == "GPU 0 (H100, sm_90)"


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "find_spec", lambda name: None)
    with pytest.raises(RuntimeUnavailableError) as e:
        require_device("tensorrt")
    assert str(e.value) == (
        "runtime tensorrt: not installed: tensorrt, onnx, cuda.bindings; "
        "pip install 'exalign[serve,tensorrt]' --extra-index-url https://pypi.nvidia.com"
    )


@needs_no_gpu
@needs_cuda_bindings
def test_tensorrt_rtx_without_a_driver_is_one_line() -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx (extra 'tensorrt-rtx')")
    with pytest.raises(RuntimeUnavailableError, match=r"^runtime tensorrt-rtx: .") as e:
        create_runtime("tensorrt-rtx", NETWORK)
    assert "\n" not in str(e.value)


@needs_no_gpu
def test_auto_in_half_precision_does_not_fall_back_to_a_cpu() -> None:
    with pytest.raises(
        RuntimeUnavailableError, match=r"^precision fp16: no TensorRT \(.+\), and a CPU takes fp32 or int8$"
    ):
        create_runtime("auto", NETWORK, precision="fp16")


@needs_no_gpu
def test_auto_falls_back_and_says_why() -> None:
    runtime = create_runtime("auto", NETWORK)
    assert runtime.name == "openvino"
    assert runtime.reason.startswith("auto: no TensorRT (")
    assert "; OpenVINO is installed" in runtime.reason
    runtime.close()


def test_a_version_that_is_too_old_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt.py").write_text("__version__ = '10.9.0'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(RuntimeUnavailableError, match=r"tensorrt is 10\.9\.0, must be 11 or newer"):
        load_module(FLAVOURS["tensorrt"])
    monkeypatch.delitem(sys.modules, "tensorrt")


@needs_no_gpu
@needs_cuda_bindings
def test_without_a_driver_nothing_of_tensorrt_is_even_imported(tmp_path: Path) -> None:
    """The real runtime segfaults without a driver: it must not be reached, by any name."""
    pytest.importorskip("tensorrt_lean", reason="needs tensorrt-lean (extra 'tensorrt-lean')")
    (tmp_path / "tensorrt.py").write_text("import os; os._exit(77)\n")
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from exalign_engine.errors import RuntimeUnavailableError\n"
        "from exalign_engine.runtime import create_runtime\n"
        f"network = Path({str(NETWORK)!r})\n"
        "try: create_runtime('tensorrt', network)\n"
        "except RuntimeUnavailableError as e: print(e)\n"
        "print(create_runtime('auto', network).name)\n"
        "assert not {'tensorrt', 'tensorrt_rtx', 'tensorrt_lean'} & set(sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False, env=environment
    )
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.strip().splitlines()
    assert first.startswith("runtime tensorrt: ")
    assert "driver" in first
    assert second == "openvino"
