"""The one TOML file that describes a training run; copied into the bundle it makes."""

from __future__ import annotations

import os.path
import shlex
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, get_args

from exalign_engine.errors import DataError
from exalign_engine.exemplars.synthetic import Variation
from exalign_engine.sampling.augment_config import AugmentConfig
from exalign_engine.settings import ConfigError, Rule, Schema, check, read_toml

#: The run's only checkpoint file.
CHECKPOINT = "checkpoint.pt"

Loss = Literal["multilabel", "softmax", "soft-target", "gaussian-soft-target"]
Backbone = Literal["small", "resnet50"]


def _four_stages(help_: str) -> Rule:
    test = (lambda stages: len(stages) == 4 and min(stages) >= 1, "four whole numbers of at least 1")
    return Rule(help_, test=test)


@dataclass(frozen=True)
class ExemplarConfig:
    """What the classes are."""

    variants: Annotated[
        int, Rule("poses a training face: itself and others that are synthetic; K = 2 · faces · variants", least=1)
    ] = 4
    k: Annotated[int, Rule("classes; 0 takes every pose, a smaller number runs k-means", least=0)] = 0
    tau: Annotated[float, Rule("membership radius τ, box sides", above=0)] = 0.065
    roll_deg: Annotated[float, Rule("spread of synthetic in-plane rotations, degrees", least=0)] = 15.0
    wide_roll: Annotated[
        float, Rule("share of synthetic poses that are rotated anywhere up to ±60°", least=0, most=1)
    ] = 0.0
    turned: Annotated[float, Rule("share of synthetic poses that are turned out of the plane", least=0, most=1)] = 0.0
    turn_deg: Annotated[float, Rule("spread of those turns, degrees of yaw", least=0)] = 14.0
    shift: Annotated[float, Rule("spread of synthetic box offsets, box sides", least=0)] = 0.035
    log_scale: Annotated[float, Rule("spread of ln of synthetic box scales", least=0)] = 0.07

    def __post_init__(self) -> None:
        check(self)

    @property
    def variation(self) -> Variation:
        """How the synthetic poses are drawn."""
        return Variation(
            roll_deg=self.roll_deg,
            wide_roll=self.wide_roll,
            turned=self.turned,
            turn_deg=self.turn_deg,
            shift=self.shift,
            log_scale=self.log_scale,
        )


@dataclass(frozen=True)
class NetworkConfig:
    """The network's shape.

    ``backbone`` "small" has the stages that ``widths`` and ``blocks`` describe; "resnet50" has those of ResNet-50
    (bottlenecks, 256 to 2048 channels; 30 times the work) and is for training on a GPU.
    """

    input_size: Annotated[
        int,
        Rule("crop side, pixels", test=(lambda s: s in range(16, 1025, 16), "a multiple of 16 from 16 to 1024")),
    ] = 112
    margin: Annotated[float, Rule("crop side ÷ box side", least=1)] = 1.3
    backbone: Annotated[Backbone, Rule("kind of backbone", choices=get_args(Backbone))] = "small"
    widths: Annotated[
        tuple[int, ...],
        _four_stages('channels of the residual stages (strides 2, 4, 8 and 16 of the crop); of "small"'),
    ] = (24, 48, 96, 192)
    blocks: Annotated[tuple[int, ...], _four_stages('residual blocks a stage; of "small"')] = (1, 1, 2, 1)
    feature_channels: Annotated[int, Rule("channels of the `features` output", least=1)] = 64
    embedding: Annotated[int, Rule("length D of the `embedding` output", least=1)] = 128
    local_width: Annotated[int, Rule("channels in which the stages are fused for the `local` output", least=1)] = 64
    local_channels: Annotated[int, Rule("channels L of the `local` output", least=1)] = 32
    residual_levels: Annotated[int, Rule("levels of the residual", least=0)] = 2
    residual_hidden: Annotated[int, Rule("hidden units H of each level", least=1)] = 256

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class DescriptionConfig:
    """What the bundle says about itself; changes no weight."""

    name: Annotated[str, Rule("of the model, for people")] = "unnamed"
    training_data: Annotated[str, Rule("what it learned from, in plain words")] = "not stated"
    weights_licence: Annotated[str, Rule("SPDX identifier or short name of the weights' terms")] = "unspecified"
    weights_terms: Annotated[str, Rule("what a user of the weights has to know, in plain words")] = "not stated"


