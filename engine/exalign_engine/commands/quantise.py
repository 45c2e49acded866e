"""``exalign-model quantise``: a bundle's float32 network → int8, and what that costs in accuracy.

A step of its own, between export and calibrate: it needs faces but no torch, the float32 bundle stays as it was where
``--out`` names another, and temperature and kernels are best fitted again to what will be served.
"""

from __future__ import annotations

import argparse
import shutil
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign.cli_support import report
from exalign.output_files import report_written
from exalign_engine.bundle.atomic_rewrite import rewritten
from exalign_engine.bundle.bundle import Bundle, Manifest, seal
from exalign_engine.commands.arguments import add_bundle_path, add_data, bundle_path, print_json
from exalign_engine.commands.files import Files, bundle_read, given
from exalign_engine.data.source import open_faces
from exalign_engine.errors import BundleError, InvalidInputError, RuntimeUnavailableError, Violation
from exalign_engine.face.aligner import Aligner
from exalign_engine.geometry.frames import tight_box
from exalign_engine.metrics.accuracy import nrmse, summarise
from exalign_engine.progress import progress_bar
from exalign_engine.runtime import create_runtime
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.augment_config import AugmentConfig
from exalign_engine.sampling.faces import FaceMemory, load_faces

NETWORK = "network.onnx"

#: Evenly spaced training faces that activations are measured on, each as it is and once disturbed.
ACTIVATION_FACES = 300

#: Seed of the disturbances.
DISTURBANCE_SEED = 12


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_data(parser)
    add_bundle_path(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="bundle to write (default: change the given one)")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="use only N faces of each split (for trials)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="threads of the network (default: 2)")
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object on stdout")


def files(args: argparse.Namespace) -> Files:
    """What is written and read."""
    return Files(given(args.out), (*bundle_read(args), args.data))


def run(args: argparse.Namespace) -> int:
    """Quantise, measure both on ``val``, and print the figures."""
    if args.out and args.out.exists():
        raise InvalidInputError([Violation("--out", f"{str(args.out)!r} exists already")])
    bundle = bundle_path(args)
    figures = quantise_bundle(bundle, args.data, args.out, limit=args.limit, threads=args.threads)
    if args.json:
        print_json(figures)
        return 0
    for name in ("f32", "int8"):
        row = figures[name]
        print(
            f"{name:5} {row['bytes'] / 1e6:7.2f} MB  val AUC {row['auc']:.4f}  mean error "
            f"{100 * row['nrmse_mean']:.3f} %  failures {row['failure_rate']} %"
        )
    report_written("exalign-model", args.out or bundle)
    report(f"to be calibrated next (exalign-model calibrate --bundle {args.out or bundle})")
    return 0


def quantise_bundle(
    root: Path, data: Path, out: Path | None = None, *, limit: int = 0, threads: int = 2
) -> dict[str, Any]:
    """Replace a bundle's network by its int8 form, and seal it.

    The manifest then names network.onnx as derived, and its metrics hold, under ``precision``, what the float32 network
    and the int8 one score on ``val`` with true boxes and the calibration that the bundle had.

    Args:
        root: the bundle.
        data: faces with splits ``train`` and ``val``.
        out: directory to write; None changes ``root``.
        limit: use only so many faces of each split; 0 uses `ACTIVATION_FACES` of ``train`` and all of ``val``.
        threads: of the network, where accuracy is measured.

    Returns:
        What the manifest's metrics hold under ``precision``.

    Raises:
        BundleError: the network cannot be quantised.
        RuntimeUnavailableError: onnx is not installed.
    """
    bundle = Bundle.load(root)
    content, scales = _int8(bundle, training_crops(bundle.manifest, data, limit))
    val = load_faces(open_faces(data, "val"), limit)
    target: AbstractContextManager[Path] = rewritten(root)
    if out is not None:
        shutil.copytree(root, out)
        target = nullcontext(out)
    with target as copy:
        figures: dict[str, Any] = {"split": "val", "boxes": "truth", "temperature": bundle.calibration.temperature}
        figures["f32"] = _accuracy(bundle, val, threads)
        (copy / NETWORK).write_bytes(content)
        manifest = replace(bundle.manifest, derived=(*bundle.manifest.derived, NETWORK))
        seal(copy, manifest)
        figures["int8"] = _accuracy(Bundle.load(copy), val, threads)
        figures["activation_scales"] = {name: float(scale) for name, scale in scales.items()}
        seal(copy, replace(manifest, metrics=manifest.metrics | {"precision": figures}))
    return figures


def _int8(bundle: Bundle, crops: NDArray[np.uint8]) -> tuple[bytes, dict[str, np.float32]]:
    """The int8 file, and the scale of every rounded activation."""
    try:
        from exalign_engine.onnx_graph.int8 import measure_scales, quantise
        from exalign_engine.onnx_graph.onnx_file import read_network, write_network
    except ModuleNotFoundError as e:
        raise RuntimeUnavailableError(f"quantise needs {e.name}: pip install 'exalign[serve]'") from e
    model = read_network(bundle.network)
    try:
        scales = measure_scales(model, crops, progress=progress_bar(len(crops), "activations"))
        return write_network(quantise(model, scales)), scales
    except ValueError as e:
        raise BundleError(bundle.network, str(e)) from e


def training_crops(manifest: Manifest, data: Path, limit: int = 0) -> NDArray[np.uint8]:
    """(B, S, S, 3) crops of ``train``: half as `val` is seen, half disturbed as in training."""
    faces = load_faces(open_faces(data, "train"), min(limit or ACTIVATION_FACES, ACTIVATION_FACES))
    augmenter = Augmenter(AugmentConfig(), manifest.input_size, manifest.margin)
    pictures = list(zip(faces.images, faces.landmarks, strict=True))
    plain = [augmenter.plain(image, points).crop for image, points in pictures]
    disturbed = [
        augmenter.face(image, points, np.random.default_rng([DISTURBANCE_SEED, i])).crop
        for i, (image, points) in enumerate(pictures)
    ]
    return np.stack(plain + disturbed)


def _accuracy(bundle: Bundle, faces: FaceMemory, threads: int) -> dict[str, Any]:
    """Accuracy with true boxes, and the size and hash of the network's file."""
    aligner = Aligner(bundle, create_runtime("auto", bundle.network, threads=threads), {})
    report, errors = progress_bar(len(faces), aligner.runtime.precision), []
    for image, points in zip(faces.images, faces.landmarks, strict=True):
        (face,) = aligner.answer(image, [aligner.place(tight_box(points))])
        errors.append(nrmse(face.landmarks, points))
        report(len(errors))
    sha256 = bundle.manifest.files[NETWORK]
    return {"sha256": sha256, "bytes": bundle.network.stat().st_size, **summarise(errors)}
