"""The bundle: what is written is what is loaded, and every damage is named by file and field."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import (
    FILES,
    MANIFEST,
    OPTIONAL_FILES,
    Bundle,
    Manifest,
    read_baseline,
    seal,
    seal_of,
    sha256,
)
from exalign_engine.bundle.exemplar_file import read_exemplars, write_exemplars
from exalign_engine.errors import BundleError
from exalign_engine.exemplars.building import SHAPE_UNIT, build
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.exemplars.poses import Poses, exemplar_pose
from exalign_engine.geometry.landmarks import mirror_shapes

if TYPE_CHECKING:
    from toy_faces import MakeShapes

Damage = Callable[[Path], object]

EXEMPLARS = "exemplars.npz"

#: Some solid to take poses by.
FACE = np.random.default_rng(0).normal(size=(68, 3))


def reseal(root: Path) -> None:
    """Hash the files as they are now: what somebody who tampers with a bundle would do."""
    raw = json.loads((root / MANIFEST).read_text())
    raw["files"] = {name: sha256(root / name) for name in raw["files"]}
    (root / MANIFEST).write_text(json.dumps(raw | {"seal": seal_of(raw)}))


def in_manifest(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Change the manifest's fields and seal it again."""

    def damage(root: Path) -> None:
        raw = json.loads((root / MANIFEST).read_text())
        change(raw)
        (root / MANIFEST).write_text(json.dumps(raw | {"seal": seal_of(raw)}))

    return damage


def put(name: str, value: Any) -> Damage:
    return in_manifest(lambda raw: raw.update({name: value}))


def arrays(name: str, change: Callable[[dict[str, NDArray[Any]]], object]) -> Damage:
    """Change arrays of an .npz."""

    def damage(root: Path) -> None:
        with np.load(root / name, allow_pickle=False) as z:
            held = dict(z)
        change(held)
        np.savez(root / name, **held)

    return damage


def test_a_bundle_is_loaded_as_it_was_written(toy_bundle: Path, toy_exemplars: Exemplars) -> None:
    bundle = Bundle.load(toy_bundle)
    assert bundle.path == toy_bundle
    assert bundle.network.is_file()
    assert bundle.manifest.exemplars == bundle.exemplars.count == toy_exemplars.count
    assert (bundle.manifest.input_size, bundle.manifest.margin, bundle.manifest.name) == (32, 1.3, "toy")
    assert set(bundle.manifest.files) == {*FILES, "residual.npz"} <= {*FILES, *OPTIONAL_FILES}
    for key in ("variance", "mirror_of", "source"):
        np.testing.assert_array_equal(getattr(bundle.exemplars, key), getattr(toy_exemplars, key))
    assert bundle.exemplars.source_ids == toy_exemplars.source_ids
    assert bundle.detectors == {}
    assert bundle.baseline.weight.shape == (4 * 2 * 2 + 8, 136)


def test_exemplars_that_have_a_recipe_come_back_to_the_last_bit(toy_bundle: Path, toy_exemplars: Exemplars) -> None:
    held = Bundle.load(toy_bundle).exemplars
    np.testing.assert_array_equal(held.shapes, toy_exemplars.shapes)
    assert held.recipe is not None
    with np.load(toy_bundle / EXEMPLARS) as z:
        assert "shapes" not in z.files
        assert len(z["variance"]) == len(z["pose"]) == toy_exemplars.count // 2


def test_poses_of_a_recipe_come_back_to_the_last_bit(toy_exemplars: Exemplars, tmp_path: Path) -> None:
    poses = Poses(np.ones((68, 3)), *exemplar_pose(toy_exemplars, FACE, toy_exemplars.shapes[:15], 0.075))
    write_exemplars(tmp_path / EXEMPLARS, toy_exemplars, poses)
    held = read_exemplars(tmp_path / EXEMPLARS)[1]
    np.testing.assert_array_equal(held.pose, poses.pose)
    np.testing.assert_array_equal(held.variance, poses.variance)


@pytest.fixture
def centres(make_shapes: MakeShapes) -> Exemplars:
    """K = 21 k-means centres, which have no recipe."""
    return build(make_shapes(15, 1), [f"toy_{i}" for i in range(15)], 0.075, variants=2, k=21)


