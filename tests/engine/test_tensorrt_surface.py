"""Every name of TensorRT and CUDA that we use exists in the real modules, with the parameters that we give it.

TensorRT itself does not install everywhere; `tensorrt_rtx` has its parser and builder, `tensorrt_lean` its runtime.
"""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

tensorrt_rtx = pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx (extra 'tensorrt-rtx')")
tensorrt_lean = pytest.importorskip("tensorrt_lean", reason="needs tensorrt-lean (extra 'tensorrt-lean')")
cudart = pytest.importorskip("cuda.bindings.runtime", reason="needs cuda-bindings (extra 'tensorrt-rtx')")

import exalign_engine.runtime.tensorrt
import tensorrt_fake as fake
from exalign_engine.runtime.tensorrt.cuda import LOST

PACKAGE = Path(exalign_engine.runtime.tensorrt.__file__).parent
RUNTIME = PACKAGE / "runtime.py"
BUILDER_FILES = [PACKAGE / name for name in ("builder.py", "progress.py", "api_log.py")]
RUNTIME_FILES = [PACKAGE / "lane.py", PACKAGE / "api_log.py", RUNTIME]
CUDA_FILES = [PACKAGE / "cuda.py", PACKAGE / "probe_child.py"]

#: Gone in TensorRT 11.
REMOVED = {
    "FP16", "BF16", "INT8", "FP8", "FP4", "OBEY_PRECISION_CONSTRAINTS", "PREFER_PRECISION_CONSTRAINTS",
    "EXPLICIT_BATCH", "int8_calibrator", "IInt8EntropyCalibrator2", "IInt8MinMaxCalibrator", "algorithm_selector",
    "IAlgorithmSelector", "platform_has_fast_fp16", "platform_has_fast_int8", "device_memory_size",
    "execute_async", "execute_async_v2", "get_binding_index", "get_binding_name", "get_binding_shape",
    "get_binding_dtype", "set_binding_shape", "num_bindings", "max_workspace_size", "max_batch_size", "build_engine",
    "build_cuda_engine", "dynamic_range", "set_dynamic_range", "set_output_type", "supports_model",
}  # fmt: skip


def accesses(file: Path, roots: tuple[str, ...]) -> Iterator[tuple[ast.Attribute, list[str]]]:
    """Every ``root.a.b`` of a file, longest chains only, as [a, b]; a root may be ``self.api``."""
    tree = ast.parse(file.read_text())
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            chain = ast.unparse(node)
            for root in roots:
                if chain.startswith(root + ".") and "(" not in chain:  # what a call returns is another object
                    yield node, chain.removeprefix(root + ".").split(".")


def exists(module: ModuleType, chain: list[str]) -> bool:
    value: object = module
    for name in chain:
        if not hasattr(value, name):
            return False
        value = getattr(value, name)
    return True


@pytest.mark.parametrize(
    ("files", "module", "roots", "at_least"),
    [
        pytest.param(BUILDER_FILES, tensorrt_rtx, ("api",), 12, id="builder in tensorrt_rtx"),
        pytest.param(RUNTIME_FILES, tensorrt_lean, ("api",), 5, id="runtime in tensorrt_lean"),
        pytest.param(CUDA_FILES, cudart, ("self.api", "cudart"), 20, id="cuda in cuda-bindings"),
    ],
)
def test_every_name_that_is_used_exists(
    files: list[Path], module: ModuleType, roots: tuple[str, ...], at_least: int
) -> None:
    found = [chain for file in files for _, chain in accesses(file, roots)]
    assert len({tuple(chain) for chain in found}) >= at_least
    assert [".".join(chain) for chain in found if not exists(module, chain)] == []


def test_cuda_functions_take_as_many_arguments_as_we_give_them() -> None:
    checked = 0
    for file in CUDA_FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                root, name = ast.unparse(node.func.value), node.func.attr
                if root in ("self.api", "cudart"):
                    inspect.signature(getattr(cudart, name)).bind(*node.args)
                    checked += 1
    assert checked >= 18


