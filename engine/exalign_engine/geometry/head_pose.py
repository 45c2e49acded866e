"""Head pose of a shape: rotations, projection, the mean face and the pose solver."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.geometry.landmarks import GROUPS, MIRROR, N_LANDMARKS, NOSE_TIP, mirror_shapes

YAW, PITCH, ROLL = range(3)


#: Signs of (yaw, pitch, roll) under a left-right flip.
MIRROR_SIGN: F64 = np.array([-1.0, 1.0, -1.0])


#: Shapes solved at a time; bounds the memory of `solve_pose` to about 100 MB.
BLOCK = 16384


#: Alternations between poses and structure in `fit_mean_face`.
ALTERNATIONS = 15


def rotation(pose: NDArray[np.floating]) -> F64:
    """(..., 3) yaw, pitch, roll in degrees → (..., 3, 3) R = Rz(roll) · Ry(yaw) · Rx(pitch)."""
    angles = np.deg2rad(np.asarray(pose, dtype=np.float64))
    cy, cp, cr = np.moveaxis(np.cos(angles), -1, 0)
    sy, sp, sr = np.moveaxis(np.sin(angles), -1, 0)
    rows = [
        [cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp],
        [sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp],
        [-sy, cy * sp, cy * cp],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def project(mean_face: F64, pose: NDArray[np.floating]) -> F64:
    """The mean face as seen in each pose: (68, 3) and (..., 3) degrees → (..., 68, 2), interocular distances."""
    seen: F64 = mean_face @ np.swapaxes(rotation(pose)[..., :2, :], -1, -2)
    return seen


def fit_mean_face(shapes: F64) -> F64:
    """The 3-D mean face of a training set, by structure from motion over its faces and their mirrors.

    Rank-3 factorisation with metric upgrade (Tomasi & Kanade 1992) starts it; then poses (`solve_pose`) and structure
    are refined in turn, with Cauchy weights on faces, so that odd shapes and expressions count less. Every mirrored
    face is a view too and the structure is made symmetric, which holds yaw and roll at zero. A scaled-orthographic
    view cannot tell a face from its inside-out twin: the nose points to the viewer.

    Args:
        shapes: (M, 68, 2) upright faces, M ≥ 3, any scale and place. Turned heads must be among them.

    Returns:
        (68, 3), centred, the distance between the eyes' centres is 1; frame and zero as at the top of this module.

    Raises:
        ValueError: wrong shape, fewer than 3 faces, values that are not finite, or a face without extent.
    """
    _check(shapes)
    if len(shapes) < 3:
        raise ValueError(f"{len(shapes)} shapes are too few for structure from motion, need at least 3")
    centred = np.concatenate([shapes, mirror_shapes(shapes)]).astype(np.float64)
    centred -= centred.mean(axis=1, keepdims=True)
    views = centred / np.sqrt((centred**2).sum(axis=2).mean(axis=1))[:, None, None]
    face = _canonical(_factorise(views))
    for _ in range(ALTERNATIONS):
        turn, scale = _solve(views, face)
        camera = turn[:, :2]
        unit = views / scale[:, None, None]
        residual = ((unit - face @ np.swapaxes(camera, 1, 2)) ** 2).sum(axis=(1, 2))
        trust = 1.0 / (1.0 + residual / np.median(residual)) if residual.any() else np.ones(len(views))
        moment = np.einsum("k,knc,kcd->nd", trust, unit, camera, optimize=True)
        normal = np.einsum("k,kce,kcd->ed", trust, camera, camera, optimize=True)
        face = _canonical(np.linalg.solve(normal, moment.T).T)
    pitch = np.median(angles_of(_solve(views, face)[0])[:, PITCH])
    return np.asarray(face @ rotation(np.array([0.0, pitch, 0.0])).T)


def solve_pose(shapes: NDArray[np.floating], mean_face: F64) -> F32:
    """Head pose of each shape: the least-squares scaled-orthographic view of the mean face.

    Rotating a shape in the plane by θ moves its roll by θ, and mirroring it flips yaw and roll, to the rounding of
    float32 (4e-6 degrees at 45).

    Args:
        shapes: (K, 68, 2), any scale and place.
        mean_face: (68, 3) from `fit_mean_face`.

    Returns:
        (K, 3) float32 degrees: yaw in [−90, 90], pitch and roll in [−180, 180].

    Raises:
        ValueError: wrong shape, values that are not finite, or a shape without extent.
    """
    _check(shapes)
    if mean_face.shape != (N_LANDMARKS, 3):
        raise ValueError(f"mean_face has shape {mean_face.shape}, must be ({N_LANDMARKS}, 3)")
    pose = np.empty((len(shapes), 3), dtype=np.float32)
    for start in range(0, len(shapes), BLOCK):
        block = np.asarray(shapes[start : start + BLOCK], dtype=np.float64)
        pose[start : start + BLOCK] = angles_of(_solve(block, mean_face)[0])
    return pose


def _check(shapes: NDArray[np.floating]) -> None:
    """Raise ValueError unless (K, 68, 2), finite, and every shape has an extent."""
    if shapes.ndim != 3 or shapes.shape[1:] != (N_LANDMARKS, 2):
        raise ValueError(f"shapes have shape {shapes.shape}, must be (K, {N_LANDMARKS}, 2)")
    if not np.isfinite(shapes).all():
        raise ValueError(f"shapes[{np.argwhere(~np.isfinite(shapes))[0][0]}] is not finite")
    extent = (shapes.max(axis=1) - shapes.min(axis=1)).max(axis=1)
    if len(shapes) and extent.min() <= 0:
        raise ValueError(f"shapes[{int(extent.argmin())}] is a single point")


def wrap(degrees: NDArray[np.floating]) -> F64:
    """Angles brought to [−180, 180), float64."""
    return np.asarray((np.asarray(degrees, dtype=np.float64) + 180.0) % 360.0 - 180.0)


def angles_of(turn: F64) -> F64:
    """(K, 3, 3) rotations → (K, 3) yaw, pitch, roll in degrees; the inverse of `rotation`."""
    yaw = -np.arcsin(np.clip(turn[:, 2, 0], -1.0, 1.0))
    pitch = np.arctan2(turn[:, 2, 1], turn[:, 2, 2])
    roll = np.arctan2(turn[:, 1, 0], turn[:, 0, 0])
    return np.asarray(np.rad2deg(np.stack([yaw, pitch, roll], axis=1)))


def _solve(shapes: F64, face: F64) -> tuple[F64, F64]:
    """Rotations (K, 3, 3) and scales (K,) of the least-squares views of a face.

    With X centred, Σ_n ‖q_n − s M x_n‖² = const + ‖(A − s M) L‖² for A = Qᵀ X (Xᵀ X)⁻¹ and L Lᵀ = Xᵀ X: six numbers a
    shape are all that its points say about the pose. Gauss-Newton on rotation and log-scale, from the scaled rotation
    nearest to A. All landmarks weigh the same: their residuals on real faces differ by hardly more than two to one.
    """
    x = face - face.mean(axis=0)
    gram = x.T @ x / N_LANDMARKS
    affine = np.swapaxes(shapes, 1, 2) @ (x / N_LANDMARKS) @ np.linalg.inv(gram)
    root = np.linalg.cholesky(gram)
    # Only ratios matter below, so the scale may go: steps are then of order one whatever the unit of the shapes.
    size = np.sqrt((affine**2).sum(axis=(1, 2)) / 2)
    affine = affine / size[:, None, None]
    u, singular, vt = np.linalg.svd(affine, full_matrices=False)
    turn = np.empty((len(shapes), 3, 3))
    turn[:, :2] = u @ vt
    turn[:, 2] = np.cross(turn[:, 0], turn[:, 1])
    scale = singular.mean(axis=1)
    for _ in range(50):
        seen = scale[:, None, None] * turn
        r0, r1, r2 = np.moveaxis(seen, 1, 0)
        zero = np.zeros_like(r0)
        # Derivatives of s M along δ of exp([δ]×) R, and along ln s: (K, 4, 2, 3).
        slopes = np.stack([zero, -r2, r2, zero, -r1, r0, r0, r1], axis=1).reshape(-1, 4, 2, 3)
        jacobian = (slopes @ root).reshape(-1, 4, 6)
        residual = ((affine - seen[:, :2]) @ root).reshape(-1, 6, 1)
        normal = jacobian @ np.swapaxes(jacobian, 1, 2)
        step = np.linalg.solve(normal, jacobian @ residual)[..., 0]
        turn = _rotate(step[:, :3]) @ turn
        scale = scale * np.exp(np.clip(step[:, 3], -1.0, 1.0))
        if np.abs(step).max(initial=0.0) < 1e-11:
            break
    return turn, scale * size


def _rotate(vector: F64) -> F64:
    """(K, 3) rotation vectors → (K, 3, 3), Rodrigues; a turn of more than half a radian is cut to that."""
    angle = np.linalg.norm(vector, axis=1)
    axis = vector / np.maximum(angle, 1e-300)[:, None]
    x, y, z = axis.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    angle = np.minimum(angle, 0.5)[:, None, None]
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross))


def _factorise(views: F64) -> F64:
    """(F, 68, 2) centred views → (68, 3) rank-3 structure with the metric upgrade, roughly as the mean view sees it."""
    rows = np.swapaxes(views, 1, 2)  # (F, 2, 68)
    flat = rows.reshape(-1, N_LANDMARKS)
    _, vectors = np.linalg.eigh(flat.T @ flat)
    basis = vectors[:, -3:]
    camera = rows @ basis  # (F, 2, 3), affine
    # Unknown symmetric Q = C Cᵀ with aᵀQa = bᵀQb and aᵀQb = 0 for the rows a, b of each camera; mean size fixed at 1.
    upper = np.triu_indices(3)
    twice = np.where(upper[0] == upper[1], 1.0, 2.0)

    def form(a: F64, b: F64) -> F64:
        """(F, 6) coefficients of aᵀQb in the upper triangle of Q."""
        outer = (a[:, :, None] * b[:, None, :] + b[:, :, None] * a[:, None, :]) / 2
        return np.asarray(outer[:, upper[0], upper[1]] * twice)

    a, b = camera[:, 0], camera[:, 1]
    aa, bb, ab = form(a, a), form(b, b), form(a, b)
    size = (aa + bb).mean(axis=0) / 2
    equations = np.concatenate([aa - bb, 2 * ab])
    # Minimise ‖E q‖² with size · q = 1.
    q = np.linalg.pinv(equations.T @ equations, hermitian=True) @ size
    q /= size @ q
    metric = np.zeros((3, 3))
    metric[upper] = q
    metric = metric + metric.T - np.diag(np.diag(metric))
    values, axes = np.linalg.eigh(metric)
    # Noise can leave Q indefinite: a face is then given a depth of at least a tenth of its width.
    upgrade = axes * np.sqrt(np.maximum(values, 0.01 * values.max()))
    structure = basis @ np.linalg.inv(upgrade).T
    u, _, vt = np.linalg.svd((camera @ upgrade).mean(axis=0), full_matrices=False)
    front = u @ vt
    return np.asarray(structure @ np.stack([front[0], front[1], np.cross(front[0], front[1])], axis=1))


def _canonical(face: F64) -> F64:
    """Symmetric, centred, nose towards the viewer, the eyes' centres 1 apart."""
    face = (face + face[MIRROR] * (-1.0, 1.0, 1.0)) / 2
    face = face - face.mean(axis=0)
    if face[NOSE_TIP, 2] < face[list(GROUPS["jaw"]), 2].mean():
        face = face * (1.0, 1.0, -1.0)
    return np.asarray(face / np.linalg.norm(face[36:42].mean(axis=0) - face[42:48].mean(axis=0)))
