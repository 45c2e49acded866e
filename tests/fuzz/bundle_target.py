"""A bundle of which one file is something else -> load, with hashes and seal made to fit, or not.

    byte 0: which file; its high bit: leave hash and seal as they were
    the rest: what the file holds

With hashes that do not fit, everything ends at the hash; so they are made to fit, as somebody would who writes bundles.
What is loaded must be usable: finite numbers of the shapes that it says.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from drawn_bundles import write_bundle
from exalign_engine.bundle.bundle import MANIFEST, Bundle, seal_of, sha256, write_residual
from exalign_engine.errors import BundleError
from exalign_engine.posterior.residual import ResidualHead
from fuzz_target import BrokenPromiseError, Target

#: Files that are changed. The network is read by the runtime, which is outside software: it is hashed alone.
FILES = (
    MANIFEST,
    "calibration.json",
    "detectors.json",
    "exemplars.npz",
    "baseline.npz",
    "residual.npz",
    "network.onnx",
)
_UNSEALED = 0x80

_JSON_VALUES: tuple[Any, ...] = (
    None, True, 0, 1, -1, 68, 1e308, -1e-320, "", "x", [], {}, [0], {"a": 1}, 2**70, "\ud800", [[0.0] * 3] * 2, 10**400,
)  # fmt: skip

_DTYPES = ("<f8", "<f4", "<f2", "<i2", "<i4", "<i8", "<U3", "|b1", "<c8", "|u1")


class Fuzzed(Target):
    """See the module."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._good = write_bundle(folder / "good", 1)
        levels, hidden, inputs = 1, 2, 11
        residual = ResidualHead.of_arrays(_residual_arrays(levels, hidden, inputs), 1.3)
        write_residual(self._good / "residual.npz", residual)
        self._manifest = json.loads((self._good / MANIFEST).read_text("utf-8"))
        self._manifest["files"]["residual.npz"] = sha256(self._good / "residual.npz")
        self._resealed(self._good, self._manifest)
        self._whole = {name: (self._good / name).read_bytes() for name in FILES}

    def seeds(self) -> Sequence[bytes]:
        return [bytes([i]) + data for i, data in enumerate(self._whole.values())] + [b"\x83x"]

    def run(self, data: bytes) -> str:
        head, content = (data[0], data[1:]) if data else (0, b"")
        name = FILES[(head & ~_UNSEALED) % len(FILES)]
        path = self._good / name
        try:
            path.write_bytes(content)
            if not head & _UNSEALED:
                self._made_to_fit(name, content)
            return f"{name} {self._loaded()}"
        finally:
            for changed in {name, MANIFEST}:
                (self._good / changed).write_bytes(self._whole[changed])

    def mutate(self, data: bytes, random: Random) -> bytes | None:
        """Change JSON by its values, and .npz by its arrays; None where it is neither."""
        head, content = (data[0], data[1:]) if data else (0, b"")
        if random.random() < 0.05:
            head = random.randrange(len(FILES))
            content = self._whole[FILES[head]]
        name = FILES[(head & ~_UNSEALED) % len(FILES)]
        changed = _changed_json(content, random) if name.endswith(".json") else None
        if name.endswith(".npz"):
            changed = _changed_arrays(content, random)
        return None if changed is None else bytes([head]) + changed

    def _made_to_fit(self, name: str, content: bytes) -> None:
        if name != MANIFEST:
            files = {**self._manifest["files"], name: sha256(self._good / name)}
            self._resealed(self._good, {**self._manifest, "files": files})
            return
        try:
            fields = json.loads(content)
        except (ValueError, RecursionError):
            return
        if isinstance(fields, dict):
            self._resealed(self._good, fields)

    def _loaded(self) -> str:
        try:
            bundle = Bundle.load(self._good)
        except BundleError as e:
            if not e.path or not str(e):
                raise BrokenPromiseError("a bundle is refused, and nothing says why") from e
            return "refused"
        _must_be_usable(bundle)
        return "loaded"

    @staticmethod
    def _resealed(folder: Path, fields: dict[str, Any]) -> None:
        text = json.dumps({**fields, "seal": seal_of(fields)}, ensure_ascii=False)
        (folder / MANIFEST).write_bytes(text.encode("utf-8", "surrogatepass"))


