"""Whole bundles that are made in milliseconds: a network that reads brightness, and shapes that tell their bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from exalign.v1 import face_pb2
from exalign_engine.bundle.bundle import Baseline, Manifest, seal, write_baseline
from exalign_engine.bundle.exemplar_file import write_exemplars
from exalign_engine.detect import BoxAffine
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.exemplars.poses import Poses
from exalign_engine.posterior.calibration import Calibration
from toy_faces import mean_face

#: Exemplars, side of the crop, and numbers of an embedding.
K, SIDE, WIDTH = 40, 16, 8

#: Bundle number n has landmark 0 of every exemplar at FIRST + n · STEP of the box: whoever answers tells who it is.
FIRST, STEP = 0.1, 0.01


def write_bundle(
    folder: Path, number: int, ballast: int = 0, detector: str = "blazeface", card: dict[str, Any] | None = None
) -> Path:
    """Write bundle ``number``, 0 to 60, into a folder that is made.

    Args:
        folder: of the bundle.
        number: see `number_of`.
        ballast: values that its network holds beside what it needs, 4 bytes each.
        detector: the one whose boxes it knows.
        card: of its calibration; None: it has no figures.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    shapes = (
        0.5 + (mean_face()[None] - 0.5) * np.linspace(0.8, 1.1, K)[:, None, None] + rng.normal(0, 0.004, (K, 68, 2))
    )
    shapes[:, 0, 0] = FIRST + number * STEP
    exemplars = Exemplars(
        shapes=shapes.astype(np.float32),
        variance=np.full(K, 1e-4, np.float32),
        mirror_of=np.arange(K, dtype=np.int32),
        source=np.full(K, -1, np.int32),
        source_ids=(),
    )
    poses = Poses(rng.normal(0, 0.3, (68, 3)), np.zeros((K, 3), np.float32), np.ones((K, 3), np.float32))
    write_exemplars(folder / "exemplars.npz", exemplars, poses)
    (folder / "network.onnx").write_bytes(_network(ballast).SerializeToString())
    Calibration(card=card or {}).write(folder / "calibration.json")
    detectors = {detector: {"affine": BoxAffine(0.0, 0.1, 0.9).to_dict()}}
    (folder / "detectors.json").write_text(json.dumps(detectors))
    write_baseline(folder / "baseline.npz", Baseline(np.zeros((2 + WIDTH, 136), np.float32), np.zeros(136, np.float32)))
    (folder / "train.toml").write_text("")
    manifest = Manifest(
        schema_version=1,
        name=f"drawn {number}",
        created="2026-01-01",
        files={},
        input_size=SIDE,
        margin=1.3,
        landmarks=68,
        exemplars=K,
        tau=0.05,
        training_data="none",
        licences=(),
    )
    seal(folder, manifest)
    return folder


def number_of(face: face_pb2.Face) -> int:
    """Which bundle has answered about a face."""
    box = face.box
    side = max(box.x1 - box.x0, box.y1 - box.y0)
    at = (face.landmarks.points[0] - (box.x0 + box.x1) / 2) / side + 0.5
    return round((at - FIRST) / STEP)


def _network(ballast: int) -> object:
    """Mean brightness m of (B, S, S, 3) uint8 → scores −|k − m (K − 1)|, and zeros for all else."""
    constants: dict[str, NDArray[np.float32]] = {
        "scale": np.float32((K - 1) / 255),
        "classes": np.arange(K, dtype=np.float32),
        "flat": np.zeros((1, WIDTH), np.float32),
        "ballast": np.zeros(max(ballast, 1), np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["bytes"], "cast", to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["bytes", "axes"], ["mean4"], "mean", keepdims=1),
        helper.make_node("Reshape", ["mean4", "column"], ["mean"], "column"),
        helper.make_node("Mul", ["mean", "scale"], ["level"], "level"),
        helper.make_node("Sub", ["level", "classes"], ["apart"], "apart"),
        helper.make_node("Abs", ["apart"], ["distance"], "distance"),
        helper.make_node("Neg", ["distance"], ["scores"], "scores"),
        helper.make_node("Mul", ["mean", "flat"], ["embedding0"], "embedding0"),
        helper.make_node("ReduceMax", ["ballast"], ["most"], "most", keepdims=0),
        helper.make_node("Add", ["embedding0", "most"], ["embedding"], "embedding"),
        helper.make_node("Reshape", ["mean", "cell"], ["feature"], "feature"),
        helper.make_node("Concat", ["feature", "feature"], ["features"], "features", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "drawn",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", K]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", WIDTH]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 2, 1, 1]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
        + [
            numpy_helper.from_array(np.array([1, 2, 3], np.int64), "axes"),
            numpy_helper.from_array(np.array([-1, 1], np.int64), "column"),
            numpy_helper.from_array(np.array([-1, 1, 1, 1], np.int64), "cell"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
