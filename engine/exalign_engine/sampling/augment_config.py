"""Settings of the augmentation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AugmentConfig:
    """How training crops are disturbed; probabilities are per sample.

    Attributes:
        roll_deg: standard deviation of in-plane rotation, degrees.
        wide_roll: share of samples that are rotated anywhere up to ±60°.
        turned: probability of taking a picture in which the face was turned in 3-D.
        turned_pictures: such pictures made of each face when a run starts.
        turn_deg: standard deviation of those turns, degrees of yaw.
        shift: standard deviation of the box offset as a detector makes it, box sides.
        log_scale: the same for ln of the box scale.
        exact_box: share of samples whose box is (nearly) the true one.
        wide_box: share of samples whose box is off three times as far.
        colour: probability of a change of gain, contrast and colour balance.
        dark: probability of strong darkness.
        blur: probability of motion or defocus blur.
        occluder: probability of an occluder over 5-60 % of the box.
        low_resolution: probability of losing resolution (down to 20 pixels a face).
        noise: probability of sensor noise.
        negatives: share of a batch that shows no face or a fully hidden one.
    """

    roll_deg: float = 13.0
    wide_roll: float = 0.0
    turned: float = 0.0
    turned_pictures: int = 0
    turn_deg: float = 14.0
    shift: float = 0.035
    log_scale: float = 0.07
    exact_box: float = 0.4
    wide_box: float = 0.08
    colour: float = 0.5
    dark: float = 0.06
    blur: float = 0.15
    occluder: float = 0.25
    low_resolution: float = 0.15
    noise: float = 0.15
    negatives: float = 0.1
