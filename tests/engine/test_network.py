"""The network that learns: the head in pieces, the residual's levels, and what export makes of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exalign_engine.errors import DataError
from exalign_engine.geometry.landmarks import mirror_shapes
from exalign_engine.posterior.residual import ImageFeatures
from exalign_engine.runtime import create_runtime
from properties import examples

torch = pytest.importorskip("torch", reason="the network is trained with torch (extra 'train')")

if TYPE_CHECKING:
    from pathlib import Path

    from exalign_engine.train.network import ExemplarNetwork
    from toy_faces import MakePrepared

K = 23


def small_network(shards: int = 3, seed: int = 0, k: int = K) -> ExemplarNetwork:
    from exalign_engine.train.config import NetworkConfig
    from exalign_engine.train.network import ExemplarNetwork

    config = NetworkConfig(
        input_size=32, widths=(4, 6, 8, 10), feature_channels=4, embedding=8, local_width=6, local_channels=5
    )
    torch.manual_seed(seed)
    network = ExemplarNetwork(config, k, 136, shards)
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return network.eval()


def crops(n: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("shards", [1, 2, 3, K])
def test_the_pieces_of_the_head_are_its_interleaved_classes(shards: int) -> None:
    network = small_network(shards)
    embedding = torch.randn(4, 8, generator=torch.Generator().manual_seed(2))
    whole = network.head(embedding)
    assert whole.shape == (4, K)
    for i in range(shards):
        torch.testing.assert_close(network.head(embedding, i), whole[:, i::shards])
    torch.testing.assert_close(network.head.whole()(embedding), whole)


def test_the_local_map_is_a_quarter_of_the_crop_and_the_exported_one_equal(tmp_path: Path) -> None:
    from exalign_engine.train.export import export_network

    network, images = small_network(), crops(3)
    export_network(network, 32, tmp_path / "network.onnx")
    out = create_runtime("onnxruntime", tmp_path / "network.onnx").infer(images)
    with torch.no_grad():
        scores, embedding, features, local = network(torch.from_numpy(images))
    assert out.local is not None
    assert out.local.shape == (3, 5, 8, 8)
    for name, expected in (("scores", scores), ("embedding", embedding), ("features", features), ("local", local)):
        np.testing.assert_allclose(getattr(out, name), expected.numpy(), rtol=1e-4, atol=1e-4, err_msg=name)


def test_exporting_leaves_the_network_in_pieces(tmp_path: Path) -> None:
    from exalign_engine.train.export import export_network

    network = small_network(3)
    export_network(network, 32, tmp_path / "network.onnx")
    assert len(network.head.pieces) == 3


@examples(25)
@given(seed=st.integers(0, 2**31), spread=st.floats(0, 1.5))
def test_the_engine_runs_the_levels_as_they_were_trained(seed: int, spread: float) -> None:
    network = small_network()
    head, rng = network.residual.export(), np.random.default_rng(seed)
    with torch.no_grad():  # the engine's weights are rounded to half precision
        for layer in [*network.residual.hidden, *network.residual.out]:
            layer.weight.copy_(layer.weight.half().float())
    image = ImageFeatures(rng.normal(size=8).astype(np.float32), rng.normal(size=(5, 8, 8)).astype(np.float32))
    start = 0.5 + spread * rng.uniform(-1, 1, (68, 2))  # beyond the crop too
    with torch.no_grad():
        shapes = network.residual(
            torch.from_numpy(image.local[None]),
            torch.from_numpy(image.embedding[None]),
            torch.from_numpy(start[None].astype(np.float32)),
        )
    np.testing.assert_allclose(head.displacement(image, start), shapes[-1][0].numpy() - start, atol=2e-4)


def test_the_resnet50_backbone_has_its_shapes_and_learns_in_one_step() -> None:
    from exalign_engine.train.config import NetworkConfig
    from exalign_engine.train.network import ExemplarNetwork

    torch.manual_seed(0)
    config = NetworkConfig(input_size=32, backbone="resnet50", feature_channels=8, embedding=16, local_channels=5)
    network = ExemplarNetwork(config, K, 136)
    assert sum(p.numel() for p in network.stages.parameters()) == 23_508_032 - 9_536  # torchvision's, less its stem
    images = torch.from_numpy(crops(2))
    scores, embedding, features, local = network(images)
    assert (scores.shape, embedding.shape) == ((2, K), (2, 16))
    assert (features.shape, local.shape) == ((2, 8, 2, 2), (2, 5, 8, 8))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    losses = []
    for _ in range(2):
        scores, embedding, _, local = network(images)
        shapes = network.residual(local, embedding, torch.full((2, 68, 2), 0.5))
        loss = torch.nn.functional.softplus(scores).mean() + 100 * (shapes[-1] - 0.4).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]
    assert all(p.grad is not None for p in network.stages.parameters())


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_network_that_looks_twice_answers_for_the_crop_and_its_mirror_image(tmp_path: Path, runtime: str) -> None:
    from exalign_engine.train.export import export_network

    network, images = small_network(k=24), crops(3)
    for looks in (1, 2):
        export_network(network, 32, tmp_path / f"{looks}.onnx", looks)
    once, twice = (create_runtime(runtime, tmp_path / f"{looks}.onnx") for looks in (1, 2))
    here, there, both = once.infer(images), once.infer(np.ascontiguousarray(images[:, :, ::-1])), twice.infer(images)
    mirror_of = np.r_[12:24, :12]
    np.testing.assert_allclose(both.scores, (here.scores + there.scores[:, mirror_of]) / 2, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(both.features, here.features, rtol=1e-5, atol=1e-5)
    for i in range(3):
        image = both.row(i).image
        assert image is not None
        parts = here.row(i).image, there.row(i).image
        assert parts[0] is not None
        assert parts[1] is not None
        np.testing.assert_allclose(image.embedding, np.concatenate([p.embedding for p in parts]), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(image.local, np.concatenate([p.local for p in parts]), rtol=1e-5, atol=1e-5)


def test_of_two_looks_the_residual_is_the_mean_and_mirrored_looks_give_the_mirrored_one() -> None:
    head, rng = small_network().residual.export(), np.random.default_rng(0)
    embedding, local = rng.normal(size=(2, 8)).astype(np.float32), rng.normal(size=(2, 5, 8, 8)).astype(np.float32)
    start = 0.5 + 0.4 * rng.uniform(-1, 1, (68, 2))
    here, there = (ImageFeatures(e, m) for e, m in zip(embedding, local, strict=True))
    both = ImageFeatures(embedding.reshape(-1), local.reshape(-1, 8, 8))
    swapped = ImageFeatures(embedding[::-1].reshape(-1), local[::-1].reshape(-1, 8, 8))
    mirrored = mirror_shapes(mirror_shapes(start) + head.displacement(there, mirror_shapes(start))) - start
    expected = (head.displacement(here, start) + mirrored) / 2
    np.testing.assert_allclose(head.displacement(both, start), expected, atol=1e-6)
    other = mirror_shapes(start) + head.displacement(swapped, mirror_shapes(start))
    np.testing.assert_allclose(mirror_shapes(other) - start, expected, atol=1e-6)


def test_training_starts_are_moved_off_as_stated_and_repeatably() -> None:
    from exalign_engine.train.residual import START_SCALE, START_SHIFT, START_TURN, moved_off

    shapes = torch.rand(4000, 68, 2, generator=torch.Generator().manual_seed(2))
    moved = moved_off(shapes, torch.Generator().manual_seed(1))
    torch.testing.assert_close(moved, moved_off(shapes, torch.Generator().manual_seed(1)))
    shift = (moved - shapes).mean(dim=1)
    assert shift.std(dim=0).tolist() == pytest.approx([START_SHIFT] * 2, rel=0.05)
    a, b = (x - x.mean(dim=1, keepdim=True) for x in (shapes, moved))
    scale = (b.square().sum((1, 2)) / a.square().sum((1, 2))).sqrt().log()
    assert scale.std().item() == pytest.approx(START_SCALE, rel=0.05)
    turn = torch.atan2((a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(1), (a * b).sum((1, 2)))
    assert turn.std().item() == pytest.approx(START_TURN, rel=0.05)


@pytest.fixture
def trainers(make_prepared: MakePrepared, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Makes trainers of a tiny run on pictures of noise."""
    from exalign_engine.sampling.augment_config import AugmentConfig
    from exalign_engine.sampling.faces import LoadedFaces
    from exalign_engine.train.config import ExemplarConfig, NetworkConfig, TrainConfig
    from exalign_engine.train.loop import Trainer

    make_prepared(tmp_path / "data", ["train"] * 10 + ["val"] * 4)
    base = TrainConfig(
        epochs=2,
        batch_size=4,
        warmup=1,
        threads=1,
        bf16=False,
        exemplars=ExemplarConfig(variants=2),
        network=NetworkConfig(input_size=32, widths=(4, 4, 4, 4), feature_channels=2, embedding=4, local_width=4),
        augment=AugmentConfig(turned=0.5, turned_pictures=1),
    )

    def make(name: str, **changes: object) -> Trainer:
        config = dataclasses.replace(base, **changes)  # type: ignore[arg-type]
        train, val = (LoadedFaces.open(tmp_path / "data", split).memory for split in ("train", "val"))
        return Trainer(config, train, val, tmp_path / name)

    return make


