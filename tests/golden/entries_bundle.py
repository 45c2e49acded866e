"""Entries from drawn faces to a calibrated bundle, and that bundle's int8 form."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from golden_inputs import Tables
from golden_tree import flatten

from drawn_faces import write_prepared

TRAINING = """\
seed = 3
epochs = 2
batch_size = 16
warmup = 2
validate_every = 1
shards = 2
threads = 1

[exemplars]
variants = 2
tau = 0.1
wide_roll = 0.2
turned = 0.3

[network]
input_size = 32
widths = [4, 4, 8, 8]
feature_channels = 4
embedding = 8
local_width = 8
local_channels = 4
residual_levels = 2
residual_hidden = 16

[augment]
wide_roll = 0.1
turned = 0.25
turned_pictures = 1

[export]
looks = 2

[description]
name = "golden"
training_data = "faces drawn by the tests"
"""

#: Left out: the manifest's date; its seal, which holds the date; its hashes of the other files, an entry of their own.
MANIFEST_LEFT_OUT = ("created", "seal", "files")


def bundle() -> Tables:
    """``exalign-model train`` and ``quantise`` on drawn faces, as a user calls them."""
    with tempfile.TemporaryDirectory(prefix="exalign-golden-") as folder:
        root = Path(folder)
        data, run, int8 = root / "data", root / "run", root / "int8"
        write_prepared(data, 32, 24, 4, 11)
        (root / "golden.toml").write_text(TRAINING, encoding="utf-8")
        _exalign_model("train", "--config", root / "golden.toml", "--data", data, "--run", run)
        _exalign_model("quantise", "--bundle", run / "bundle", "--out", int8, "--data", data)
        curves = (run / "curves.csv").read_text(encoding="utf-8")
        return {
            "bundle/curves": flatten(_columns(curves)),
            **_bundle_tables("bundle", run / "bundle"),
            **{name: table for name, table in _bundle_tables("quantised", int8).items() if "card" not in name},
        }


def _exalign_model(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "exalign_engine.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    if done.returncode:
        raise RuntimeError(f"exalign-model {arguments[0]} ended with {done.returncode}: {done.stderr[-2000:]}")


def _bundle_tables(name: str, folder: Path) -> Tables:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    files = {
        path.name: sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != "manifest.json"
    }
    return {
        f"{name}/files": flatten(files),
        f"{name}/manifest": flatten({k: v for k, v in manifest.items() if k not in MANIFEST_LEFT_OUT}),
        f"{name}/calibration card": flatten(json.loads((folder / "calibration.json").read_text(encoding="utf-8"))),
    }


def _columns(curves: str) -> dict[str, list[str]]:
    """The training curves by column, without the seconds that an epoch took."""
    head, *rows = [line.split(",") for line in curves.splitlines()]
    return {name: [row[i] for row in rows] for i, name in enumerate(head) if "second" not in name}
