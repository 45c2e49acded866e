"""What the fuzzers have found, each with the error that is documented for it. No input here does harm to anybody."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from PIL import Image, features

import state_target
from drawn_bundles import write_bundle
from exalign_client.errors import InvalidRequestError
from exalign_client.pictures.decode import decode_picture
from exalign_engine.bundle.bundle import MANIFEST, Bundle, seal_of, sha256
from exalign_engine.errors import BundleError, InvalidInputError
from exalign_engine.geometry.image import decode
from fuzz_target import TARGETS, Judge

#: A whole number that no float holds.
HUGE = 10**400


def damaged(box: bytes, at: int, value: int) -> bytes:
    """A small AVIF file with one byte of a box changed."""
    file = io.BytesIO()
    Image.new("RGB", (24, 20), (200, 30, 90)).save(file, "AVIF")
    data = bytearray(file.getvalue())
    data[data.index(box) + at] = value
    return bytes(data)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
@pytest.mark.parametrize(("box", "at"), [(b"pixi", 9), (b"pitm", 9), (b"iloc", 20)])
def test_an_avif_file_that_its_reader_does_not_know_is_refused(box: bytes, at: int) -> None:
    data = damaged(box, at, 77)
    with pytest.raises(InvalidInputError):
        decode(data)
    with pytest.raises(InvalidRequestError):
        decode_picture(data)


def resealed(root: Path, change: Callable[[dict[str, Any]], object] = lambda fields: None) -> None:
    """Let hashes and seal fit what is there."""
    fields = json.loads((root / MANIFEST).read_text("utf-8"))
    fields["files"] = {name: sha256(root / name) for name in fields["files"]}
    change(fields)
    (root / MANIFEST).write_text(json.dumps({**fields, "seal": seal_of(fields)}))


def in_json(name: str, change: Callable[[Any], object]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        document = json.loads((root / name).read_text())
        change(document)
        (root / name).write_text(json.dumps(document))
        resealed(root)

    return damage


def in_manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    return lambda root: resealed(root, change)


def nested(name: str) -> Callable[[Path], None]:
    """JSON that is deeper than Python reads."""

    def damage(root: Path) -> None:
        (root / name).write_text("[" * 100_000)
        if name != MANIFEST:
            resealed(root)

    return damage


def of_another_zip(root: Path) -> None:
    """An archive that says it needs a reader of version 17.5, in its first entry of the directory at its end."""
    path = root / "baseline.npz"
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, data.index(b"PK\x01\x02") + 6, 175)
    path.write_bytes(data)
    resealed(root)


def with_an_open_header(root: Path) -> None:
    """An array whose description does not end."""
    arrays = io.BytesIO()
    with zipfile.ZipFile(arrays, "w") as archive:
        text = b"{'descr': '<f4', 'shape': ((136,)\n"
        archive.writestr("offset.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(544))
    (root / "baseline.npz").write_bytes(arrays.getvalue())
    resealed(root)


@pytest.mark.parametrize(
    ("damage", "file"),
    [
        (in_manifest(lambda fields: fields["files"].update({"network.onnx": 3})), MANIFEST),
        (in_manifest(lambda fields: fields.update(margin=HUGE)), MANIFEST),
        (nested(MANIFEST), MANIFEST),
        (in_json("calibration.json", lambda fields: fields.update(temperature=HUGE)), "calibration.json"),
        (in_json("calibration.json", lambda fields: fields["landmark_scale"].__setitem__(3, HUGE)), "calibration.json"),
        (nested("calibration.json"), "calibration.json"),
        (in_json("detectors.json", lambda fields: fields["blazeface"]["affine"].update(dx=HUGE)), "detectors.json"),
        (nested("detectors.json"), "detectors.json"),
        (of_another_zip, "baseline.npz"),
        (with_an_open_header, "baseline.npz"),
    ],
)
def test_a_bundle_with_what_nobody_writes_is_refused_and_the_file_named(
    tmp_path: Path, damage: Callable[[Path], None], file: str
) -> None:
    root = write_bundle(tmp_path / "bundle", 1)
    damage(root)
    with pytest.raises(BundleError) as caught:
        Bundle.load(root)
    assert caught.value.path == root / file


def test_a_state_with_numbers_that_cannot_be_is_refused(tmp_path: Path) -> None:
    target = state_target.Fuzzed(tmp_path)
    judge = Judge(target, TARGETS["state"].cpu_seconds)
    # The state after the evidence of frame 2, whose checksum is made to fit.
    whole = max((seed for seed in target.seeds() if seed[0] == 1), key=len)
    places = Random(1).sample(range(1, len(whole) - 8), 500)
    for place in places:
        judge(whole[:place] + struct.pack("<q", 2**63 - 1) + whole[place + 8 :])
    assert judge.finds == {}
    assert judge.outcomes["VERSION"] > 0
