"""What is claimed of us beside today's peers, judged row by row; where it does not hold, the reason that the rows give.

Three claims: our AUC over all 68 points is above every peer's; over the inner 51 points, whose meaning all share, it is
at most `NEAR` below the best peer's; and under no strong corruption does a peer fail on fewer faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exalign_engine.evaluation.reproduction.blocks import number
from exalign_engine.evaluation.reproduction.tables import Row

OURS = "exalign"
NAMES = {OURS: "exalign", "dlib": "dlib", "mediapipe": "MediaPipe"}

#: Whose boxes, and what they are called.
BOXES = {"given": "given", "detector": "own detector"}

ABOVE, NEAR_BEST, LOWEST = (
    "AUC over all 68 points is above every peer's",
    "AUC over the inner 51 points is at most 0.02 below the best peer's",
    "no peer has fewer failures, corruptions of severity 2 and 3",
)
NEAR = 0.02
STRONG = (2, 3)

#: Collections that a peer's published model is known to have learned from.
LEARNED_FROM = {"dlib": frozenset({"helen", "lfpw"})}


@dataclass(frozen=True)
class Place:
    """Where contestants are compared: the same faces and the same pictures of them.

    Attributes:
        pictures: "crops" or "photos".
        source: a collection, or "all".
        corruption: of the stress suite, or "clean".
        severity: 0 to 3.
        boxes: of `BOXES`.
        points: "all68" or "inner51".
    """

    pictures: str
    source: str
    corruption: str
    severity: int
    boxes: str
    points: str

    @property
    def name(self) -> str:
        """For people: the condition where there is one, otherwise the pictures."""
        if self.corruption != "clean":
            return f"{self.corruption.replace('_', ' ')} {self.severity}"
        return f"all {self.pictures}" if self.source == "all" else f"{self.source} {self.pictures}"


@dataclass(frozen=True)
class Judgement:
    """One claim in one place.

    Attributes:
        claim: of `ABOVE`, `NEAR_BEST` and `LOWEST`.
        place: where.
        ours: our row.
        peer: the row of the best peer there.
        holds: whether the claim does.
        reason: why not; empty where it holds.
    """

    claim: str
    place: Place
    ours: Row
    peer: Row
    holds: bool
    reason: str


Places = dict[Place, dict[str, Row]]


def places(rows: Sequence[Row]) -> Places:
    """Rows by place and contestant, in the order of the file."""
    found: Places = {}
    for r in rows:
        place = Place(r["pictures"], r["source"], r["corruption"], r["severity"], r["boxes"], r["points"])
        found.setdefault(place, {})[r["contestant"]] = r
    return found


def judge(rows: Sequence[Row]) -> list[Judgement]:
    """Every claim in every place that it is about and where we and a peer were measured.

    A box that is moved concerns given boxes alone: a detector sees the same picture as without.
    """
    found = []
    collections: dict[str, set[str]] = {}
    for r in rows:
        if r["source"] != "all":
            collections.setdefault(r["pictures"], set()).add(r["source"])
    for place, by_name in places(rows).items():
        claim = _claim(place)
        peers = [r for name, r in by_name.items() if name != OURS]
        if claim is None or OURS not in by_name or not peers:
            continue
        ours = by_name[OURS]
        if claim == LOWEST:
            peer = min(peers, key=lambda r: float(r["failure_rate"]))
            holds = ours["failure_rate"] <= peer["failure_rate"]
            reason = "" if holds else _why_failures(ours, peer)
        else:
            peer = max(peers, key=lambda r: float(r["auc"]))
            holds = ours["auc"] > peer["auc"] if claim == ABOVE else ours["auc"] >= peer["auc"] - NEAR
            seen = collections.get(place.pictures, set()) if place.source == "all" else {place.source}
            reason = "" if holds else _why_auc(ours, peer, seen)
        found.append(Judgement(claim, place, ours, peer, holds, reason))
    return found


def _claim(place: Place) -> str | None:
    """Which claim is about a place, if any is."""
    if place.corruption == "clean":
        return {"all68": ABOVE, "inner51": NEAR_BEST}[place.points]
    moved = place.corruption == "box" and place.boxes == "detector"
    return LOWEST if place.severity in STRONG and not moved else None


def _why_failures(ours: Row, peer: Row) -> str:
    """Whether more of the difference is faces that were missed, or answers that are wrong."""
    name = NAMES.get(peer["contestant"], peer["contestant"])
    missed, failed = (float(ours[c]) - float(peer[c]) for c in ("missed", "failure_rate"))
    cause = "misses of our detector" if missed >= failed / 2 else "wrong answers"
    return (
        f"{cause}: {number(ours['missed'], 2)} % missed "
        f"({name} {number(peer['missed'], 2)} %); of the faces found, {number(failures_among_found(ours), 2)} % fail "
        f"({name} {number(failures_among_found(peer), 2)} %)"
    )


def failures_among_found(row: Row) -> float:
    """Failures among the faces that were not missed, in %."""
    found = 100.0 - float(row["missed"])
    return 100.0 * (float(row["failure_rate"]) - float(row["missed"])) / found if found else 0.0


def _why_auc(ours: Row, peer: Row, collections: set[str]) -> str:
    reasons = []
    name = NAMES.get(peer["contestant"], peer["contestant"])
    if collections and collections <= LEARNED_FROM.get(peer["contestant"], frozenset()):
        reasons.append(f"{name} learned from 300-W, which includes these collections")
    if ours["auc_upper"] >= peer["auc_lower"]:
        reasons.append("the 95 % intervals overlap")
    if ours["missed"] > peer["missed"]:
        reasons.append(f"our detector misses {number(ours['missed'], 2)} % of the faces")
    return "; ".join(reasons) or f"{name} is more accurate here"
