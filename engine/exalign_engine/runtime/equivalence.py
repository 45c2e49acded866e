"""Does the chosen runtime answer like the reference? Asked when a model is loaded, in terms of the posterior.

Raw scores of two runtimes may differ by much where it does not matter, and by little where it does. What a caller sees
are posteriors: how far apart they are in nats, in landmarks, and in what they claim of themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import U8
from exalign_engine.bundle.bundle import Bundle
from exalign_engine.errors import RuntimeUnavailableError
from exalign_engine.geometry.frames import diagonal, tight_box
from exalign_engine.network.outputs import Runtime
from exalign_engine.onnx_graph.sums_tables import MixtureTables
from exalign_engine.posterior.posterior import Posterior, PosteriorModel
from exalign_engine.runtime.divergence import BOUNDS, Divergence
from exalign_engine.runtime.precision import derived_once
from exalign_engine.runtime.registry import RUNTIMES, fallback_runtime, reference_runtime
from exalign_engine.runtime.select import create_runtime
from exalign_engine.runtime.tensorrt.runtime import GpuOptions
from exalign_engine.runtime.verdict import found_before, remember

_log = logging.getLogger(__name__)


#: Crops of the probe batch.
PROBES = 8

_PROBE_SEED = 20


def probe_batch(bundle: Bundle) -> U8:
    """The bundle's own probe: exemplars drawn as faces, the same for everyone who has the bundle.

    No photograph may be shipped with a bundle. Drawn faces are enough: the network finds their landmarks.

    Returns:
        (`PROBES`, S, S, 3) uint8 RGB.
    """
    m, rng = bundle.manifest, np.random.default_rng(_PROBE_SEED)
    rows = np.linspace(0, bundle.exemplars.count - 1, PROBES).astype(int)
    shapes = (np.ascontiguousarray(bundle.exemplars.shapes[i]) for i in rows)
    return np.stack([_draw(shape, m.margin, m.input_size, rng) for shape in shapes])


def _draw(shape: NDArray[np.floating], margin: float, size: int, rng: np.random.Generator) -> U8:
    """A face of plain surfaces around 68 points (box frame)."""
    points = np.round((((shape - 0.5) / margin + 0.5) * size - 0.5) * 16).astype(np.int32)  # 1/16 pixel for OpenCV
    picture = np.full((size, size, 3), rng.integers(40, 120, 3), np.uint8)
    fixed = {"lineType": cv2.LINE_AA, "shift": 4}
    hull = cv2.convexHull(np.concatenate([points[:17], points[17:27] - [0, 64]]))
    cv2.fillConvexPoly(picture, hull, (205, 165, 140), **fixed)
    for brow in (points[17:22], points[22:27]):
        cv2.polylines(picture, [brow], False, (70, 45, 35), 2, **fixed)
    cv2.polylines(picture, [points[27:31], points[31:36]], False, (150, 105, 85), 1, **fixed)
    for eye in (points[36:42], points[42:48]):
        cv2.fillPoly(picture, [eye], (240, 240, 240), **fixed)
        centre = eye.mean(axis=0).astype(int)
        cv2.circle(picture, (int(centre[0]), int(centre[1])), 24, (40, 30, 30), -1, **fixed)
    cv2.fillPoly(picture, [points[48:60]], (175, 80, 80), **fixed)
    cv2.fillPoly(picture, [points[60:68]], (80, 30, 30), **fixed)
    noise = rng.normal(0, 4, picture.shape)
    return np.asarray(np.clip(cv2.GaussianBlur(picture, (3, 3), 0) + noise, 0, 255), np.uint8)


def measure(reference: Runtime, chosen: Runtime, bundle: Bundle) -> Divergence:
    """Compare two runtimes on the bundle's probe batch.

    Args:
        reference: what is right.
        chosen: what is to serve.
        bundle: its exemplars and calibration make posteriors of scores.

    Returns:
        The worst of the batch; not-a-number where the chosen runtime's scores are none.
    """
    crops = probe_batch(bundle)
    right, other = reference.infer(crops), chosen.infer(crops)
    if not np.isfinite(other.scores).all():  # there is no posterior to compare
        return Divergence(np.nan, np.nan, np.nan, np.nan)
    model = PosteriorModel(bundle.exemplars, bundle.calibration, bundle.residual)
    each = []
    for ours, its in zip(right.rows(), other.rows(), strict=True):
        # Of two wide posteriors that differ in a bit, other exemplars would stand for many.
        p, q = (model.posterior(row.scores, row.image, row.sums, whole=True) for row in (ours, its))
        difference = 0.0
        if its.sums is not None:
            difference = _sums_difference(q, model.posterior(its.scores, its.image, whole=True))
        each.append(replace(_compare(p, q), sums=difference))
    # np.max keeps a not-a-number, which max may drop.
    return Divergence(*(float(np.max([getattr(d, field.name) for d in each])) for field in fields(Divergence)))


def _compare(p: Posterior, q: Posterior) -> Divergence:
    a, b = p.probabilities.astype(np.float64), q.probabilities.astype(np.float64)
    held = a > 0
    # What underflowed in the other is as unlikely as the least number, not impossible.
    kl = float(np.sum(a[held] * np.log(a[held] / np.maximum(b[held], np.finfo(np.float32).tiny))))
    moved = float(np.linalg.norm(p.mean - q.mean, axis=1).max()) / float(diagonal(tight_box(p.mean)))
    return Divergence(
        max(kl, 0.0) if np.isfinite(kl) else kl, moved, abs(float(p.confidence.mean() - q.confidence.mean()))
    )


def _sums_difference(summed: Posterior, by_host: Posterior) -> float:
    """Two ways of summing the same scores."""
    pairs = ((summed.mean, by_host.mean), (summed.covariance, by_host.covariance))
    return float(np.max([np.abs(a - b).max() for a, b in pairs]))


@dataclass(frozen=True)
class Verified:
    """A runtime that answers like the reference.

    Attributes:
        runtime: to serve with.
        divergence: how far it is from it.
    """

    runtime: Runtime
    divergence: Divergence


def verify(
    chosen: Runtime,
    bundle: Bundle,
    reference: Callable[[], Runtime],
    fallback: Callable[[str], Runtime] | None,
    *,
    once: bool = False,
) -> Verified:
    """Compare a runtime with the reference, and refuse or replace it where it differs too much.

    Args:
        chosen: just loaded; it is closed if it is not to be used.
        bundle: see `measure`.
        reference: loads the reference; it is closed again.
        fallback: loads what serves instead, given the reason; None refuses.
        once: do not compare where that has been done before: see `exalign_engine.runtime.verdict`.

    Raises:
        RuntimeUnavailableError: it differs beyond `BOUNDS`, and there is no fallback.
    """
    known = found_before(chosen, bundle) if once else None
    if known is not None:
        return Verified(chosen, known)
    right = reference()
    try:
        divergence = measure(right, chosen, bundle)
    finally:
        right.close()
    looser = max(chosen.precision, right.precision, key=list(BOUNDS).index)
    problems = divergence.beyond(BOUNDS[looser])
    if not problems:
        if once:
            remember(chosen, bundle, divergence)
        return Verified(chosen, divergence)
    other = f"runtime {chosen.name} ({chosen.precision}) does not answer like {reference_runtime().label}"
    text = f"{other}: {', '.join(problems)}"
    chosen.close()
    if fallback is None:
        raise RuntimeUnavailableError(text)
    _log.warning("%s", text)
    return verify(fallback(f"auto: {text}"), bundle, reference, None)


def create_verified_runtime(
    name: str,
    bundle: Bundle,
    *,
    threads: int = 1,
    streams: int = 1,
    gpu: GpuOptions | None = None,
    precision: str = "auto",
    device_sums: bool = False,
) -> Verified:
    """`create_runtime` for a bundle, compared with the reference.

    Where "auto" took a runtime on a GPU, `fallback_runtime` serves in place of one that differs; others are refused.
    On a GPU, and with ``device_sums``, the network also sums over the exemplars
    (`exalign_engine.posterior.device_sums`).

    Raises:
        RuntimeUnavailableError: it differs beyond `BOUNDS`, or what it needs is not on this machine.
        ExalignError: see `create_runtime`.
    """
    options = replace(gpu or GpuOptions(), tables=MixtureTables.of(bundle) if device_sums else None)

    def load(name: str) -> Runtime:
        return create_runtime(
            name,
            bundle.network,
            threads=threads,
            streams=streams,
            gpu=options,
            precision=precision,
            tables=bundle.exemplars.tables,
        )

    def fallback(reason: str) -> Runtime:
        spec = fallback_runtime()
        runtime = load(spec.name)
        runtime.reason = f"{reason}; {spec.auto}"
        return runtime

    with derived_once():
        chosen = load(name)
        spec = RUNTIMES.get(chosen.name)
        # No CPU computes fp16: whoever asked for it is refused.
        may_fall_back = name == "auto" and spec is not None and spec.on_gpu and precision != "fp16"
        return verify(
            chosen,
            bundle,
            lambda: create_runtime(reference_runtime().name, bundle.network, precision="fp32"),
            fallback if may_fall_back else None,
            # A GPU's driver is not known here, nor is what its graph sums.
            once=spec is not None and not spec.on_gpu and not device_sums,
        )
