"""How far a runtime may be from the reference, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Divergence:
    """How far a runtime is from the reference: the worst of the probe batch.

    Attributes:
        kl: KL(reference ‖ chosen), nats.
        landmarks: largest distance between two landmarks, as a share of the face box's diagonal.
        coverage: change of the mean confidence, which is the claimed coverage of 5 % of the diagonal.
        sums: largest difference between a mean or covariance that the runtime's graph summed itself and the host's sum
            of the same scores, box sides or box sides²; 0 where the graph sums nothing.
    """

    kl: float
    landmarks: float
    coverage: float
    sums: float = 0.0

    def beyond(self, bound: Divergence) -> list[str]:
        """What is larger than the bound, in words; not-a-number is."""
        pairs = [
            (f"KL {self.kl:.2g} nats (at most {bound.kl:g})", self.kl, bound.kl),
            (
                f"landmarks {self.landmarks:.2g} of the diagonal (at most {bound.landmarks:g})",
                self.landmarks,
                bound.landmarks,
            ),
            (f"coverage {self.coverage:.2g} (at most {bound.coverage:g})", self.coverage, bound.coverage),
            (f"sums {self.sums:.2g} box sides (at most {bound.sums:g})", self.sums, bound.sums),
        ]
        return [text for text, value, limit in pairs if not value <= limit]


#: What each precision may differ from float32 by, from strict to loose.
# docs/decisions/runtime-bounds.md
BOUNDS = {
    "f32": Divergence(kl=1e-4, landmarks=1e-4, coverage=1e-3, sums=1e-4),
    "f16": Divergence(kl=1e-2, landmarks=5e-4, coverage=5e-3, sums=1e-4),
    "int8": Divergence(kl=0.5, landmarks=5e-3, coverage=3e-2, sums=1e-4),
}
