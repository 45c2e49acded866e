"""The four losses against slow float64 twins, and what their gradients push."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="the losses are torch's (extra 'train')")

from exalign_engine.train.losses import class_loss, gaussian_soft_target, multilabel, soft_target, softmax_target

F64 = NDArray[np.float64]

TAU, SIGMA = 0.075, 0.5
B, K = 6, 40
LOSSES = ("multilabel", "softmax", "soft-target", "gaussian-soft-target")


def sample(seed: int = 0) -> tuple[Any, Any, Any]:
    """Scores, squared distances (the last face has no exemplar within τ) and is_face (face 1 is a negative)."""
    rng = np.random.default_rng(seed)
    d = rng.uniform(0.02, 0.2, (B, K)) ** 2
    d[-1] += TAU**2
    return (
        torch.tensor(rng.normal(0, 3, (B, K)), dtype=torch.float32),
        torch.tensor(d, dtype=torch.float32),
        torch.tensor([i != 1 for i in range(B)]),
    )


def targets_twin(name: str, d: F64) -> F64:
    """(K,) q_k of one face."""
    q = np.zeros(len(d))
    members = {int(d.argmin())}
    if name != "softmax":
        members |= {k for k in range(len(d)) if d[k] <= TAU**2}
    for k in members:
        q[k] = np.exp(-d[k] / (2 * (SIGMA * TAU) ** 2)) if name.startswith("gaussian") else 1.0
    return np.asarray(q / q.sum(), dtype=np.float64)


def loss_twin(name: str, s: F64, d: F64, is_face: bool) -> float:
    """One face's loss, class by class in float64."""
    if name == "multilabel":
        signs = [1 if is_face and d[k] <= TAU**2 else -1 for k in range(len(s))]
        return float(sum(np.log1p(np.exp(-c * x)) for c, x in zip(signs, s, strict=True)))
    if not is_face:
        return 0.0
    log_p = s - np.log(np.exp(s).sum())
    return float(-(targets_twin(name, d) * log_p).sum())


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_agrees_with_its_float64_twin(name: str) -> None:
    scores, d, is_face = sample()
    got = class_loss(name, scores, d, is_face, TAU, SIGMA)
    assert got.shape == (B,)
    expected = [
        loss_twin(name, s, q, bool(f))
        for s, q, f in zip(scores.double().numpy(), d.double().numpy(), is_face, strict=True)
    ]
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5)


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="hinge"):
        class_loss("hinge", *sample(), TAU, SIGMA)


def test_a_negative_is_a_face_of_which_every_class_is_minus_one() -> None:
    scores, d, _ = sample()
    negative = multilabel(scores, d, torch.zeros(B, dtype=torch.bool), TAU)
    memberless = multilabel(scores, d + 1.0, torch.ones(B, dtype=torch.bool), TAU)
    torch.testing.assert_close(negative, memberless)
    torch.testing.assert_close(negative, torch.nn.functional.softplus(scores).sum(dim=1))


def test_being_right_costs_less_than_being_wrong() -> None:
    """The sign of Eq. 8: the loss is plus Σ log(1 + exp(−c·s))."""
    _, d, is_face = sample()
    right = torch.where((d <= TAU * TAU) & is_face[:, None], 10.0, -10.0)
    assert (multilabel(right, d, is_face, TAU) < 0.01).all()
    assert (multilabel(-right, d, is_face, TAU) > 9 * K).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_gradient_step_raises_members_and_lowers_the_others(name: str) -> None:
    _, d, is_face = sample()
    scores = torch.zeros((B, K), requires_grad=True)
    class_loss(name, scores, d, is_face, TAU, SIGMA).sum().backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    push = -scores.grad.numpy()
    for i in range(B):
        if not is_face[i]:
            assert (push[i] < 0).all() if name == "multilabel" else (push[i] == 0).all()
            continue
        far = d[i].numpy() > TAU**2
        nearest = int(d[i].argmin())
        if name == "multilabel":
            assert (push[i][~far] > 0).all()
        else:
            assert push[i][nearest] > 0
            far[nearest] = False
        assert (push[i][far] < 0).all()


@pytest.mark.parametrize("name", LOSSES[1:])
def test_targets_are_distributions_in_which_the_nearest_exemplar_has_the_most(name: str) -> None:
    _, d, _ = sample()
    target = {
        "softmax": softmax_target,
        "soft-target": lambda x: soft_target(x, TAU),
        "gaussian-soft-target": lambda x: gaussian_soft_target(x, TAU, SIGMA),
    }[name](d)  # type: ignore[no-untyped-call]
    expected = np.stack([targets_twin(name, row) for row in d.double().numpy()])
    np.testing.assert_allclose(target.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(target.sum(dim=1).numpy(), 1.0, atol=1e-6)
    nearest = target.gather(1, d.argmin(dim=1, keepdim=True))[:, 0]
    torch.testing.assert_close(nearest, target.max(dim=1).values)
    assert (nearest > 0).all()