def test_stored_shapes_are_within_half_a_unit_and_closed_under_mirroring(centres: Exemplars, tmp_path: Path) -> None:
    write_exemplars(tmp_path / EXEMPLARS, centres, no_poses(centres.shapes))
    held = read_exemplars(tmp_path / EXEMPLARS)[0]
    assert SHAPE_UNIT / 2 <= 3.1e-5  # what the documentation says
    assert np.abs(held.shapes - centres.shapes).max() <= SHAPE_UNIT / 2 + 1e-7
    assert np.abs(held.shapes[centres.mirror_of] - mirror_shapes(held.shapes)).max() <= SHAPE_UNIT
    for key in ("variance", "mirror_of", "source"):
        np.testing.assert_array_equal(getattr(held, key), getattr(centres, key))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda held: held.pop("mirror_of"), "no array 'mirror_of'"),
        (lambda held: held.update(shapes=held["shapes"][:, :5]), "shapes has shape (21, 5, 2)"),
        (lambda held: held.update(shapes=held["shapes"].astype(np.float32)), "dtype float32"),
        (lambda held: held.update(variance=held["variance"][:-1]), "variance has 20 entries, shapes has 21"),
        (lambda held: held.update(source=held["source"][:-1]), "source has 20 entries"),
        (lambda held: held["mirror_of"].__setitem__(3, 21), "mirror_of points outside"),
        (lambda held: held["mirror_of"].__setitem__(3, -1), "mirror_of points outside"),
        (lambda held: held["source"].__setitem__(3, 15), "source points outside"),
        (lambda held: held["source"].__setitem__(3, -2), "source points outside"),
    ],
)
def test_damage_in_stored_shapes_is_named(
    centres: Exemplars, tmp_path: Path, change: Callable[[dict[str, NDArray[Any]]], object], says: str
) -> None:
    write_exemplars(tmp_path / EXEMPLARS, centres, no_poses(centres.shapes))
    arrays(EXEMPLARS, change)(tmp_path)
    with pytest.raises(BundleError) as caught:
        read_exemplars(tmp_path / EXEMPLARS)
    assert caught.value.path == tmp_path / EXEMPLARS
    assert says in caught.value.problem


def no_poses(shapes: np.ndarray[Any, np.dtype[np.float32]]) -> Poses:
    k = len(shapes)
    return Poses(np.zeros((68, 3)), np.zeros((k, 3), np.float32), np.ones((k, 3), np.float32))


@pytest.mark.parametrize("value", [2.0, -2.1, 300.0, np.nan, np.inf])
def test_a_shape_that_cannot_be_stored_is_refused_not_wrapped_round(
    tmp_path: Path, centres: Exemplars, value: float
) -> None:
    shapes = centres.shapes.copy()
    shapes[3, 5, 1] = value
    with pytest.raises(ValueError, match="within -2 to 2 box sides"):
        write_exemplars(tmp_path / EXEMPLARS, dataclasses.replace(centres, shapes=shapes), no_poses(shapes))
    assert not (tmp_path / EXEMPLARS).exists()


def test_the_id_changes_with_any_content(toy_bundle: Path, toy_bundle_copy: Path) -> None:
    before = Bundle.load(toy_bundle_copy)
    assert before.id == Bundle.load(toy_bundle).id
    toml = toy_bundle_copy / "train.toml"
    toml.write_text(toml.read_text() + "# another\n")
    seal(toy_bundle_copy, before.manifest)
    after = Bundle.load(toy_bundle_copy)
    assert after.id != before.id
    kept = dataclasses.replace(before.manifest, files=after.manifest.files, seal=after.manifest.seal)
    assert after.manifest == kept


def test_sealing_keeps_every_field_of_the_manifest(toy_bundle_copy: Path) -> None:
    given = dataclasses.replace(
        Bundle.load(toy_bundle_copy).manifest, name="µ × τ", metrics={"val": {"auc": None}}, derived=("a",)
    )
    sealed = seal(toy_bundle_copy, given)
    assert Bundle.load(toy_bundle_copy).manifest == sealed
    assert sealed == dataclasses.replace(given, seal=sealed.seal)
    assert not list(toy_bundle_copy.glob("*.partial"))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "damage",
    [flip, lambda p: p.write_bytes(p.read_bytes()[:-1]), lambda p: p.write_bytes(b""), lambda p: p.unlink()],
    ids=["one bit", "one byte short", "empty", "deleted"],
)
def test_tampering_with_a_file_is_found_and_the_file_named(
    toy_bundle_copy: Path, name: str, damage: Callable[[Path], object]
) -> None:
    damage(toy_bundle_copy / name)
    with pytest.raises(BundleError) as caught:
        Bundle.load(toy_bundle_copy)
    assert caught.value.path == toy_bundle_copy / name


def test_a_bundle_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere: no such directory"):
        Bundle.load(tmp_path / "nowhere")


