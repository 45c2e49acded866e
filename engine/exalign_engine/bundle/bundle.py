"""The bundle: the directory that holds one model (docs/architecture.md#bundle).

    manifest.json      what it is, and the SHA-256 of every other file
    network.onnx       image (B, S, S, 3) uint8 → scores (B, K), embedding (B, D), features, local (B, channels, h, w)
    exemplars.npz      shapes, v_k, mirror_of, source ids, pose angles
    calibration.json   temperature, kernels, presence
    detectors.json     each detector's map to the face box
    baseline.npz       ridge regression from the features
    residual.npz       levels of the residual; a bundle may be without
    refiner.npz        regressions from what the network saw to a better box; a bundle may be without
    occlusion.npz      which landmarks are hidden; a bundle may be without
    train.toml         the configuration it was trained with

Loading verifies every hash and shape, never unpickles, and names the file and field that is wrong.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from numpy.typing import NDArray

from exalign.output_files import write_file
from exalign_engine.bundle.exemplar_file import read_exemplars
from exalign_engine.bundle.npz import read_arrays
from exalign_engine.bundle.occlusion_file import OCCLUSION, read_occlusion
from exalign_engine.bundle.refiner_file import REFINER, read_refiner
from exalign_engine.detect import BoxAffine, FaceBoxMap
from exalign_engine.errors import BundleError
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.exemplars.poses import Poses
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.occlusion import OcclusionHead
from exalign_engine.posterior.residual import ResidualHead
from exalign_engine.refiner.refiner import Refiner
from exalign_engine.tables.store import Tables

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
FILES = ("network.onnx", "exemplars.npz", "calibration.json", "detectors.json", "baseline.npz", "train.toml")

OPTIONAL_FILES = ("residual.npz", REFINER, OCCLUSION)  #: a bundle may be without

#: The package that carries the default bundle, and the bundle's directory in it.
MODEL_PACKAGE = "exalign_model_143k"
MODEL_BUNDLE = "bundle"

#: That package in a checkout of the repository.
MODEL_IN_CHECKOUT = Path("models", "exalign-model-143k", MODEL_PACKAGE)


@dataclass(frozen=True)
class Licence:
    """Terms of one part of the bundle."""

    subject: str
    name: str
    terms: str


@dataclass(frozen=True)
class Manifest:
    """manifest.json.

    Attributes:
        schema_version: of this layout.
        name: of the model, for people.
        created: date, ISO 8601.
        files: SHA-256 of every other file, hexadecimal.
        input_size: crop side S, pixels.
        margin: crop side ÷ box side.
        landmarks: N = 68.
        exemplars: K.
        tau: membership radius, box sides.
        training_data: in plain words.
        licences: terms of the weights and of what came with them.
        metrics: figures by split and kind of boxes.
        derived: names of files computed from others rather than trained; empty here.
        seal: SHA-256 of all fields above as `seal_of` writes them: shows a manifest that was changed by hand.
    """

    schema_version: int
    name: str
    created: str
    files: dict[str, str]
    input_size: int
    margin: float
    landmarks: int
    exemplars: int
    tau: float
    training_data: str
    licences: tuple[Licence, ...]
    metrics: dict[str, Any] = field(default_factory=dict)
    derived: tuple[str, ...] = ()
    seal: str = ""


@dataclass(frozen=True)
class Baseline:
    """Ridge regression from the network's features: what the mixture is compared with.

    Attributes:
        weight: (F, 136) float32; F = features flattened, then embedding.
        offset: (136,) float32.
    """

    weight: NDArray[np.float32]
    offset: NDArray[np.float32]

    def predict(self, features: NDArray[np.float32], embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, C, h, w) and (B, D) → (B, 68, 2), box frame."""
        x = np.concatenate([features.reshape(len(features), -1), embedding], axis=1)
        return np.asarray(x @ self.weight + self.offset, dtype=np.float32).reshape(-1, N_LANDMARKS, 2)


