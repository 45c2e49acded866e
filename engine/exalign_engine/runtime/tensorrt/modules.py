"""Which Python module is behind a runtime's name. TensorRT and TensorRT-RTX share one API, so it is a parameter."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from exalign_engine.errors import RuntimeUnavailableError


@dataclass(frozen=True)
class Flavour:
    """One of NVIDIA's packages.

    Attributes:
        runtime: what `--runtime` calls it.
        module: the Python module.
        install: what a person types to get it.
        oldest: first major version that has the API used here.
    """

    runtime: str
    module: str
    install: str
    oldest: int

    @property
    def is_rtx(self) -> bool:
        """TensorRT-RTX has no tactic timing, timing cache or hardware compatibility level."""
        return self.module == "tensorrt_rtx"


FLAVOURS = {
    flavour.runtime: flavour
    for flavour in (
        Flavour(
            "tensorrt",
            "tensorrt",
            "pip install 'exalign[serve,tensorrt]' --extra-index-url https://pypi.nvidia.com",
            11,
        ),
        Flavour("tensorrt-rtx", "tensorrt_rtx", "pip install 'exalign[serve,tensorrt-rtx]'", 1),
    )
}


def missing_packages(flavour: Flavour) -> list[str]:
    """Modules that the flavour needs and that are not installed; nothing is imported."""
    missing = [name for name in (flavour.module, "onnx") if find_spec(name) is None]
    if find_spec("cuda") is None or find_spec("cuda.bindings") is None:
        missing.append("cuda.bindings")
    return missing


def load_module(flavour: Flavour) -> Any:
    """Import a flavour's module.

    Raises:
        RuntimeUnavailableError: it is not installed, its libraries do not load, or it is too old.
    """
    try:
        module = import_module(flavour.module)
    except (ImportError, OSError) as e:  # OSError: a shared library of theirs does not load
        raise RuntimeUnavailableError(f"runtime {flavour.runtime}: {e}; {flavour.install}") from e
    version = str(module.__version__)
    if int(version.split(".")[0]) < flavour.oldest:
        raise RuntimeUnavailableError(
            f"runtime {flavour.runtime}: {flavour.module} is {version}, must be {flavour.oldest} or newer"
        )
    return module