def test_an_empty_directory_has_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json: cannot be read"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda root: (root / MANIFEST).write_bytes(b"{"), "cannot be read"),
        (lambda root: (root / MANIFEST).write_bytes(b"\xff"), "cannot be read"),
        (lambda root: (root / MANIFEST).write_bytes(b"[]"), "schema_version is None"),
        (put("schema_version", 2), "schema_version is 2, this version reads 1"),
        (put("schema_version", "1"), "schema_version is '1'"),
        (in_manifest(lambda raw: raw.pop("schema_version")), "schema_version is None"),
        *(
            (in_manifest(lambda raw, name=name: raw.pop(name)), name)  # type: ignore[misc]
            for name in ("name", "files", "input_size", "margin", "exemplars", "tau", "licences", "derived")
        ),
        (put("colour", "red"), "colour"),
        (put("licences", [{"subject": "weights"}]), "fields missing or unknown"),
        (put("licences", 3), "fields missing or unknown"),
        (in_manifest(lambda raw: raw["files"].pop("baseline.npz")), "files: no entry for baseline.npz"),
        (in_manifest(lambda raw: raw["files"].update({"../secret": "0"})), "files: '../secret'"),
        (put("files", None), "files is None"),
        (put("files", ["network.onnx"]), "files is ["),
        (put("landmarks", 5), "landmarks is 5, must be 68"),
        *((put("input_size", v), "input_size is") for v in (0, 15, 1025, "32", None, 32.5, True)),
        *((put("margin", v), "margin is") for v in (0, -1.3, "1.3", None, float("nan"))),
        *((put("tau", v), "tau is") for v in (0, "x", float("inf"))),
        *((put("exemplars", v), "exemplars is") for v in (0, "60", None)),
        (put("metrics", 3), "metrics is 3"),
        (put("name", None), "name is None"),
        (put("name", "\ud800"), "name"),
    ],
)
def test_damage_in_the_manifest_is_one_error_that_names_the_field(
    toy_bundle_copy: Path, damage: Damage, says: str
) -> None:
    damage(toy_bundle_copy)
    with pytest.raises(BundleError) as caught:
        Bundle.load(toy_bundle_copy)
    assert caught.value.path == toy_bundle_copy / MANIFEST
    assert says in caught.value.problem


@pytest.mark.parametrize(
    "change",
    [{"name": "other"}, {"tau": 0.08}, {"licences": []}, {"seal": "0"}, {"seal": None}, {"colour": "red"}],
    ids=lambda change: next(iter(change)),
)
def test_a_manifest_that_was_changed_without_its_seal_is_refused(toy_bundle_copy: Path, change: dict[str, Any]) -> None:
    raw = json.loads((toy_bundle_copy / MANIFEST).read_text())
    (toy_bundle_copy / MANIFEST).write_text(json.dumps(raw | change))
    with pytest.raises(BundleError, match=r"manifest\.json: seal does not fit"):
        Bundle.load(toy_bundle_copy)


def test_a_manifest_with_another_k_is_a_disagreement_with_the_shapes(toy_bundle_copy: Path) -> None:
    put("exemplars", 61)(toy_bundle_copy)
    with pytest.raises(BundleError, match=r"exemplars\.npz: 60 shapes, manifest\.json says 61"):
        Bundle.load(toy_bundle_copy)


class Detonator:
    """Would raise in whoever unpickles it."""

    def __reduce__(self) -> Any:
        return (_detonate, ())


def _detonate() -> None:
    raise AssertionError("a pickle was loaded")


def pickled(root: Path) -> None:
    np.savez(root / "exemplars.npz", shapes=np.array([Detonator()], dtype=object))


def set_value(key: str, place: Any, value: Any) -> Callable[[dict[str, NDArray[Any]]], None]:
    def change(held: dict[str, NDArray[Any]]) -> None:
        held[key][place] = value

    return change


def change_array(key: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[dict[str, NDArray[Any]]], None]:
    def apply(held: dict[str, NDArray[Any]]) -> None:
        held[key] = change(held[key])

    return apply