def test_a_step_learns_one_piece_of_the_head_and_every_level(trainers) -> None:  # type: ignore[no-untyped-def]
    trainer = trainers("run", shards=2)
    before = {k: v.clone() for k, v in trainer.network.state_dict().items()}
    from exalign_engine.train.batches import training_batches

    batch = next(training_batches(trainer.train_faces, trainer.augmenter, 1, 0, 4))
    trainer._step(batch, 1)
    moved = {k for k, v in trainer.network.named_parameters() if not torch.equal(v, before[k])}
    assert "head.pieces.1.weight" in moved
    assert "head.pieces.0.weight" not in moved
    assert {"residual.hidden.0.weight", "residual.out.1.weight", "lateral.0.weight", "stem.0.weight"} <= moved


@pytest.mark.parametrize(
    ("capability", "widths", "bf16", "by_onednn"),
    [
        ("AVX2", (4, 8, 8, 8), True, False),
        ("AVX2", (8, 8, 8, 8), False, True),
        ("AVX512", (8, 16, 16, 16), False, False),
        ("AVX512", (8, 16, 16, 16), True, True),
        ("AVX512", (16, 16, 16, 16), False, True),
    ],
)
def test_narrow_convolutions_are_not_left_to_onednn(
    monkeypatch: pytest.MonkeyPatch, capability: str, widths: tuple[int, ...], bf16: bool, by_onednn: bool
) -> None:
    import torch

    from exalign_engine.train.optimisation import choose_convolutions

    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    before = torch.backends.mkldnn.enabled
    try:
        choose_convolutions(widths, bf16)
        assert torch.backends.mkldnn.enabled == by_onednn
    finally:
        torch.backends.mkldnn.enabled = before