def _must_be_usable(bundle: Bundle) -> None:
    """The classes are as many as they say, and numbers.

    Raises:
        BrokenPromiseError: they are not.
    """
    exemplars, k = bundle.exemplars, bundle.manifest.exemplars
    if exemplars.shapes.shape != (k, 68, 2) or not np.isfinite(exemplars.shapes).all():
        raise BrokenPromiseError(f"shapes {exemplars.shapes.shape} of {k} classes, or not finite")
    for name, array in (("variance", exemplars.variance), ("poses", bundle.poses.pose)):
        if len(array) != k or not np.isfinite(array).all():
            raise BrokenPromiseError(f"{len(array)} of {name} for {k} classes, or not finite")
    if not 0 <= exemplars.mirror_of.min() <= exemplars.mirror_of.max() < k:
        raise BrokenPromiseError("mirror_of leads out of the classes")


def _changed_json(content: bytes, random: Random) -> bytes | None:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    for _ in range(random.choice((1, 1, 2, 3))):
        document = _with_other_value(document, random)
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _with_other_value(value: Any, random: Random) -> Any:
    """A JSON value with one thing changed somewhere in it."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(sorted(value))
        action = random.random()
        rest = {k: v for k, v in value.items() if k != key}
        if action < 0.1:
            return rest
        return {**rest, (f"{key}x" if action < 0.15 else key): _with_other_value(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.8:
        place = random.randrange(len(value))
        if random.random() < 0.2:
            return value[:place] + value[place + 1 :]
        return [*value[:place], _with_other_value(value[place], random), *value[place + 1 :]]
    if isinstance(value, float) and random.random() < 0.5:
        return random.choice((-value, value * 2, value + 1, value / 3, float("nan"), float("inf")))
    return random.choice(_JSON_VALUES)


def _changed_arrays(content: bytes, random: Random) -> bytes | None:
    """The archive with an array more, less, of another shape, kind or value."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except Exception:  # noqa: BLE001  # whatever: then its bytes are changed
        return None
    if not arrays or sum(a.nbytes for a in arrays.values()) > 2**20:
        return None
    key = random.choice(sorted(arrays))
    arrays[key] = _other_array(arrays[key], random)
    if random.random() < 0.05:
        del arrays[key]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, np.asarray(array), allow_pickle=False)
            archive.writestr(f"{name}.npy", entry.getvalue())
    return file.getvalue()


def _other_array(array: Any, random: Random) -> Any:
    action = random.random()
    if action < 0.2 and array.ndim:
        return array[: random.randrange(len(array) + 1)]
    if action < 0.35 and array.ndim:
        return array.reshape(array.shape[::-1]) if random.random() < 0.5 else array.reshape(-1)
    if action < 0.5:
        try:
            with np.errstate(all="ignore"):
                return array.astype(random.choice(_DTYPES))
        except (ValueError, TypeError):
            return array
    if array.dtype.kind in "fi" and array.size:
        changed = array.copy().reshape(-1)
        values = (0, -1, 1, 32767, -32768) if array.dtype.kind == "i" else (0, -1, 1e30, 1e-30, np.nan, np.inf, 65504)
        value = random.choice(values)
        with np.errstate(all="ignore"):
            if random.random() < 0.5:
                changed[random.randrange(array.size)] = value
            else:
                changed[:] = value
        return changed.reshape(array.shape)
    return np.concatenate([array, array]) if array.ndim else array


def _residual_arrays(levels: int, hidden: int, inputs: int) -> dict[str, Any]:
    rng, wide = np.random.default_rng(1), 136
    return {
        "hidden_weight": rng.normal(0, 0.1, (levels, hidden, inputs)).astype(np.float16),
        "hidden_bias": np.zeros((levels, hidden), np.float16),
        "weight": rng.normal(0, 0.1, (levels, wide, hidden)).astype(np.float16),
        "bias": np.zeros((levels, wide), np.float16),
    }
