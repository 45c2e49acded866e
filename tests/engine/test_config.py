"""The training configuration: what is read, and how each mistake is named."""

from __future__ import annotations

import dataclasses
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from exalign_engine.cli import main
from exalign_engine.errors import DataError
from exalign_engine.train.config import TrainConfig, check_start, find_config, shipped_configs

SHIPPED = sorted((Path(str(files("exalign_engine"))) / "configs").glob("*.toml"))


def to_toml(config: TrainConfig) -> str:
    """Write a configuration out, every key of it."""

    def value(v: Any) -> str:
        if isinstance(v, bool):
            return str(v).lower()
        if isinstance(v, str):
            return f'"{v}"'
        return str(list(v)) if isinstance(v, tuple) else repr(v)

    lines, sections = [], []
    for key, v in dataclasses.asdict(config).items():
        if isinstance(v, dict):
            sections += [f"[{key}]", *(f"{k} = {value(x)}" for k, x in v.items())]
        else:
            lines.append(f"{key} = {value(v)}")
    return "\n".join([*lines, *sections])


def read(folder: Path, content: str | bytes) -> TrainConfig:
    path = folder / "train.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return TrainConfig.read(path)


def test_an_empty_file_is_the_default_configuration(tmp_path: Path) -> None:
    assert read(tmp_path, "") == TrainConfig()


def test_every_value_survives_the_file(tmp_path: Path) -> None:
    default = TrainConfig()
    other = dataclasses.replace(
        default,
        seed=7,
        learning_rate=1e-4,
        loss="softmax",
        bf16=False,
        exemplars=dataclasses.replace(default.exemplars, k=11, tau=0.1),
        network=dataclasses.replace(default.network, widths=(4, 8, 16, 32), input_size=64),
        augment=dataclasses.replace(default.augment, negatives=0.0),
        description=dataclasses.replace(default.description, name="µ × τ"),
    )
    assert read(tmp_path, to_toml(other)) == other


def test_a_whole_number_may_stand_for_a_real_one(tmp_path: Path) -> None:
    assert read(tmp_path, "[network]\nmargin = 2").network.margin == 2.0


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_a_shipped_configuration_loads(path: Path) -> None:
    assert TrainConfig.read(path).description.name != "unnamed"


def test_configurations_are_shipped() -> None:
    assert "default.toml" in [p.name for p in SHIPPED]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_a_shipped_configuration_is_found_by_its_name_and_by_its_path(path: Path) -> None:
    assert find_config(path.stem) == find_config(str(path)) == path


def test_a_configuration_that_nobody_knows_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    for name in ("defalt", str(tmp_path / "mine.toml"), ""):
        with pytest.raises(DataError, match="default, exalign-33k, resnet50, tiny") as raised:
            find_config(name)
        assert f"--config: {name!r}" in str(raised.value)


def test_every_shipped_configuration_starts_from_nothing_or_from_another_that_does() -> None:
    starts = {name: TrainConfig.read(path).start for name, path in shipped_configs().items()}
    for name, start in starts.items():
        if start:
            (earlier,) = (other for other in starts if start == f"../{other}/checkpoint.pt")
            assert earlier != name
            assert not starts[earlier]


def test_a_start_that_is_missing_is_refused_with_the_command_to_run_before() -> None:
    config = TrainConfig.read(find_config("default"))
    with pytest.raises(DataError) as raised:
        check_start(config, Path("nowhere/second"), Path("my faces"))
    assert str(raised.value) == (
        "nowhere/exalign-33k/checkpoint.pt: start: no such checkpoint; run before: "
        "exalign-model train --config exalign-33k --data 'my faces' --run nowhere/exalign-33k"
    )
    with pytest.raises(DataError, match=r"--config exalign-33k --data faces$"):
        check_start(config, Path("runs/default"), Path("faces"))
    with pytest.raises(DataError, match='set start = ""'):
        check_start(dataclasses.replace(config, start="mine.pt"), Path("nowhere"), Path("faces"))