@pytest.mark.parametrize(
    ("damage", "file", "says"),
    [
        (pickled, EXEMPLARS, "cannot be read"),
        (lambda root: (root / EXEMPLARS).write_bytes(pickle.dumps(Detonator())), EXEMPLARS, "cannot be read"),
        (lambda root: (root / EXEMPLARS).write_bytes(b""), EXEMPLARS, "cannot be read"),
        (lambda root: (root / EXEMPLARS).write_bytes((root / EXEMPLARS).read_bytes()[:900]), EXEMPLARS, "cannot"),
        (lambda root: flip(root / EXEMPLARS), EXEMPLARS, "cannot be read"),
        (lambda root: np.save((root / EXEMPLARS).open("wb"), np.zeros(3)), EXEMPLARS, "cannot be read"),
        (arrays(EXEMPLARS, lambda held: held.pop("transforms")), EXEMPLARS, "no array 'transforms'"),
        (arrays(EXEMPLARS, change_array("faces", lambda a: a[:, :5])), EXEMPLARS, "faces has shape (15, 5, 2)"),
        (arrays(EXEMPLARS, change_array("faces", lambda a: a.astype(np.float32))), EXEMPLARS, "dtype float32"),
        (
            arrays(EXEMPLARS, change_array("faces", lambda a: a[:-1])),
            EXEMPLARS,
            "faces has 14 entries",
        ),
        (arrays(EXEMPLARS, change_array("variance", lambda a: a[:-1])), EXEMPLARS, "variance has 29 entries"),
        (arrays(EXEMPLARS, change_array("source_ids", lambda a: a[:-1])), EXEMPLARS, "source_ids has 14 entries"),
        (arrays(EXEMPLARS, set_value("transforms", (0, 0, 5), np.nan)), EXEMPLARS, "transforms holds"),
        (arrays(EXEMPLARS, set_value("variance", 3, np.nan)), EXEMPLARS, "variance holds"),
        (arrays(EXEMPLARS, set_value("variance", 3, 0)), EXEMPLARS, "variance holds"),
        (arrays("baseline.npz", change_array("weight", lambda a: a[:, :5])), "baseline.npz", "weight has shape"),
        (arrays("baseline.npz", set_value("offset", 0, np.inf)), "baseline.npz", "offset holds"),
        (arrays("baseline.npz", lambda held: held.pop("offset")), "baseline.npz", "offset"),
        (arrays("residual.npz", lambda held: held.pop("bias")), "residual.npz", "no array 'bias'"),
        (arrays("residual.npz", change_array("weight", lambda a: a[:, :5])), "residual.npz", "weight has shape"),
        (
            arrays("residual.npz", change_array("hidden_bias", lambda a: a[:, 1:])),
            "residual.npz",
            "hidden_bias has",
        ),
        (arrays("residual.npz", set_value("weight", (0, 0, 0), np.inf)), "residual.npz", "weight holds"),
        (
            arrays("residual.npz", lambda held: held.update({k: v[:0] for k, v in held.items()})),
            "residual.npz",
            "has no level",
        ),
        (lambda root: (root / "detectors.json").write_text("[]"), "detectors.json", "object"),
        (lambda root: (root / "detectors.json").write_text("{"), "detectors.json", "cannot be read"),
        (lambda root: (root / "detectors.json").write_text('{"mtcnn": {}}'), "detectors.json", "mtcnn"),
        (lambda root: (root / "detectors.json").write_text('{"mtcnn": 3}'), "detectors.json", "mtcnn"),
        (
            lambda root: (root / "detectors.json").write_text('{"m": {"affine": {"dx": 0, "dy": 0, "scale": 0}}}'),
            "detectors.json",
            "scale",
        ),
        (lambda root: (root / "calibration.json").write_text("{}"), "calibration.json", "temperature"),
    ],
)
def test_a_resealed_file_is_still_checked_and_never_unpickled(
    toy_bundle_copy: Path, damage: Damage, file: str, says: str
) -> None:
    damage(toy_bundle_copy)
    reseal(toy_bundle_copy)
    with pytest.raises(BundleError) as caught:
        Bundle.load(toy_bundle_copy)
    assert caught.value.path == toy_bundle_copy / file
    assert says in caught.value.problem


def test_every_field_of_the_manifest_is_documented() -> None:
    for field in dataclasses.fields(Manifest):
        assert f"{field.name}:" in (Manifest.__doc__ or "")


def test_exemplars_and_control_can_be_read_alone(toy_bundle: Path) -> None:
    exemplars, poses = read_exemplars(toy_bundle / EXEMPLARS)
    assert (exemplars.count, len(poses.pose)) == (60, 60)
    assert read_baseline(toy_bundle / "baseline.npz").offset.shape == (136,)


def test_a_bundle_may_be_without_a_residual(toy_bundle_copy: Path) -> None:
    held = Bundle.load(toy_bundle_copy)
    assert held.residual is not None
    (toy_bundle_copy / "residual.npz").unlink()
    seal(toy_bundle_copy, held.manifest)
    assert Bundle.load(toy_bundle_copy).residual is None