@dataclass(frozen=True)
class Bundle:
    """One model, verified and in memory; the network itself is read by a runtime from ``network``.

    Attributes:
        path: its directory.
        id: SHA-256 of manifest.json, hexadecimal: names the bundle by its contents.
        manifest: see `Manifest`.
        exemplars: the K classes.
        poses: how each of them is turned.
        calibration: see `Calibration`.
        detectors: map of each known detector's answer to the face box.
        baseline: see `Baseline`.
        residual: moves the mixture to where the picture says; None where the bundle has none.
        refiner: moves boxes to where the picture says; None where the bundle has none.
        occlusion: tells which landmarks are hidden; None where the bundle has none.
    """

    path: Path
    id: str
    manifest: Manifest
    exemplars: Exemplars
    poses: Poses
    calibration: Calibration
    detectors: Mapping[str, BoxAffine]
    baseline: Baseline
    residual: ResidualHead | None = None
    refiner: Refiner | None = None
    occlusion: OcclusionHead | None = None

    @property
    def network(self) -> Path:
        """The ONNX file."""
        return self.path / "network.onnx"

    @classmethod
    def load(cls, path: Path | str) -> Bundle:
        """Read and verify a bundle.

        Raises:
            BundleError: the directory or a file is missing, a hash differs, or a field or shape is wrong.
        """
        root = Path(path)
        manifest = _read_manifest(root)
        for name in FILES:
            if name not in manifest.files:
                raise BundleError(root / MANIFEST, f"files: no entry for {name}")
        for name, expected in sorted(manifest.files.items()):
            actual = sha256(root / name)
            if actual != expected:
                raise BundleError(root / name, f"SHA-256 is {actual[:12]}…, manifest.json says {expected[:12]}…")
        file = root / "exemplars.npz"
        exemplars, poses = read_exemplars(file, Tables.of_bundle(sha256(root / MANIFEST), manifest.exemplars))
        if exemplars.count != manifest.exemplars:
            raise BundleError(file, f"{exemplars.count} shapes, manifest.json says {manifest.exemplars}")
        calibration, held = Calibration.read(root / "calibration.json"), manifest.files
        return cls(
            path=root,
            id=sha256(root / MANIFEST),
            manifest=manifest,
            exemplars=exemplars,
            poses=poses.mapped(calibration.pose_map),
            calibration=calibration,
            detectors=read_detectors(root / "detectors.json"),
            baseline=read_baseline(root / "baseline.npz"),
            residual=read_residual(root / "residual.npz", manifest.margin) if "residual.npz" in held else None,
            refiner=read_refiner(root / REFINER) if REFINER in held else None,
            occlusion=read_occlusion(root / OCCLUSION, manifest.margin) if OCCLUSION in held else None,
        )


def default_bundle_path() -> Path:
    """The directory of the default bundle, which is a distribution of its own: its terms are not those of the code.

    Looked for in the checkout that this file lies in, then in the installed package `MODEL_PACKAGE`, then in the
    checkout that this distribution was installed from (``pip install '.[serve]'``), where it is still there.

    Raises:
        BundleError: it is in none of them.
    """
    places = [Path(__file__).parents[3] / MODEL_IN_CHECKOUT, _installed_model(), _model_of_installed_checkout()]
    for place in places:
        if place is not None and (place / MODEL_BUNDLE / MANIFEST).is_file():
            return place / MODEL_BUNDLE
    raise BundleError(
        MODEL_PACKAGE,
        "the default model is not installed: pip install ./models/exalign-model-143k in a checkout of Exalign, "
        "or name another bundle (--bundle DIR)",
    )


def _installed_model() -> Path | None:
    """The package of the default model; finding a top-level package does not run it."""
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    locations = None if spec is None else spec.submodule_search_locations
    return Path(next(iter(locations))) if locations else None


def _model_of_installed_checkout() -> Path | None:
    """The package of the default model in the directory that ``pip install DIRECTORY`` noted (PEP 610)."""
    try:
        noted = json.loads(distribution("exalign").read_text("direct_url.json") or "{}")
        url = urlsplit(noted["url"] if "dir_info" in noted else "")
    except (PackageNotFoundError, ValueError, KeyError, TypeError):
        return None
    return Path(url2pathname(url.path)) / MODEL_IN_CHECKOUT if url.scheme == "file" else None


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file.

    Raises:
        BundleError: the file cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as e:
        raise BundleError(path, f"cannot be read: {e.strerror}") from e


def seal(root: Path, manifest: Manifest) -> Manifest:
    """Hash every file of a bundle and write its manifest, as the last file, whole or not at all."""
    present = [*FILES, *(name for name in OPTIONAL_FILES if (root / name).exists())]
    hashes = {name: sha256(root / name) for name in present}
    manifest = replace(manifest, files=hashes)
    manifest = replace(manifest, seal=seal_of(asdict(manifest)))
    text = json.dumps(asdict(manifest), indent=1, sort_keys=True, ensure_ascii=False)
    write_file(root / MANIFEST, text + "\n")
    return manifest


