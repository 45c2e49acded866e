"""The one TOML file that describes a training run; copied into the bundle it makes."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from exalign_engine.errors import DataError
from exalign_engine.exemplars.synthetic import Variation
from exalign_engine.sampling.augment_config import AugmentConfig

Loss = Literal["multilabel", "softmax", "soft-target", "gaussian-soft-target"]
Backbone = Literal["small", "resnet50"]


@dataclass(frozen=True)
class ExemplarConfig:
    """What the classes are.

    Attributes:
        variants: poses a training face: itself and ``variants − 1`` synthetic ones; K = 2 · faces · variants.
        k: 0 takes all of them; a smaller number runs k-means.
        tau: membership radius τ, box sides.
        roll_deg: spread of synthetic in-plane rotations, degrees.
        wide_roll: share of synthetic poses that are rotated anywhere up to ±60°.
        turned: share of synthetic poses that are turned out of the plane.
        turn_deg: spread of those turns, degrees of yaw.
        shift: spread of synthetic box offsets, box sides.
        log_scale: spread of ln of synthetic box scales.
    """

    variants: int = 4
    k: int = 0
    tau: float = 0.065
    roll_deg: float = 15.0
    wide_roll: float = 0.0
    turned: float = 0.0
    turn_deg: float = 14.0
    shift: float = 0.035
    log_scale: float = 0.07

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

    Attributes:
        input_size: crop side, pixels; a multiple of 16.
        margin: crop side ÷ box side.
        backbone: "small" has the stages that ``widths`` and ``blocks`` describe; "resnet50" has those of ResNet-50
            (bottlenecks, 256 to 2048 channels; 30 times the work) and is for who owns a GPU.
        widths: channels of the four residual stages (strides 2, 4, 8 and 16 of the crop); of "small".
        blocks: residual blocks a stage; of "small".
        feature_channels: channels of the ``features`` output.
        embedding: length D of the ``embedding`` output.
        local_width: channels in which the stages are fused for the ``local`` output …
        local_channels: … and channels L of that output.
        residual_levels: levels of the residual.
        residual_hidden: hidden units H of each level.
    """

    input_size: int = 112
    margin: float = 1.3
    backbone: Backbone = "small"
    widths: tuple[int, ...] = (24, 48, 96, 192)
    blocks: tuple[int, ...] = (1, 1, 2, 1)
    feature_channels: int = 64
    embedding: int = 128
    local_width: int = 64
    local_channels: int = 32
    residual_levels: int = 2
    residual_hidden: int = 256


@dataclass(frozen=True)
class DescriptionConfig:
    """What the bundle says about itself; changes no weight.

    Attributes:
        name: of the model, for people.
        training_data: what it learned from, in plain words.
        weights_licence: SPDX identifier or short name of the weights' terms.
        weights_terms: what a user of the weights has to know, in plain words.
    """

    name: str = "unnamed"
    training_data: str = "not stated"
    weights_licence: str = "unspecified"
    weights_terms: str = "not stated"


