"""Settings of the augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from exalign_engine.settings import Rule, check


def _share(text: str) -> Rule:
    return Rule(text, least=0, most=1)


@dataclass(frozen=True)
class AugmentConfig:
    """How training crops are disturbed; shares are probabilities per sample."""

    roll_deg: Annotated[float, Rule("standard deviation of in-plane rotation, degrees", least=0)] = 13.0
    wide_roll: Annotated[float, _share("share of samples that are rotated anywhere up to ±60°")] = 0.0
    turned: Annotated[float, _share("share of samples taken from a picture in which the face was turned in 3-D")] = 0.0
    turned_pictures: Annotated[int, Rule("such pictures made of each face when a run starts", least=0)] = 0
    turn_deg: Annotated[float, Rule("standard deviation of those turns, degrees of yaw", least=0)] = 14.0
    shift: Annotated[float, Rule("standard deviation of the box offset as a detector makes it, box sides", least=0)] = (
        0.035
    )
    log_scale: Annotated[float, Rule("the same for ln of the box scale", least=0)] = 0.07
    exact_box: Annotated[float, _share("share of samples whose box is (nearly) the true one")] = 0.4
    wide_box: Annotated[float, _share("share of samples whose box is off three times as far")] = 0.08
    colour: Annotated[float, _share("share of samples with a change of gain, contrast and colour balance")] = 0.5
    dark: Annotated[float, _share("share of samples in strong darkness")] = 0.06
    blur: Annotated[float, _share("share of samples with motion or defocus blur")] = 0.15
    occluder: Annotated[float, _share("share of samples with an occluder over 5-60 % of the box")] = 0.25
    low_resolution: Annotated[float, _share("share of samples that lose resolution (down to 20 pixels a face)")] = 0.15
    noise: Annotated[float, _share("share of samples with sensor noise")] = 0.15
    negatives: Annotated[float, Rule("share of a batch that shows no face or a fully hidden one", least=0, below=1)] = (
        0.1
    )

    def __post_init__(self) -> None:
        check(self)