def seal_of(fields: dict[str, Any]) -> str:
    """Hexadecimal SHA-256 of a manifest's fields, ``seal`` left out, as JSON with sorted keys and no spaces."""
    sealed = {key: value for key, value in fields.items() if key != "seal"}
    text = json.dumps(sealed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _read_manifest(root: Path) -> Manifest:
    path = root / MANIFEST
    if not root.is_dir():
        raise BundleError(root, "no such directory")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise BundleError(path, f"cannot be read: {e}") from e
    if not isinstance(raw, dict) or raw.get("schema_version") != SCHEMA_VERSION:
        found = raw.get("schema_version") if isinstance(raw, dict) else None
        raise BundleError(path, f"schema_version is {found!r}, this version reads {SCHEMA_VERSION}")
    if seal_of(raw) != raw.get("seal"):
        raise BundleError(path, f"seal does not fit its fields: the file was changed (expected {seal_of(raw)[:12]}…)")
    try:
        raw["licences"] = tuple(Licence(**entry) for entry in raw["licences"])
        raw["derived"] = tuple(raw["derived"])
        manifest = Manifest(**raw)
    except (TypeError, KeyError) as e:
        raise BundleError(path, f"fields missing or unknown: {e}") from e
    _check_manifest(path, manifest)
    return manifest


def _check_manifest(path: Path, m: Manifest) -> None:
    """Raise BundleError for the first field of the wrong type or range."""

    def whole(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    def real(value: object) -> bool:
        return (whole(value) or isinstance(value, float)) and abs(value) <= sys.float_info.max  # type: ignore[arg-type]

    def text(value: object) -> bool:
        # JSON can spell half a surrogate pair, which no terminal and no protobuf takes.
        return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)

    rules: list[tuple[str, bool, str]] = [
        ("landmarks", whole(m.landmarks) and m.landmarks == N_LANDMARKS, f"{N_LANDMARKS}"),
        ("input_size", whole(m.input_size) and 16 <= m.input_size <= 1024, "a whole number from 16 to 1024"),
        ("exemplars", whole(m.exemplars) and m.exemplars >= 1, "a whole number above 0"),
        ("margin", real(m.margin) and m.margin > 0, "a finite number above 0"),
        ("tau", real(m.tau) and m.tau > 0, "a finite number above 0"),
        ("files", isinstance(m.files, dict) and all(map(text, m.files.values())), "an object of SHA-256 by file name"),
        ("metrics", isinstance(m.metrics, dict), "an object"),
        *((key, text(getattr(m, key)), "text") for key in ("name", "created", "training_data")),
    ]
    for name, ok, expected in rules:
        if not ok:
            raise BundleError(path, f"{name} is {getattr(m, name)!r}, must be {expected}")
    for name in m.files:
        if Path(name).name != name:
            raise BundleError(path, f"files: {name!r} is not the name of a file beside the manifest")


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write baseline.npz (half precision: its error is far below the regression's own)."""
    np.savez(path, weight=baseline.weight.astype(np.float16), offset=baseline.offset)


def read_baseline(path: Path) -> Baseline:
    """Read baseline.npz.

    Raises:
        BundleError: with the array that is wrong.
    """
    a = read_arrays(path, {"weight": ("f", (None, 2 * N_LANDMARKS)), "offset": ("f", (2 * N_LANDMARKS,))})
    return Baseline(a["weight"].astype(np.float32), a["offset"].astype(np.float32))


def write_residual(path: Path, residual: ResidualHead) -> None:
    """Write residual.npz, its matrices in half precision, in which they were exported."""
    np.savez(path, **residual.to_arrays())  # type: ignore[arg-type]


def read_residual(path: Path, margin: float) -> ResidualHead:
    """Read residual.npz.

    Raises:
        BundleError: with the array that is wrong.
    """
    coordinates = 2 * N_LANDMARKS
    a = read_arrays(
        path,
        {
            "hidden_weight": ("f", (None, None, None)),
            "hidden_bias": ("f", (None, None)),
            "weight": ("f", (None, coordinates, None)),
            "bias": ("f", (None, coordinates)),
        },
    )
    levels, hidden, _ = a["hidden_weight"].shape
    expected = {"hidden_bias": (levels, hidden), "weight": (levels, coordinates, hidden), "bias": (levels, coordinates)}
    for key, shape in expected.items():
        if a[key].shape != shape:
            raise BundleError(path, f"{key} has shape {a[key].shape}, hidden_weight asks for {shape}")
    if not levels or not hidden:
        raise BundleError(path, "hidden_weight has no level, or no hidden unit")
    return ResidualHead.of_arrays(a, margin)


def read_detectors(path: Path) -> dict[str, FaceBoxMap]:
    """Read detectors.json.

    Raises:
        BundleError: with the detector that is wrong.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise BundleError(path, f"cannot be read: {e}") from e
    if not isinstance(raw, dict):
        raise BundleError(path, "must be an object of detectors by name")
    result = {}
    for name, entry in raw.items():
        try:
            result[name] = FaceBoxMap.of_entry(entry)
        except ValueError as e:
            raise BundleError(path, f"{name}: {e}") from e
    return result
