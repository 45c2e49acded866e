"""The builder builds, and is refused in words, by NVIDIA's own parser and builder: TensorRT-RTX, without a driver.

This says that the networks are accepted. It says nothing of tactics, numbers or speed on a GPU: tests/gpu does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx", reason="needs onnx (extra 'tensorrt' or 'train')")
pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx (extra 'tensorrt-rtx')")

HERE = Path(__file__).parent

#: Six large engines are built in one process; on a busy machine that takes minutes.
pytestmark = pytest.mark.timeout(1000)

#: Of the network alone, K = 143,378, and of the one that also sums over the exemplars, which is what servers build.
BUNDLES = ("bundle fp32", "bundle fp16", "bundle int8")
SUMMING = ("summing fp32", "summing fp16", "summing int8")
#: Outputs of the default bundle's network.
SCORING = ["scores", "embedding", "features", "local"]

TINY = ("tiny fp32", "tiny fp16", "tiny int8", "ahead of time")

REFUSED = {
    "transposed bytes": "engine, parse at node 'node_planes' (Transpose): ",
    "mixed types": "engine, parse at node 'node_scores' (Gemm): ",
    "custom operator": "engine, parse at node 'node_blend' (Blend): ",
    "wrong gemm": "engine, parse at node 'node_scores' (Gemm): ",
    "large top k": "engine, ",
    "other input": "engine, profile: the network's inputs are picture; must be image",
    "truncated": "engine, parse",
    "wrong side": "engine, build: ",
    "wrong options": "engine, settings: max_batch is 0, must be at least 1; ",
    "unknown capability": "engine, settings: compute_capabilities has SM90, must be of ",
    "hardware compatible": "engine, settings: TensorRT-RTX has neither hardware compatibility",
}


def build(folder: Path, *names: str) -> dict[str, dict[str, Any]]:
    """Build in a process that sees no GPU."""
    result = subprocess.run(
        [sys.executable, str(HERE / "tensorrt_build_child.py"), str(folder), *names],
        capture_output=True,
        text=True,
        timeout=840,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert result.returncode == 0, result.stderr[-2000:]
    outcomes: dict[str, dict[str, Any]] = json.loads(result.stdout.splitlines()[-1])
    return outcomes


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return build(tmp_path_factory.mktemp("bundles"), *BUNDLES, *SUMMING)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return build(tmp_path_factory.mktemp("small"), *TINY, *REFUSED)


@pytest.mark.parametrize("name", BUNDLES)
def test_the_default_bundle_with_its_head_of_143_378_is_accepted(name: str, bundles: dict[str, dict[str, Any]]) -> None:
    outcome = bundles[name]
    assert "error" not in outcome, outcome
    # The weights are in the plan, once; of an int8 network the builder stores a part otherwise.
    assert 0.9 < outcome["bytes"] / outcome["onnx"] < (1.5 if name.endswith("int8") else 1.2)


@pytest.mark.parametrize("name", SUMMING)
def test_a_network_that_sums_over_its_exemplars_is_accepted(name: str, bundles: dict[str, dict[str, Any]]) -> None:
    outcome = bundles[name]
    assert "error" not in outcome, outcome
    assert list(outcome["outputs"]) == [*SCORING, "sums"]
    # 200 MB of tables are in it; one that is read in two orders is stored twice.
    more = outcome["bytes"] - bundles[name.replace("summing", "bundle")]["bytes"]
    assert 150e6 < more < 500e6


def test_an_engine_in_half_precision_is_half_as_large(bundles: dict[str, dict[str, Any]]) -> None:
    assert bundles["bundle fp16"]["bytes"] < 0.55 * bundles["bundle fp32"]["bytes"]


@pytest.mark.parametrize("name", TINY)
def test_every_precision_of_a_small_network_is_accepted(name: str, small: dict[str, dict[str, Any]]) -> None:
    assert "error" not in small[name], small[name]


@pytest.mark.parametrize("name", REFUSED)
def test_what_tensorrt_refuses_is_one_readable_error(name: str, small: dict[str, dict[str, Any]]) -> None:
    outcome = small[name]
    assert outcome.get("error") == "EngineBuildError", outcome
    message = outcome["message"]
    assert message.startswith(REFUSED[name]), message
    assert "\n" not in message
    assert "/_src/" not in message
    assert len(message) > len("engine, parse: ") + 20  # it says why


def test_progress_rises_to_the_end(small: dict[str, dict[str, Any]]) -> None:
    shares = small["tiny fp16"]["progress"]
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert shares[-1] == 1.0


def test_a_build_is_cancelled_by_its_progress_bar(tmp_path: Path) -> None:
    code = (
        "import sys, tensorrt_rtx as api, tensorrt_networks as n\n"
        "from pathlib import Path\n"
        "from exalign_engine.runtime.tensorrt.builder import BuildOptions, build_engine\n"
        "from exalign_engine.runtime.tensorrt.precisions import prepare\n"
        f"p = prepare(n.save(n.tiny(), Path({str(tmp_path)!r}) / 'network.onnx'), 'fp32')\n"
        "def stop(phase, share):\n"
        "    if share > 0.1: raise KeyboardInterrupt\n"
        "try: build_engine(api, p.onnx, p.side, BuildOptions(), stop)\n"
        "except KeyboardInterrupt: print('cancelled')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE, timeout=840, check=True
    )
    assert result.stdout.strip() == "cancelled"


def test_build_engine_writes_an_engine_and_finds_it_again(tmp_path: Path) -> None:
    import tensorrt_networks as networks

    network = networks.save(networks.tiny(), tmp_path / "tiny.onnx")
    command = [sys.executable, "-m", "exalign_engine.cli", "build-engine", "--runtime", "tensorrt-rtx", "--json"]
    command += ["--network", str(network), "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "tiny.engine")]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    for built in (True, False):
        result = subprocess.run(command, capture_output=True, text=True, timeout=840, check=False, env=environment)
        assert result.returncode == 0, result.stderr
        answer = json.loads(result.stdout)
        assert answer["built"] is built
        assert answer["device"] is None
        assert Path(answer["file"]).stat().st_size > answer["plan_bytes"] > 0
        assert set(answer["outputs"]) == {"scores", "embedding", "features", "local"}


@pytest.mark.parametrize(("sums", "outputs"), [("device", [*SCORING, "sums"]), ("host", SCORING)])
def test_build_engine_builds_the_default_bundle_as_a_server_would(
    sums: str, outputs: list[str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "exalign_engine.cli", "build-engine", "--runtime", "tensorrt-rtx", "--json"]
    result = subprocess.run(
        [*command, "--precision", "fp16", "--cache", str(tmp_path), *(["--sums", sums] if sums == "device" else [])],
        capture_output=True,
        text=True,
        timeout=840,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["precision"] == "fp16"
    assert list(answer["outputs"]) == outputs


def test_build_engine_without_a_driver_or_a_network_is_one_line(tmp_path: Path) -> None:
    for arguments, words in (
        (["--runtime", "tensorrt"], "runtime tensorrt: "),
        (["--runtime", "tensorrt-rtx", "--network", str(tmp_path / "none.onnx")], "none.onnx: cannot be read"),
        (["--runtime", "tensorrt-rtx", "--max-batch", "0"], "max_batch is 0, must be at least 1"),
    ):
        command = [sys.executable, "-m", "exalign_engine.cli", "build-engine", "--cache", str(tmp_path), *arguments]
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=840,
            check=False,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        )
        assert result.returncode == 1
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        assert len(lines) == 1, result.stderr
        assert words in lines[0]
