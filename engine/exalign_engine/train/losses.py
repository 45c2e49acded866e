"""The four losses of the paper's comparison (Eq. 4-9, Fig. 3), each from scores and distances to exemplars.

A negative (a crop without a face) has no member: the multi-label loss pushes every score down for it, as
c_k = −1 for all k. The softmax losses cannot say "none"; negatives carry no gradient there.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def multilabel(scores: Tensor, squared_distance: Tensor, is_face: Tensor, tau: float) -> Tensor:
    """Σ_k log(1 + exp(−c_k s_k)), c_k = +1 for members and −1 otherwise (Eq. 8-9).

    The paper prints Eq. 8 with a minus in front, which would be maximised by being wrong.

    Args:
        scores: (B, K) s_k.
        squared_distance: (B, K) ‖µ_k − y‖², box sides².
        is_face: (B,) bool.
        tau: membership radius, box sides (Eq. 6).

    Returns:
        (B,) sum over classes.
    """
    member = (squared_distance <= tau * tau) & is_face[:, None]
    return functional.binary_cross_entropy_with_logits(scores, member.to(scores.dtype), reduction="none").sum(dim=1)


def cross_entropy(scores: Tensor, target: Tensor, is_face: Tensor) -> Tensor:
    """−Σ_k q_k log p_k (Eq. 4), 0 for negatives: (B, K), (B, K), (B,) → (B,)."""
    return torch.where(is_face, -(target * functional.log_softmax(scores, dim=1)).sum(dim=1), 0.0)


def softmax_target(squared_distance: Tensor) -> Tensor:
    """q_k = δ(k = c), c the nearest exemplar (Eq. 5): (B, K) → (B, K)."""
    return functional.one_hot(squared_distance.argmin(dim=1), squared_distance.shape[1]).to(squared_distance.dtype)


def soft_target(squared_distance: Tensor, tau: float) -> Tensor:
    """q_k = δ(k ∈ M) / |M| (Eq. 7); the nearest exemplar is always a member: (B, K) → (B, K)."""
    member = (squared_distance <= tau * tau).to(squared_distance.dtype)
    member = torch.maximum(member, softmax_target(squared_distance))
    return member / member.sum(dim=1, keepdim=True)


def gaussian_soft_target(squared_distance: Tensor, tau: float, sigma: float) -> Tensor:
    """q_k ∝ exp(−‖µ_k − y‖²/2σ²) over the members, σ = ``sigma``·τ (§3.2, its Gaussian-weighted variant)."""
    member = soft_target(squared_distance, tau) > 0
    log_weight = -squared_distance / (2 * (sigma * tau) ** 2)
    return torch.softmax(log_weight.masked_fill(~member, -torch.inf), dim=1)


def class_loss(
    name: str, scores: Tensor, squared_distance: Tensor, is_face: Tensor, tau: float, sigma: float
) -> Tensor:
    """The loss called ``name`` in the training configuration: (B,)."""
    if name == "multilabel":
        return multilabel(scores, squared_distance, is_face, tau)
    if name == "softmax":
        return cross_entropy(scores, softmax_target(squared_distance), is_face)
    if name == "soft-target":
        return cross_entropy(scores, soft_target(squared_distance, tau), is_face)
    if name == "gaussian-soft-target":
        return cross_entropy(scores, gaussian_soft_target(squared_distance, tau, sigma), is_face)
    raise ValueError(f"unknown loss {name!r}")