def test_the_gpu_suites_own_cuda_names_exist() -> None:
    suite = Path(__file__).parents[1] / "gpu"
    used = {name for file in suite.glob("*.py") for name in re.findall(r"\bcuda[A-Z]\w+", file.read_text())}
    assert used >= {"cudaDeviceGetAttribute", "cudaDevAttrMemoryClockRate"}
    known = set(dir(cudart)) | set(cudart.cudaDeviceAttr.__members__) | set(cudart.cudaError_t.__members__)
    assert used - known == set()


def test_the_names_of_lost_devices_are_cudas() -> None:
    assert set(cudart.cudaError_t.__members__) >= LOST | {"cudaErrorMemoryAllocation", "cudaSuccess"}


def test_nothing_that_tensorrt_11_removed_is_used() -> None:
    for file in [*PACKAGE.glob("*.py"), RUNTIME]:
        tree = ast.parse(file.read_text())
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        used = {node.attr for node in nodes if not ast.unparse(node).startswith("TensorProto.")}  # onnx has an INT8 too
        assert not used & REMOVED, file.name


def test_what_is_listed_as_removed_is_gone_from_the_real_modules() -> None:
    owners = ("Builder", "IBuilderConfig", "BuilderFlag", "NetworkDefinitionCreationFlag", "OnnxParser", "ITensor")
    for name in REMOVED:
        for owner in owners:
            assert not hasattr(getattr(tensorrt_rtx, owner), name), f"{owner}.{name}"
        for owner in ("Runtime", "ICudaEngine", "IExecutionContext"):
            assert not hasattr(getattr(tensorrt_lean, owner), name), f"{owner}.{name}"


@pytest.mark.parametrize("name", ["ILogger", "Runtime", "ICudaEngine", "IExecutionContext"])
def test_the_fake_has_no_method_that_tensorrt_lacks(name: str) -> None:
    real, played = getattr(tensorrt_lean, name), getattr(fake, name)
    for method, function in vars(played).items():
        if method.startswith("_"):
            continue
        assert hasattr(real, method), f"{name}.{method}"
        if callable(function):
            parameters = list(inspect.signature(function).parameters)[1:]
            documented = getattr(real, method).__doc__
            for parameter in parameters:
                assert f"{parameter}:" in documented, f"{name}.{method}({parameter}): {documented[:200]}"


def test_the_fake_has_no_cuda_function_that_cuda_lacks() -> None:
    for name, function in vars(fake.FakeCudart).items():
        if not name.startswith("cuda"):
            continue
        assert hasattr(cudart, name), name
        if inspect.isfunction(function):
            ours = list(inspect.signature(function).parameters)[1:]
            assert ours == list(inspect.signature(getattr(cudart, name)).parameters), name
    for enum in ("cudaMemcpyKind", "cudaStreamCaptureMode"):
        for member in vars(getattr(fake.FakeCudart, enum)):
            assert hasattr(getattr(cudart, enum), member)
    assert set(fake.CudaError.__members__) <= set(cudart.cudaError_t.__members__)
    for error in fake.CudaError:
        assert cudart.cudaError_t.__members__[error.name] == error.value


def test_the_fakes_module_has_no_name_that_tensorrt_lacks() -> None:
    for name in ("ILogger", "Runtime", "DataType", "TensorIOMode", "__version__"):
        assert hasattr(tensorrt_lean, name)
    for enum in ("DataType", "TensorIOMode"):
        for member in vars(getattr(fake.FakeTensorRT, enum)):
            assert hasattr(getattr(tensorrt_lean, enum), member)


# mypy, against stubs made from the real modules.


