"""Pictures of evidence: an answer before and after it, and what to click next. Needs OpenCV (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from exalign_client.errors import InvalidRequestError, Violation
from exalign_client.landmarks import GROUPS, NAMES, group_of
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

_WIDTH = 640
_THUMBNAILS = 5
_THUMBNAIL = _WIDTH // _THUMBNAILS
_LIST = 380


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
    """Draw what to click next: ranked circles over the face, the area as large as the expected gain in pixels.

    Args:
        pixels: (H, W, 3) uint8, RGB: the picture, upright.
        answer: the suggestions.
        known: evidence so far, drawn as crosses.

    Returns:
        (h, w, 3) uint8, RGB.
    """
    canvas = close_up(pixels, around(answer.face.landmarks, 0.2), 720)
    canvas.pixels[:] = (canvas.pixels * 0.75).astype(np.uint8)
    canvas.face(answer.face.landmarks, 1.0)
    _evidence(canvas, known)
    best = max((s.error_reduction for s in answer.suggestions), default=0.0)
    side = blank(_LIST, canvas.pixels.shape[0])
    side.text("click next", (20, 40), 0.8)
    side.text(f"expected error now {answer.expected_error:.2f} px", (20, 68), 0.5, GREY)
    for rank, suggestion in reversed(list(enumerate(answer.suggestions, start=1))):
        share = max(suggestion.error_reduction, 0.0) / best if best > 0 else 0.0
        at, colour = answer.face.landmarks[suggestion.landmark], COLOURS[group_of(suggestion.landmark)]
        radius = 9 + 17 * share**0.5
        canvas.disc(at, radius + 2.5, DARK)
        canvas.disc(at, radius, colour)
        x, y = canvas.place(at)
        canvas.text(str(rank), (float(x), float(y) + 6), 0.55, DARK, align=0.5)
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


def _face(canvas: Canvas, face: Face) -> None:
    tint = Canvas(canvas.pixels.copy(), (0.0, 0.0), 1.0)
    for group, indices in GROUPS.items():
        for n in indices:
            covariance = face.covariances[n] * canvas.scale**2
            tint.ellipse(canvas.place(face.landmarks[n]), covariance, 0.9, COLOURS[group])
    canvas.pixels[:] = (canvas.pixels * 0.74 + tint.pixels * 0.26).astype(np.uint8)
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
