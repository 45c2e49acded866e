"""The likelihood of clicks and the box that they move, for many exemplars at once (Eq. 10 of `conditioning`)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.libraries.njit import njit

#: Exemplars that the kernel takes at a time: its scratch fits the first-level cache.
CLICK_BLOCK = 256


# Long: one compiled kernel, whose loops share a block of exemplars in the first-level cache.
@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def click_kernel(
    points: F32,
    class_variance: F32,
    soft: F64,
    hard: F64,
    sigma_t: float,
    sigma_s: float,
) -> tuple[F64, F32, F64, NDArray[np.bool_]]:
    """Eq. 10a, b, f and g for every given exemplar; float64 throughout, b_k rounded to float32.

    With b = diag(σ_t, σ_t, σ_s) z the normal equations are those of a prior N(0, I) and stay regular for σ = 0:

        | w  0  c_x | | z_x |   | g_x |
        | 0  w  c_y | | z_y | = | g_y |     w = 1 + σ_t² Σ 1/R,  c = σ_t σ_s Σ v/R,  q = 1 + σ_s² Σ v²/R,  v = µ − ½
        | c_x c_y q | | z_s |   | g_s |

    Exemplars are taken `CLICK_BLOCK` at a time with the clicks outside, so that every inner loop runs over exemplars
    without a branch and the compiler can use the vector units.

    Args:
        points: (S + H, 2, M) float32, the clicked landmarks of the exemplars, those of soft clicks first.
        class_variance: (M,) float32, c · v_k.
        soft: (S, 4) x, y, σ² + m_n², a_n.
        hard: (H, 3) x, y, r.
        sigma_t: σ_t.
        sigma_s: σ_s.

    Returns:
        ln L_k of soft clicks and box (M,), b_k (M, 3), summed excess of the hard clicks (M,), all hard ones met (M,).
    """
    count = points.shape[2]
    n_soft, n_hard = soft.shape[0], hard.shape[0]
    log_likelihood, shift = np.zeros(count), np.zeros((count, 3), np.float32)
    excess, met = np.zeros(count), np.ones(count, np.bool_)
    free = sigma_t > 0.0 or sigma_s > 0.0
    # Rows: w, c_x, c_y, q, g_x, g_y, g_s; then b.
    normal, b = np.empty((7, CLICK_BLOCK)), np.zeros((3, CLICK_BLOCK))
    for start in range(0, count, CLICK_BLOCK):
        size = min(CLICK_BLOCK, count - start)
        if free:
            normal[:] = 0.0
            normal[0], normal[3] = 1.0, 1.0
            b[:] = 0.0
            for i in range(n_soft):
                x, y = points[i, 0], points[i, 1]
                for k in range(size):
                    r = 1.0 / (soft[i, 2] + class_variance[start + k] * soft[i, 3])
                    px, py = float(x[start + k]), float(y[start + k])
                    _add(normal, k, px - 0.5, py - 0.5, soft[i, 0] - px, soft[i, 1] - py, r, sigma_t, sigma_s)
            if n_soft > 0:
                _solve(normal, b, size, sigma_t, sigma_s)
            for i in range(n_hard):
                x, y = points[n_soft + i, 0], points[n_soft + i, 1]
                radius = hard[i, 2]
                for k in range(size):
                    px, py = float(x[start + k]), float(y[start + k])
                    vx, vy = px - 0.5, py - 0.5
                    # From the landmark as the soft clicks leave it, to the click's centre.
                    fx, fy = hard[i, 0] - (px + b[0, k] + b[2, k] * vx), hard[i, 1] - (py + b[1, k] + b[2, k] * vy)
                    distance = math.sqrt(fx * fx + fy * fy)
                    r = 16.0 / (radius * radius) if distance > radius else 0.0
                    rest = 0.5 * radius / max(distance, radius)
                    _add(
                        normal, k, vx, vy, hard[i, 0] - rest * fx - px, hard[i, 1] - rest * fy - py, r, sigma_t, sigma_s
                    )
            if n_hard > 0:
                _solve(normal, b, size, sigma_t, sigma_s)
            for k in range(size):
                log_likelihood[start + k] = -0.5 * (
                    _squared(b[0, k], sigma_t) + _squared(b[1, k], sigma_t) + _squared(b[2, k], sigma_s)
                )
            # Rounded as it is kept, so that the answer's shapes are those whose likelihood was computed.
            for axis in range(3):
                for k in range(size):
                    shift[start + k, axis] = b[axis, k]
                    b[axis, k] = float(shift[start + k, axis])
        for i in range(n_soft):
            x, y = points[i, 0], points[i, 1]
            for k in range(size):
                px, py = float(x[start + k]), float(y[start + k])
                dx = soft[i, 0] - (px + b[0, k] + b[2, k] * (px - 0.5))
                dy = soft[i, 1] - (py + b[1, k] + b[2, k] * (py - 0.5))
                r = soft[i, 2] + class_variance[start + k] * soft[i, 3]
                log_likelihood[start + k] -= 0.5 * (dx * dx + dy * dy) / r
        for i in range(n_hard):
            x, y = points[n_soft + i, 0], points[n_soft + i, 1]
            for k in range(size):
                px, py = float(x[start + k]), float(y[start + k])
                dx = hard[i, 0] - (px + b[0, k] + b[2, k] * (px - 0.5))
                dy = hard[i, 1] - (py + b[1, k] + b[2, k] * (py - 0.5))
                over = max(math.sqrt(dx * dx + dy * dy) - hard[i, 2], 0.0)
                excess[start + k] += over
                met[start + k] &= over == 0.0
    return log_likelihood, shift, excess, met


@njit(inline="always")  # type: ignore[untyped-decorator]
def _add(
    normal: F64, k: int, vx: float, vy: float, dx: float, dy: float, r: float, sigma_t: float, sigma_s: float
) -> None:
    """Add one measurement of precision r, (dx, dy) away from the exemplar's landmark at ½ + v, to column k."""
    normal[0, k] += sigma_t * sigma_t * r
    normal[1, k] += sigma_t * sigma_s * r * vx
    normal[2, k] += sigma_t * sigma_s * r * vy
    normal[3, k] += sigma_s * sigma_s * r * (vx * vx + vy * vy)
    normal[4, k] += sigma_t * r * dx
    normal[5, k] += sigma_t * r * dy
    normal[6, k] += sigma_s * r * (vx * dx + vy * dy)


@njit(inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
def _solve(normal: F64, b: F64, size: int, sigma_t: float, sigma_s: float) -> None:
    """b of Eq. 10f for each column of the normal equations."""
    for k in range(size):
        w, cx, cy = normal[0, k], normal[1, k], normal[2, k]
        gx, gy = normal[4, k], normal[5, k]
        zs = (normal[6, k] - (cx * gx + cy * gy) / w) / (normal[3, k] - (cx * cx + cy * cy) / w)
        b[0, k] = sigma_t * (gx - cx * zs) / w
        b[1, k] = sigma_t * (gy - cy * zs) / w
        b[2, k] = sigma_s * zs


@njit(inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
def _squared(value: float, sigma: float) -> float:
    """(value / σ)²; 0 where σ is."""
    return (value / sigma) ** 2 if sigma > 0.0 else 0.0