@dataclass(frozen=True)
class ExportConfig:
    """What is made of the trained network; changes no weight.

    With two looks the exported network also takes the mirror image of every crop, and answers for both: twice the cost
    of the backbone for the accuracy of an average.
    """

    looks: Annotated[int, Rule("at each crop", test=(lambda looks: looks in (1, 2), "1 or 2"))] = 1

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Raises:
        ConfigError: names every value that is wrong, with its limit.
    """

    seed: Annotated[int, Rule("of everything random; sample i of epoch e depends on (seed, e, i) alone", least=0)] = 1
    epochs: Annotated[int, Rule("passes over the training faces", least=1)] = 60
    batch_size: Annotated[int, Rule("samples a step", least=2)] = 64
    learning_rate: Annotated[
        float, Rule("AdamW's peak, reached after the warm-up; then it follows a cosine to zero", above=0)
    ] = 2e-3
    weight_decay: Annotated[float, Rule("AdamW's", least=0)] = 0.05
    warmup: Annotated[int, Rule("steps until the learning rate is at its peak", least=0)] = 200
    loss: Annotated[Loss, Rule("of the classes, see exalign_engine.train.losses", choices=get_args(Loss))] = (
        "multilabel"
    )
    soft_sigma: Annotated[float, Rule("width of the Gaussian soft target, as a share of τ", above=0)] = 0.5
    regression_weight: Annotated[
        float, Rule("weight of the auxiliary linear regression head on the embedding", least=0)
    ] = 300.0
    residual_weight: Annotated[
        float, Rule("weight of the residual levels' mean point-to-point error in box sides", least=0)
    ] = 6000.0
    shards: Annotated[
        int, Rule("pieces of the head; a step learns one of them in turn, with its loss counted as if for all", least=1)
    ] = 1
    average: Annotated[
        float,
        Rule("decay per step of the moving average of the weights, the result; 0: the weights", least=0, below=1),
    ] = 0.998
    start: Annotated[
        str,
        Rule(
            "checkpoint of an earlier run, relative to the folder of this one, whose tensors of equal name and shape "
            "are taken; empty: none"
        ),
    ] = ""
    threads: Annotated[int, Rule("torch's; weights are equal bit for bit only for equal threads", least=1)] = 2
    bf16: Annotated[bool, Rule("compute in bfloat16 where it is safe")] = True
    validate_every: Annotated[int, Rule("epochs between validations", least=1)] = 5
    checkpoint_every: Annotated[int, Rule("epochs between checkpoints", least=1)] = 1
    limit: Annotated[
        int, Rule("use only so many training and validation faces, evenly spaced; 0 uses all", least=0)
    ] = 0
    exemplars: ExemplarConfig = field(default_factory=ExemplarConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    description: DescriptionConfig = field(default_factory=DescriptionConfig)

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def read(cls, path: Path | str) -> TrainConfig:
        """Read a TOML file; what it leaves out keeps its default.

        Raises:
            DataError: the file is missing or not TOML; or names every key that is unknown, and every value of the wrong
                type or range.
        """
        path = Path(path)
        try:
            table = read_toml(path)
        except OSError as e:
            raise DataError(path, f"cannot be read: {e.strerror}") from e
        except ValueError as e:
            raise DataError(path, f"not TOML: {e}") from e
        try:
            return SCHEMA.assemble({}, {}, table, f"file {path}").config
        except ConfigError as e:
            raise DataError(path, "; ".join(problem.text for problem in e.problems)) from e


#: Every key of the file.
SCHEMA = Schema(TrainConfig, qualified=True)


def shipped_configs() -> dict[str, Path]:
    """The configurations that come with the engine, by name."""
    folder = Path(str(files("exalign_engine"))) / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_config(name: str) -> Path:
    """The file of a configuration that is named by its path, or by its name where it comes with the engine.

    Raises:
        DataError: there is no such file, and none of that name.
    """
    path, shipped = Path(name), shipped_configs()
    if path.is_file():
        return path
    if name in shipped:
        return shipped[name]
    raise DataError("--config", f"{name!r} is neither a file nor one of {', '.join(shipped)}")


def check_start(config: TrainConfig, folder: Path, data: Path) -> None:
    """Refuse a run whose checkpoint to start from is missing, before any face is read.

    A run that has a checkpoint of its own goes on from that.

    Args:
        config: of the run.
        folder: of the run.
        data: folder of faces, for the command in the message.

    Raises:
        DataError: the checkpoint is missing; names what to run before where a configuration comes with the engine.
    """
    start = Path(os.path.normpath(folder / config.start))
    if not config.start or (folder / CHECKPOINT).is_file() or start.is_file():
        return
    before = start.parent
    advice = 'set start = "" in a copy of the configuration to train from nothing'
    if before.name in shipped_configs():
        run = "" if before == Path("runs") / before.name else f" --run {shlex.quote(str(before))}"
        command = f"exalign-model train --config {before.name} --data {shlex.quote(str(data))}{run}"
        advice = f"run before: {command}"
    raise DataError(start, f"start: no such checkpoint; {advice}")