def test_the_averaged_weights_are_what_a_run_results_in(trainers) -> None:  # type: ignore[no-untyped-def]
    trainer = trainers("run")
    trained = trainer.run()
    assert trained.network is trainer.averaged
    ours, theirs = trainer.averaged.stem[0].weight, trainer.network.stem[0].weight
    assert not torch.equal(ours, theirs)
    row = trainer.curves[-1]
    assert row["residual_loss"] > 0
    assert "val_residual_auc" in row


def test_without_an_average_the_weights_themselves_result(trainers) -> None:  # type: ignore[no-untyped-def]
    trainer = trainers("run", average=0.0)
    trainer.run()
    for name, p in trainer.averaged.state_dict().items():
        assert torch.equal(p, trainer.network.state_dict()[name]), name


def test_a_run_goes_on_from_the_weights_of_another_with_other_classes(trainers) -> None:  # type: ignore[no-untyped-def]
    first = trainers("first")
    first.run()
    from exalign_engine.train.config import ExemplarConfig

    second = trainers("second", start="../first/checkpoint.pt", exemplars=ExemplarConfig(variants=3))
    torch.testing.assert_close(second.network.stem[0].weight, first.averaged.stem[0].weight)
    assert second.exemplars.count == 60
    assert second.epoch == 0


def test_a_start_that_does_not_fit_is_named(trainers, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    torch.save({"network": {"other": torch.zeros(3)}}, tmp_path / "other.pt")
    with pytest.raises(DataError, match="start: no tensor in it"):
        trainers("run", start="../other.pt")


def test_turned_pictures_depend_on_the_seed_and_the_face_alone(trainers) -> None:  # type: ignore[no-untyped-def]
    first, again, other = trainers("a"), trainers("b"), trainers("c", seed=2)
    (picture, points), (same, same_points) = first.train_faces.turned[3][0], again.train_faces.turned[3][0]
    np.testing.assert_array_equal(picture, same)
    np.testing.assert_array_equal(points, same_points)
    assert not np.array_equal(points, other.train_faces.turned[3][0][1])
    assert picture.shape == first.train_faces.images[3].shape


def test_a_run_on_undisturbed_faces_learns_them(trainers) -> None:  # type: ignore[no-untyped-def]
    from exalign_engine.sampling.augment_config import AugmentConfig

    still = {f.name: 0.0 for f in dataclasses.fields(AugmentConfig) if isinstance(f.default, float)}
    trainer = trainers("run", epochs=24, validate_every=24, batch_size=8, augment=AugmentConfig(**still))
    trainer.run()
    # Starts of the residual are drawn anew in every epoch, which makes a single one's loss a matter of luck.
    losses = [row["loss"] for row in trainer.curves]
    assert np.mean(losses[-6:]) < 0.9 * np.mean(losses[:6])