@pytest.mark.parametrize("there", ["second/checkpoint.pt", "exalign-33k/checkpoint.pt"])
def test_a_run_goes_on_from_its_own_checkpoint_or_from_the_one_to_start_from(tmp_path: Path, there: str) -> None:
    (tmp_path / there).parent.mkdir()
    (tmp_path / there).touch()
    check_start(TrainConfig.read(find_config("default")), tmp_path / "second", tmp_path)


def test_the_start_is_checked_before_faces_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="training needs torch")
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--config", "default", "--data", "nowhere"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "run before: exalign-model train --config exalign-33k --data nowhere" in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("epoch = 3", "'epoch'"),
        ("[network]\ninput = 3", "'network.input'"),
        ("[newtork]\ninput_size = 32", "'newtork'"),
        ("network = 3", "network must be a table"),
        ("epochs = 2.5", "epochs is 2.5"),
        ("epochs = true", "epochs is True"),
        ('learning_rate = "fast"', "learning_rate is 'fast'"),
        ("learning_rate = true", "learning_rate is True"),
        ("bf16 = 1", "bf16 is 1"),
        ("loss = 3", "loss is 3"),
        ('loss = "hinge"', "loss is 'hinge'"),
        ("[network]\nwidths = 3", "network.widths is 3"),
        ("[network]\nwidths = [1.5, 2, 3, 4]", "network.widths is"),
        ("[network]\nwidths = [true, 2, 3, 4]", "network.widths is"),
        ("[network]\nwidths = [1, 2, 3]", "network.widths is (1, 2, 3)"),
        ("[network]\nwidths = [0, 2, 3, 4]", "network.widths is (0, 2, 3, 4)"),
        ("[network]\nblocks = [1, 1]", "network.blocks is (1, 1)"),
        ("[network]\nblocks = [1, 1, 0, 1]", "network.blocks is (1, 1, 0, 1)"),
        ("[network]\ninput_size = 100", "network.input_size is 100"),
        ("[network]\ninput_size = 0", "network.input_size is 0"),
        ("[network]\nmargin = 0.9", "network.margin is 0.9"),
        ("[network]\nmargin = nan", "network.margin is nan"),
        ("[network]\nmargin = inf", "network.margin is inf"),
        ("[network]\nembedding = 0", "network.embedding is 0"),
        ("[network]\nfeature_channels = 0", "network.feature_channels is 0"),
        ("epochs = 0", "epochs is 0"),
        ("batch_size = 1", "batch_size is 1"),
        ("threads = 0", "threads is 0"),
        ("limit = -1", "limit is -1"),
        ("seed = -1", "seed is -1"),
        ("warmup = -1", "warmup is -1"),
        ("validate_every = 0", "validate_every is 0"),
        ("checkpoint_every = 0", "checkpoint_every is 0"),
        ("learning_rate = 0.0", "learning_rate is 0.0"),
        ("learning_rate = nan", "learning_rate is nan"),
        ("weight_decay = -0.1", "weight_decay is -0.1"),
        ("regression_weight = -1.0", "regression_weight is -1.0"),
        ("soft_sigma = 0.0", "soft_sigma is 0.0"),
        ("[exemplars]\ntau = 0.0", "exemplars.tau is 0.0"),
        ("[exemplars]\ntau = nan", "exemplars.tau is nan"),
        ("[exemplars]\ntau = inf", "exemplars.tau is inf"),
        ("[exemplars]\nk = -1", "exemplars.k is -1"),
        ("[exemplars]\nvariants = 0", "exemplars.variants is 0"),
        ("[augment]\nnegatives = 1.0", "augment.negatives is 1.0"),
        ("[augment]\nblur = nan", "augment.blur is nan"),
        ("[augment]\nblur = 1.5", "augment.blur is 1.5"),
    ],
)
def test_a_mistake_is_one_error_that_names_the_key(tmp_path: Path, content: str, names: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, content)
    assert caught.value.path == tmp_path / "train.toml"
    assert names in caught.value.problem


@pytest.mark.parametrize("content", [b"epochs = ", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"train\.toml: not TOML"):
        read(tmp_path, content)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.toml: cannot be read"):
        TrainConfig.read(tmp_path / "absent.toml")
