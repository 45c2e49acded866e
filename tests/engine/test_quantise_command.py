"""``exalign-model quantise``: a bundle of int8, made anew or in place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.cli import main
from toy_faces import MakePrepared

pytest.importorskip("onnx", reason="needs onnx (extra 'train')")


def test_the_command_writes_an_int8_bundle_and_says_what_it_cost(
    toy_bundle: Path, make_prepared: MakePrepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_prepared(tmp_path / "faces", ["train"] * 4 + ["val"] * 3)
    before = Bundle.load(toy_bundle)
    outs = [tmp_path / "a", tmp_path / "b"]
    for out in outs:
        assert (
            main(
                [
                    "quantise",
                    "--bundle",
                    str(toy_bundle),
                    "--data",
                    str(tmp_path / "faces"),
                    "--out",
                    str(out),
                    "--json",
                ]
            )
            == 0
        )
        figures = json.loads(capsys.readouterr().out)
    a, b = (Bundle.load(out) for out in outs)
    assert a.network.read_bytes() == b.network.read_bytes()
    assert a.id == b.id
    assert a.manifest.derived == (*before.manifest.derived, "network.onnx")
    assert a.manifest.metrics == before.manifest.metrics | {"precision": figures}
    assert figures["f32"]["sha256"] == before.manifest.files["network.onnx"]
    assert figures["int8"]["sha256"] == a.manifest.files["network.onnx"]
    assert figures["f32"]["n"] == figures["int8"]["n"] == 3
    assert figures["int8"]["bytes"] == a.network.stat().st_size
    assert abs(figures["f32"]["nrmse_mean"] - figures["int8"]["nrmse_mean"]) < 0.01
    assert Bundle.load(toy_bundle).id == before.id
    others = set(before.manifest.files) - {"network.onnx"}
    assert {n: a.manifest.files[n] for n in others} == {n: before.manifest.files[n] for n in others}


def test_the_command_changes_a_bundle_in_place_but_once(
    toy_bundle_copy: Path, make_prepared: MakePrepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_prepared(tmp_path / "faces", ["train"] * 2 + ["val"] * 2)
    args = ["quantise", "--bundle", str(toy_bundle_copy), "--data", str(tmp_path / "faces")]
    assert main(args) == 0
    printed = capsys.readouterr()
    assert "int8" in printed.out
    assert "to be calibrated next" in printed.err
    bundle = Bundle.load(toy_bundle_copy)
    assert bundle.manifest.derived == ("network.onnx",)
    assert main(args) == 1
    assert "the network is quantised already" in capsys.readouterr().err
    assert Bundle.load(toy_bundle_copy).id == bundle.id
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "faces"]
    assert main([*args, "--out", str(toy_bundle_copy)]) == 2
    assert "--out" in capsys.readouterr().err