def make_stubs(module: str, folder: Path) -> Path:
    """Stubs of a compiled module, importable as `tensorrt` too."""
    pytest.importorskip("pybind11_stubgen", reason="needs pybind11-stubgen (extra 'dev')")
    command = [sys.executable, "-m", "pybind11_stubgen", f"{module}_bindings.{module}", "--ignore-all-errors"]
    subprocess.run([*command, "-o", str(folder)], check=True, capture_output=True, timeout=600)
    stub = folder / f"{module}_bindings" / f"{module}.pyi"
    stub.write_text("".join(map(_parsable, stub.read_text().splitlines(keepends=True))))
    (folder / "tensorrt").mkdir()
    (folder / "tensorrt" / "__init__.pyi").write_text(f"from {module}_bindings.{module} import *\n")
    return folder


def _parsable(line: str) -> str:
    """Signatures that are not Python (a parameter called ``in``) take anything instead."""
    text = line.strip()
    if not text.startswith("def "):
        return line
    body = "" if text.endswith("...") else " ..."
    try:
        ast.parse(text + body)
    except SyntaxError:
        indent, name = line[: len(line) - len(line.lstrip())], text[4:].partition("(")[0]
        end = " ..." if text.endswith("...") else ""
        return f"{indent}def {name}(self, *args: object, **kwargs: object) -> object:{end}\n"
    return line


def mypy(stubs: Path, *files: Path) -> str:
    """What mypy --strict says of our files, with the stubs in TensorRT's place."""
    pytest.importorskip("mypy", reason="needs mypy (extra 'dev')")
    config = stubs / "mypy.ini"
    config.write_text(
        f"[mypy]\nstrict = True\nmypy_path = {stubs}:{PACKAGE.parents[2]}\nexplicit_package_bases = True\n"
        "namespace_packages = True\nfollow_imports = silent\n"
        "[mypy-onnx.*,cuda.*,numba.*,cv2.*]\nignore_missing_imports = True\nfollow_imports = skip\n"
        "[mypy-tensorrt_rtx_bindings.*,tensorrt_lean_bindings.*,tensorrt.*]\nignore_errors = True\n"
    )
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), "--cache-dir", str(stubs / "cache")]
    result = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, timeout=840, check=False)
    assert result.returncode in (0, 1), result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def builder_stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_stubs("tensorrt_rtx", tmp_path_factory.mktemp("rtx"))


@pytest.fixture(scope="module")
def runtime_stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_stubs("tensorrt_lean", tmp_path_factory.mktemp("lean"))


def test_mypy_accepts_the_builder_against_the_real_modules_stubs(builder_stubs: Path) -> None:
    assert "Success" in mypy(builder_stubs, *BUILDER_FILES)


def test_mypy_accepts_the_runtime_against_the_real_modules_stubs(runtime_stubs: Path) -> None:
    assert "Success" in mypy(runtime_stubs, *RUNTIME_FILES)


@pytest.mark.parametrize(
    ("stubs", "wrong"),
    [
        ("builder_stubs", "def f(c: trt.IBuilderConfig) -> None:\n    c.set_flag(trt.BuilderFlag.FP16)\n"),
        ("builder_stubs", "def f(c: trt.IBuilderConfig) -> None:\n    c.max_workspace_size = 1\n"),
        ("builder_stubs", "def f(c: trt.IBuilderConfig) -> None:\n    c.add_optimization_profile(3)\n"),
        ("runtime_stubs", "def f(c: trt.IExecutionContext) -> None:\n    c.execute_async_v2([], 0)\n"),
        ("runtime_stubs", "def f(e: trt.ICudaEngine) -> int:\n    return e.device_memory_size\n"),
        ("runtime_stubs", "def f(c: trt.IExecutionContext) -> None:\n    c.set_tensor_address(3)\n"),
    ],
)
def test_mypy_would_refuse_what_is_gone_or_wrong(
    stubs: str, wrong: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(f"import tensorrt as trt\n\n{wrong}")
    assert "wrong.py:4: error" in mypy(request.getfixturevalue(stubs), file)