@dataclass(frozen=True)
class ExportConfig:
    """What is made of the trained network; changes no weight.

    Attributes:
        looks: 2 lets the exported network look at every crop and at its mirror image, and answer for both: twice the
            cost of the backbone for the accuracy of an average. 1 looks once.
    """

    looks: int = 1


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        seed: of everything random; sample i of epoch e depends on (seed, e, i) alone.
        epochs: passes over the training faces.
        batch_size: samples a step.
        learning_rate: AdamW's peak, reached after ``warmup`` steps and then following a cosine to zero.
        weight_decay: AdamW's.
        warmup: steps.
        loss: see `exalign_engine.train.losses`.
        soft_sigma: width of the Gaussian soft target, as a share of τ.
        regression_weight: weight of the auxiliary linear regression head on the embedding.
        residual_weight: weight of the residual levels' mean point-to-point error in box sides.
        shards: pieces of the head; a step learns one of them in turn, with its loss counted as if for all.
        average: decay per step of the moving average of the weights, which is what a run results in; 0 takes the
            weights themselves.
        start: checkpoint of an earlier run, relative to the folder of this one; every tensor of the same name and
            shape is taken from it. Empty starts from nothing.
        threads: torch's threads; the weights are equal bit for bit only for equal threads.
        bf16: autocast to bfloat16 where it is safe.
        validate_every: epochs between looks at ``val``.
        checkpoint_every: epochs between checkpoints.
        limit: use only so many training and validation faces, evenly spaced; 0 uses all.
    """

    seed: int = 1
    epochs: int = 60
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup: int = 200
    loss: Loss = "multilabel"
    soft_sigma: float = 0.5
    regression_weight: float = 300.0
    residual_weight: float = 6000.0
    shards: int = 1
    average: float = 0.998
    start: str = ""
    threads: int = 2
    bf16: bool = True
    validate_every: int = 5
    checkpoint_every: int = 1
    limit: int = 0
    exemplars: ExemplarConfig = field(default_factory=ExemplarConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    description: DescriptionConfig = field(default_factory=DescriptionConfig)

    @classmethod
    def read(cls, path: Path | str) -> TrainConfig:
        """Read a TOML file; what it leaves out keeps its default.

        Raises:
            DataError: the file is missing or not TOML, a key is unknown, or a value has the wrong type or range.
        """
        path = Path(path)
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as e:
            raise DataError(path, f"cannot be read: {e.strerror}") from e
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
            raise DataError(path, f"not TOML: {e}") from e
        config: TrainConfig = _section(cls, raw, path, "")
        config.check(path)
        return config

    def check(self, path: Path | str) -> None:
        """Refuse values that cannot work.

        Raises:
            DataError: the first such value, with its limit.
        """
        e, n, a = self.exemplars, self.network, self.augment
        least: dict[str, tuple[float, float]] = {
            "seed": (self.seed, 0),
            "epochs": (self.epochs, 1),
            "batch_size": (self.batch_size, 2),
            "weight_decay": (self.weight_decay, 0),
            "warmup": (self.warmup, 0),
            "regression_weight": (self.regression_weight, 0),
            "residual_weight": (self.residual_weight, 0),
            "shards": (self.shards, 1),
            "threads": (self.threads, 1),
            "validate_every": (self.validate_every, 1),
            "checkpoint_every": (self.checkpoint_every, 1),
            "limit": (self.limit, 0),
            "exemplars.variants": (e.variants, 1),
            "exemplars.k": (e.k, 0),
            "exemplars.roll_deg": (e.roll_deg, 0),
            "exemplars.turn_deg": (e.turn_deg, 0),
            "exemplars.shift": (e.shift, 0),
            "exemplars.log_scale": (e.log_scale, 0),
            "network.margin": (n.margin, 1),
            "network.feature_channels": (n.feature_channels, 1),
            "network.embedding": (n.embedding, 1),
            "network.local_width": (n.local_width, 1),
            "network.local_channels": (n.local_channels, 1),
            "network.residual_levels": (n.residual_levels, 0),
            "network.residual_hidden": (n.residual_hidden, 1),
            "augment.roll_deg": (a.roll_deg, 0),
            "augment.turned_pictures": (a.turned_pictures, 0),
            "augment.turn_deg": (a.turn_deg, 0),
            "augment.shift": (a.shift, 0),
            "augment.log_scale": (a.log_scale, 0),
        }
        above_zero = {
            "learning_rate": self.learning_rate,
            "soft_sigma": self.soft_sigma,
            "exemplars.tau": e.tau,
        }
        probabilities = (
            "exact_box",
            "wide_box",
            "colour",
            "dark",
            "blur",
            "occluder",
            "low_resolution",
            "noise",
            "wide_roll",
            "turned",
        )
        stages = "four whole numbers of at least 1"
        # Written so that NaN fails: every comparison with it is False.
        rules: list[tuple[bool, str, object, str]] = [
            (self.loss in get_args(Loss), "loss", self.loss, f"one of {', '.join(get_args(Loss))}"),
            *((low <= v < math.inf, name, v, f"finite and at least {low:g}") for name, (v, low) in least.items()),
            *((0 < v < math.inf, name, v, "finite and above 0") for name, v in above_zero.items()),
            *((0 <= getattr(a, p) <= 1, f"augment.{p}", getattr(a, p), "in [0, 1]") for p in probabilities),
            *(
                (0 <= v <= 1, f"exemplars.{name}", v, "in [0, 1]")
                for name, v in (("wide_roll", e.wide_roll), ("turned", e.turned))
            ),
            (0 <= self.average < 1, "average", self.average, "in [0, 1)"),
            (0 <= a.negatives < 1, "augment.negatives", a.negatives, "in [0, 1)"),
            (
                n.input_size in range(16, 1025, 16),
                "network.input_size",
                n.input_size,
                "a multiple of 16 from 16 to 1024",
            ),
            (
                n.backbone in get_args(Backbone),
                "network.backbone",
                n.backbone,
                f"one of {', '.join(get_args(Backbone))}",
            ),
            (self.export.looks in (1, 2), "export.looks", self.export.looks, "1 or 2"),
            (len(n.widths) == 4 and min(n.widths) >= 1, "network.widths", n.widths, stages),
            (len(n.blocks) == 4 and min(n.blocks) >= 1, "network.blocks", n.blocks, stages),
        ]
        for ok, name, value, limit in rules:
            if not ok:
                raise DataError(path, f"{name} is {value!r}, must be {limit}")


def _section(cls: type, raw: dict[str, Any], path: Path, prefix: str) -> Any:
    """Build a config dataclass from a TOML table, strictly."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    values: dict[str, Any] = {}
    for key, value in raw.items():
        name = f"{prefix}{key}"
        if key not in fields:
            raise DataError(path, f"unknown key {name!r}; known: {', '.join(fields)}")
        default = fields[key].default
        if default is dataclasses.MISSING:
            section = fields[key].default_factory
            if not isinstance(value, dict):
                raise DataError(path, f"{name} must be a table")
            values[key] = _section(section, value, path, f"{name}.")  # type: ignore[arg-type]
        elif isinstance(default, tuple):
            if not (isinstance(value, list) and all(type(v) is int for v in value)):
                raise DataError(path, f"{name} is {value!r}, must be a list of whole numbers")
            values[key] = tuple(value)
        elif isinstance(default, float):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise DataError(path, f"{name} is {value!r}, must be a number")
            values[key] = float(value)
        elif type(value) is not type(default):
            raise DataError(path, f"{name} is {value!r}, must be of type {type(default).__name__}")
        else:
            values[key] = value
    return cls(**values)
