"""Faces found and solved: all evidence about a face, every time from the beginning.

The server keeps a posterior behind an id, so that neither the picture nor the network is needed again for a click.
Where it no longer does, as after a restart, the picture is sent once more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from exalign_annotator.project.documents import AnnotatedFace, Answer, box_of
from exalign_annotator.solving.link import ModelLink
from exalign_client.errors import ExalignClientError, NotFoundError
from exalign_client.requests.arguments import Box
from exalign_client.requests.evidence import Constraint
from exalign_client.requests.views import PoseOptions
from exalign_client.results.faces import Face

#: The pose's mean alone; its map is a view of its own.
MEAN_POSE = PoseOptions(yaw_bins=0, roll_bins=0)

#: Posteriors whose ids are remembered.
_REMEMBERED = 1024

#: No picture file is larger, bytes.
_MOST_BYTES = 2**29


class NoFaceError(ExalignClientError):
    """There is no face where one was drawn."""


@dataclass(frozen=True)
class Ids:
    """Posteriors that the server keeps of one face: before any evidence, and given the evidence."""

    base: str
    solved: str
    evidence: tuple[Constraint, ...]


class FaceSolver:
    """Asks the model about faces of pictures.

    Args:
        link: to the model.
    """

    def __init__(self, link: ModelLink) -> None:
        self._link = link
        self._ids: OrderedDict[tuple[Path, Box], Ids] = OrderedDict()

    async def find(self, picture: Path) -> tuple[tuple[int, int], list[AnnotatedFace]]:
        """All faces that the detector finds, numbered from 1, and the picture's size.

        Raises:
            OSError: the picture cannot be read.
            ExalignClientError: the call failed.
        """
        client = await self._link.client()
        found = await client.predict(picture, pose=MEAN_POSE)
        return found.image_size, [
            self._noted(picture, number, source_of(face), face) for number, face in enumerate(found, start=1)
        ]

    async def at(self, picture: Path, box: Box, number: int) -> tuple[tuple[int, int], AnnotatedFace]:
        """The face in a box that was drawn, and the picture's size."""
        client = await self._link.client()
        found = await client.predict(picture, [box], pose=MEAN_POSE)
        if not found:
            raise NoFaceError("there is no face in this box")
        return found.image_size, self._noted(picture, number, box, found[0])

    async def solve(
        self, picture: Path, face: AnnotatedFace, evidence: Sequence[Constraint], hidden: frozenset[int]
    ) -> AnnotatedFace:
        """A face given this evidence, and none else."""
        key, evidence = (picture, face.source_box), tuple(evidence)
        try:
            base = self._ids[key].base if key in self._ids else await self._base(picture, face.source_box)
            answer = await self._condition(base, evidence)
        except NotFoundError:
            base = await self._base(picture, face.source_box)
            answer = await self._condition(base, evidence)
        solved, outcome, surprise = answer
        self._remember(key, Ids(base, solved.posterior_id or base, evidence))
        return replace(
            face,
            evidence=evidence,
            hidden=hidden,
            answer=answer_of(solved, outcome, surprise if evidence else None),
        )

    async def posterior_id(self, picture: Path, face: AnnotatedFace, *, again: bool = False) -> str:
        """The id of the posterior given the face's evidence, for its views.

        Args:
            picture: its file.
            face: which.
            again: the server has forgotten the one that is known.
        """
        key = (picture, face.source_box)
        if again:
            self._ids.pop(key, None)
        known = self._ids.get(key)
        if known is None or known.evidence != face.evidence:
            await self.solve(picture, face, face.evidence, face.hidden)
            known = self._ids[key]
        return known.solved

    async def _condition(self, base: str, evidence: tuple[Constraint, ...]) -> tuple[Face, str, float | None]:
        client = await self._link.client()
        answer = await client.condition(None, evidence, posterior_id=base, pose=MEAN_POSE)
        return answer.face, answer.outcome.value, answer.surprise

    async def _base(self, picture: Path, box: Box) -> str:
        client = await self._link.client()
        found = await client.predict(picture, [box])
        if not found or found[0].posterior_id is None:
            raise NoFaceError("the server keeps no posteriors: max_posterior_bytes")
        return found[0].posterior_id

    def _noted(self, picture: Path, number: int, source: Box, face: Face) -> AnnotatedFace:
        if face.posterior_id is not None:
            self._remember((picture, source), Ids(face.posterior_id, face.posterior_id, ()))
        return AnnotatedFace(number, source, (), frozenset(), answer_of(face))

    def _remember(self, key: tuple[Path, Box], ids: Ids) -> None:
        self._ids[key] = ids
        self._ids.move_to_end(key)
        if len(self._ids) > _REMEMBERED:
            self._ids.popitem(last=False)


def source_of(face: Face) -> Box:
    """The box that an answer began with, so that it can be had again."""
    return box_of(face.source_box.astype(np.float64), face.source_detector)


def answer_of(face: Face, outcome: str = "conditioned", surprise: float | None = None) -> Answer:
    """What is kept of an answer."""
    c = face.covariances.astype(np.float64)
    pose = (0.0, 0.0, 0.0) if face.pose is None else (face.pose.yaw, face.pose.pitch, face.pose.roll)
    return Answer(
        points=face.landmarks.astype(np.float64),
        covariances=np.stack([c[:, 0, 0], c[:, 0, 1], c[:, 1, 1]], axis=-1),
        confidences=face.confidences.astype(np.float64),
        box=face.box.astype(np.float64),
        presence=face.presence,
        pose=pose,
        outcome=outcome,
        surprise=surprise,
    )
