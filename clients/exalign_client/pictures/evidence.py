"""Pictures of evidence: an answer before and after it, and what to click next. Needs OpenCV (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from exalign_client.errors import InvalidRequestError, Violation
from exalign_client.landmarks import NAMES, group_of
from exalign_client.pictures.canvas import ACCENT, DARK, GREY, WHITE, Canvas, around, below, beside, blank, close_up
from exalign_client.pictures.decode import Pixels
from exalign_client.pictures.overlay import COLOURS
from exalign_client.requests.evidence import (
    Circle,
    Click,
    Constraint,
    EvidenceOutcome,
    Inside,
    Outside,
    Polygon,
    Rectangle,
)
from exalign_client.results.conditional import Conditional, Exemplar, Suggestions
from exalign_client.results.faces import Face

F32 = NDArray[np.float32]

_WIDTH = 640
_THUMBNAILS = 5
_THUMBNAIL = _WIDTH // _THUMBNAILS
_LIST = 380

#: Room beside a face for the circles of suggestions, in sides of its square; and between them, canvas pixels.
_BUBBLE_MARGIN, _BUBBLE_GAP = 0.3, 6.0


def draw_conditional(pixels: Pixels, answer: Conditional, exemplars: Mapping[int, Exemplar]) -> Pixels:
    """Draw a face before and after evidence, side by side, each above the exemplars behind its answer.

    Lines and ellipses (90 %) are the posterior mean and its uncertainty, the white line is the MAP exemplar,
    the cross is the click.

    Args:
        pixels: (H, W, 3) uint8, RGB: the picture, upright.
        answer: an answer with ``prior``.
        exemplars: shapes of the top exemplars of both answers by class id; those that are missing are left out.

    Returns:
        (h, w, 3) uint8, RGB.

    Raises:
        InvalidRequestError: the answer has no prior.
    """
    if answer.prior is None:
        raise InvalidRequestError([Violation("answer", "has no prior; ask with include_prior=True")])
    clicks = [(c.x, c.y) for c in answer.evidence if isinstance(c, Click)]
    seen = np.concatenate([answer.prior.landmarks, answer.face.landmarks, np.array(clicks).reshape(-1, 2)])
    view = around(seen, 0.12)
    if answer.outcome is EvidenceOutcome.IMPOSSIBLE:
        after = "after: impossible evidence, nearest exemplars"
    else:
        after = "after" if answer.surprise is None else f"after   surprise {answer.surprise:.2f} nats"
    titles = ("before", after)
    panels = []
    for face, title in zip((answer.prior, answer.face), titles, strict=True):
        canvas = close_up(pixels, view, _WIDTH)
        canvas.pixels[:] = (canvas.pixels * 0.75).astype(np.uint8)
        _face(canvas, face)
        _evidence(canvas, answer.evidence)
        panels.append(below([_title(face, title), canvas.pixels, _shapes(face, exemplars)]))
    return beside(panels)


def draw_suggestions(pixels: Pixels, answer: Suggestions, known: Sequence[Constraint] = ()) -> Pixels:
    """Draw what to click next: ranked circles beside the face, the area as large as the expected gain in pixels.

    A line leads from each circle to its landmark.

    Args:
        pixels: (H, W, 3) uint8, RGB: the picture, upright.
        answer: the suggestions.
        known: evidence so far, drawn as crosses.

    Returns:
        (h, w, 3) uint8, RGB.
    """
    landmarks = answer.face.landmarks
    canvas = close_up(pixels, around(landmarks, _BUBBLE_MARGIN), 720)
    canvas.pixels[:] = (canvas.pixels * 0.75).astype(np.uint8)
    canvas.face(landmarks, 1.0)
    _evidence(canvas, known)
    best = max((s.error_reduction for s in answer.suggestions), default=0.0)
    shares = [max(s.error_reduction, 0.0) / best if best > 0 else 0.0 for s in answer.suggestions]
    _bubbles(canvas, landmarks, [s.landmark for s in answer.suggestions], [9 + 17 * share**0.5 for share in shares])
    side = blank(_LIST, canvas.pixels.shape[0])
    side.text("click next", (20, 40), 0.8)
    side.text(f"expected error now {answer.expected_error:.2f} px", (20, 68), 0.5, GREY)
    for rank, (suggestion, share) in enumerate(zip(answer.suggestions, shares, strict=True), start=1):
        colour = COLOURS[group_of(suggestion.landmark)]
        top = 84 + 58 * (rank - 1)
        if top + 58 > side.pixels.shape[0]:
            continue
        side.disc((34, top + 26), 14, colour)
        side.text(str(rank), (34, top + 31), 0.5, DARK, align=0.5)
        side.text(NAMES[suggestion.landmark], (62, top + 22), 0.55)
        gain = f"-{suggestion.error_reduction:.2f} px   -{suggestion.entropy_reduction:.2f} nats"
        side.text(gain.replace("--", "+"), (62, top + 42), 0.45, GREY)
        side.pixels[top + 48 : top + 52, 62 : 62 + round(280 * share)] = colour
    return beside([canvas.pixels, side.pixels], gap=0)


def _bubbles(canvas: Canvas, landmarks: F32, chosen: Sequence[int], radii: Sequence[float]) -> None:
    """Numbered circles in two columns beside the face, level with their landmarks as far as there is room."""
    points = canvas.place(landmarks)
    low, high = points[:, 0].min(), points[:, 0].max()
    widest = max(radii, default=0.0) + _BUBBLE_GAP
    columns = (low - widest - _BUBBLE_GAP, high + widest + _BUBBLE_GAP)
    ranked = list(enumerate(zip(chosen, radii, strict=True), start=1))
    bubbles: list[tuple[int, int, float, tuple[float, float]]] = []
    for column, right in zip(columns, (False, True), strict=True):
        mine = [(rank, n, r) for rank, (n, r) in ranked if (points[n, 0] > (low + high) / 2) == right]
        mine.sort(key=lambda one: float(points[one[1], 1]))
        heights = _spread([float(points[n, 1]) for _, n, _ in mine], [r for _, _, r in mine], canvas.pixels.shape[0])
        bubbles += [(*one, (float(column), y)) for one, y in zip(mine, heights, strict=True)]
    plain = Canvas(canvas.pixels)
    for _, n, _, centre in bubbles:
        for width, ink in ((3.5, DARK), (1.5, COLOURS[group_of(n)])):
            plain.line(np.stack([centre, points[n]]), ink, width)
    for rank, n, radius, centre in bubbles:
        colour = COLOURS[group_of(n)]
        for at, size in ((points[n], 4.0), (centre, radius)):
            plain.disc(at, size + 2.0, DARK)
            plain.disc(at, size, colour)
        plain.text(str(rank), (centre[0], centre[1] + 6), 0.55, DARK, align=0.5)


def _spread(wanted: Sequence[float], radii: Sequence[float], height: int) -> list[float]:
    """Heights of circles near those that are wanted, in their order, so that none covers another where all fit."""
    placed: list[float] = []
    free = _BUBBLE_GAP
    for y, radius in zip(wanted, radii, strict=True):
        placed.append(max(y, free + radius))
        free = placed[-1] + radius + _BUBBLE_GAP
    free = height - _BUBBLE_GAP
    for index in reversed(range(len(placed))):
        placed[index] = min(placed[index], free - radii[index])
        free = placed[index] - radii[index] - _BUBBLE_GAP
    return placed


def _face(canvas: Canvas, face: Face) -> None:
    canvas.ellipses(face.landmarks, face.covariances, 0.9)
    canvas.face(face.map_landmarks, 1.0, WHITE, edge=False)
    canvas.face(face.landmarks, 2.0)


def _evidence(canvas: Canvas, evidence: Sequence[Constraint]) -> None:
    for constraint in evidence:
        match constraint:
            case Click():
                at = np.array([constraint.x, constraint.y])
                reach = 14 / canvas.scale
                for width, ink in ((6.0, DARK), (2.5, ACCENT)):
                    for step in ((reach, 0.0), (0.0, reach)):
                        canvas.line(np.array([at - step, at + step]), ink, width)
                trust = constraint.radius or 2 * (constraint.sigma or 0.0)
                if trust:
                    canvas.ring(at, trust * canvas.scale, ACCENT, 1.5)
            case Inside(area=area) | Outside(area=area):
                match area:
                    case Rectangle(x0, y0, x1, y1):
                        corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
                        canvas.line(corners, ACCENT, 1.5, closed=True)
                    case Circle(x, y, radius):
                        canvas.ring((x, y), radius * canvas.scale, ACCENT, 1.5)
                    case Polygon(vertices):
                        canvas.line(np.array(vertices), ACCENT, 1.5, closed=True)


def _title(face: Face, title: str) -> Pixels:
    strip = blank(_WIDTH, 62)
    spread = float(np.sqrt(np.mean(face.spreads**2)))
    strip.text(title, (14, 26), 0.6)
    line = f"entropy {face.entropy:.2f} nats   {face.effective_exemplars:.1f} exemplars   spread {spread:.2f} px"
    strip.text(line, (14, 50), 0.45, GREY)
    strip.text("colour: mean and 90 %   white: MAP exemplar", (_WIDTH - 14, 26), 0.42, GREY, align=1.0)
    return strip.pixels


def _shapes(face: Face, exemplars: Mapping[int, Exemplar]) -> Pixels:
    """The most probable exemplars, each with its share; the first is the MAP."""
    strip = blank(_WIDTH, _THUMBNAIL + 34)
    for column, top in enumerate(face.top_exemplars[:_THUMBNAILS]):
        if top.class_id not in exemplars:
            continue
        left = column * _THUMBNAIL
        margin = 16
        cell = strip.pixels[8 : 8 + _THUMBNAIL, left : left + _THUMBNAIL]
        small = Canvas(cell, (-margin / (_THUMBNAIL - 2 * margin),) * 2, _THUMBNAIL - 2 * margin)
        small.face(exemplars[top.class_id].points, 1.4, WHITE if column == 0 else None, edge=False)
        name = "MAP " if column == 0 else ""
        label = f"{name}{top.probability:.1%}"
        strip.text(label, (left + _THUMBNAIL / 2, _THUMBNAIL + 24), 0.42, WHITE if column == 0 else GREY, align=0.5)
    return strip.pixels
