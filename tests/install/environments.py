"""Fresh environments with our wheels, one for every kind of user."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[2]
MODEL = Path("models", "exalign-model-143k")

#: What a wheel is made of.
PACKED = ("pyproject.toml", "README.md", "LICENSE")
ROOMS = ("protos", "engine", "service", "clients", "offline", "models")

#: Most bytes of the code's wheel, the detector's weights and the table of Rice's distribution left out: 1.125 MiB.
MOST_BYTES, DATA = 9 * 2**17, (".onnx", ".npy")

#: Environment -> extras of the code's wheel; those of `WITH_MODEL` get the model's wheel too.
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "base": (),
    "cli": ("cli",),
    "serve": ("serve",),
    "cli,serve": ("cli", "serve"),
    "train": ("train",),
}
WITH_MODEL = ("serve", "cli,serve", "train")


@dataclass(frozen=True)
class Wheels:
    """The two wheels that a release has."""

    code: Path
    model: Path


def build(folder: Path) -> Wheels:
    """Build both wheels.

    Raises:
        SystemExit: one cannot be built, or the code's is too large.
    """
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
    with tempfile.TemporaryDirectory() as temporary:
        # From a copy: what an earlier build left in build/ would be packed too, and this leaves nothing.
        copy = Path(temporary) / "checkout"
        shutil.copytree(ROOT, copy, ignore=lambda _, names: [name for name in names if name not in PACKED])
        for room in ROOMS:
            shutil.copytree(
                ROOT / room, copy / room, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
            )
        subprocess.run([*pip, str(copy), str(copy / MODEL)], check=True)
    (code,), (model,) = folder.glob("exalign-*.whl"), folder.glob("exalign_model_143k-*.whl")
    with ZipFile(code) as packed:
        size = sum(part.compress_size for part in packed.infolist() if not part.filename.endswith(DATA))
    if size > MOST_BYTES:
        raise SystemExit(f"{code.name} has {size:,} bytes beside its data, at most {MOST_BYTES:,} are wanted")
    return Wheels(code, model)


def create(name: str, folder: Path, wheels: Wheels) -> Path:
    """An environment that holds nothing but one of `ENVIRONMENTS`; its folder of programs."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    extras = ENVIRONMENTS[name]
    if "train" in extras:
        # First and by the exact version that the tests have: an index may offer another build of a later one.
        dev = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]["dev"]
        subprocess.run([*pip, next(r for r in dev if r.startswith("torch"))], check=True)
    code = f"{wheels.code}[{','.join(extras)}]" if extras else str(wheels.code)
    subprocess.run([*pip, code, *([str(wheels.model)] if name in WITH_MODEL else [])], check=True)
    return folder / "bin"
