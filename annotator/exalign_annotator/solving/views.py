"""What the page shows beside a face: what to click next, the pose's map, the exemplars, one landmark's heatmap."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from exalign_annotator.project.documents import AnnotatedFace
from exalign_annotator.solving.faces import FaceSolver
from exalign_annotator.solving.link import ModelLink
from exalign_client.calls.aio import AsyncClient
from exalign_client.errors import NotFoundError
from exalign_client.requests.messages import LandmarkOptions
from exalign_client.requests.views import HeatmapOptions, PoseOptions

#: Exemplars behind an answer that are shown.
EXEMPLARS = 6

#: Cells of a heatmap, a side.
CELLS = 96

#: The map of yaw and roll.
POSE_MAP = PoseOptions(yaw_bins=30, roll_bins=30, yaw_range=(-75.0, 75.0), roll_range=(-75.0, 75.0))

AnswerT = TypeVar("AnswerT")


class FaceViews:
    """Asks the model for views of a face given its evidence.

    Args:
        link: to the model.
        solver: knows the posteriors.
    """

    def __init__(self, link: ModelLink, solver: FaceSolver) -> None:
        self._link, self._solver = link, solver

    async def details(self, picture: Path, face: AnnotatedFace) -> dict[str, Any]:
        """What to click next, the pose with its map, and the exemplars behind the answer."""

        async def ask(client: AsyncClient, posterior_id: str) -> dict[str, Any]:
            found = await client.suggest(
                posterior_id=posterior_id, pose=POSE_MAP, landmarks=LandmarkOptions(EXEMPLARS), max_suggestions=5
            )
            top = found.face.top_exemplars
            shapes = await client.exemplars([one.class_id for one in top], bundle_id=found.bundle_id) if top else ()
            pose = found.face.pose
            histogram = None if pose is None else pose.histogram
            return {
                "suggestions": [
                    {"landmark": one.landmark, "error_reduction": round(one.error_reduction, 4)}
                    for one in found.suggestions
                ],
                "expected_error": round(found.expected_error, 4),
                "entropy": round(found.face.entropy, 4),
                "effective_exemplars": round(found.face.effective_exemplars, 2),
                "exemplar_count": await self._link.exemplar_count(),
                "pose_map": None if histogram is None else _bytes_of(histogram.masses),
                "pose_bins": POSE_MAP.yaw_bins,
                "pose_range": list(POSE_MAP.yaw_range),
                "exemplars": [
                    {
                        "class_id": one.class_id,
                        "probability": round(one.probability, 5),
                        "points": shape.points.round(4).astype(np.float64).tolist(),
                    }
                    for one, shape in zip(top, shapes, strict=True)
                ],
            }

        return await self._asked(picture, face, ask)

    async def heatmap(self, picture: Path, face: AnnotatedFace, landmark: int) -> dict[str, Any]:
        """Where one landmark may be."""

        async def ask(client: AsyncClient, posterior_id: str) -> dict[str, Any]:
            options = HeatmapOptions([landmark], width=CELLS, height=CELLS, encoding="uint8")
            (found,) = await client.heatmaps(posterior_id=posterior_id, options=options)
            if found.heatmaps is None:
                return {"landmark": landmark, "cells": None}
            return {
                "landmark": landmark,
                "rectangle": found.heatmaps.rectangle.astype(np.float64).round(3).tolist(),
                "width": CELLS,
                "height": CELLS,
                "cells": _bytes_of(found.heatmaps.masses[0]),
            }

        return await self._asked(picture, face, ask)

    async def _asked(
        self, picture: Path, face: AnnotatedFace, ask: Callable[[AsyncClient, str], Awaitable[AnswerT]]
    ) -> AnswerT:
        """The answer; a posterior that the server has forgotten is made again, once."""
        client = await self._link.client()
        try:
            return await ask(client, await self._solver.posterior_id(picture, face))
        except NotFoundError:
            return await ask(client, await self._solver.posterior_id(picture, face, again=True))


def _bytes_of(masses: np.ndarray[Any, Any]) -> str:
    """Masses as bytes, 255 the largest, row by row, in base64."""
    most = float(masses.max(initial=0.0))
    scaled = np.zeros(masses.shape, np.uint8) if most <= 0 else (masses * (255 / most)).round().astype(np.uint8)
    return base64.b64encode(scaled.tobytes()).decode()
