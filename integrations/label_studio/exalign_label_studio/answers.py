"""Answers in Label Studio's form: the faces of a picture, and those that a person has corrected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from exalign_client import AsyncClient, Click, Face, NotFoundError, Prediction
from exalign_client.formats import LabelledFace, LabelledPicture, in_layout, labelled_face, point_names
from exalign_client.formats.faces import F64, VISIBLE
from exalign_client.formats.label_studio import regions
from exalign_label_studio.labels.context import Drawn, PlacedPoint
from exalign_label_studio.labels.labeling import Labeling

Json = dict[str, Any]


def version_of(bundle_id: str) -> str:
    """What Label Studio is told as the version of the model: predictions of another bundle are others."""
    return f"exalign-{bundle_id[:12]}"


@dataclass(frozen=True)
class Answerer:
    """Asks the server about pictures.

    Attributes:
        client: of the server.
        labeling: of the project.
    """

    client: AsyncClient
    labeling: Labeling

    async def predicted(self, picture: bytes) -> Json:
        """All faces of a picture, as one prediction.

        Raises:
            ExalignClientError: the server does not answer, or not this picture.
        """
        found = await self.client.predict(picture)
        return self._prediction(found, [(f"face-{n}", face, []) for n, face in enumerate(found)])

    async def corrected(self, picture: bytes, drawn: Drawn) -> Json:
        """The faces that a person has touched, as one prediction: drawn ones, and those whose points were moved.

        Each moved point is a click on the face that it belongs to, and stays where it was put. In a context that
        has rectangles, faces are looked for there alone.

        Raises:
            ExalignClientError: the server does not answer, or not this picture.
        """
        found, parents = await self._found(picture, drawn)
        placed: dict[int, list[PlacedPoint]] = {n: [] for n in range(len(found)) if drawn.rectangles}
        for point in drawn.points if len(found) else ():
            placed.setdefault(_face_of(point, found, parents), []).append(point)
        faces = [(parents[n], await self._given(picture, found[n], of, found), of) for n, of in sorted(placed.items())]
        return self._prediction(found, faces)

    async def _found(self, picture: bytes, drawn: Drawn) -> tuple[Prediction, list[str]]:
        """The faces, and what each one's rectangle is called."""
        if not drawn.rectangles:
            found = await self.client.predict(picture)
            return found, [f"face-{n}" for n in range(len(found))]
        # Only an answer says how large the picture is, in whose pixels a box is.
        size = (await self.client.predict(picture, max_faces=1)).image_size
        boxes = [tuple((sides * (*size, *size) - 0.5).tolist()) for sides in drawn.rectangles.values()]
        return await self.client.predict(picture, boxes), list(drawn.rectangles)

    async def _given(self, picture: bytes, face: Face, points: list[PlacedPoint], found: Prediction) -> Face:
        """A face given where points are."""
        # What is the mean of several landmarks is evidence about none of them: it only stays where it was put.
        single = [point for point in points if len(point.landmarks) == 1]
        latest = {point.landmarks[0]: _pixels(point.place, found) for point in single}
        if not latest:
            return face
        clicks = [Click(landmark, *place.tolist()) for landmark, place in latest.items()]
        if face.posterior_id is not None:
            try:
                return (await self.client.condition(evidence=clicks, posterior_id=face.posterior_id)).face
            except NotFoundError:
                pass  # it gave way to others meanwhile
        box = tuple(face.box.tolist())
        return (await self.client.condition(picture, clicks, box=box)).face

    def _prediction(self, found: Prediction, faces: list[tuple[str, Face, list[PlacedPoint]]]) -> Json:
        result: list[Json] = []
        for parent, face, points in faces:
            whole = LabelledPicture("", found.image_size, (labelled_face(face),))
            labelled = in_layout(whole, self.labeling.points).faces[0]
            labelled = _with_placed(labelled, points, found)
            result += [self._named(region) for region in regions(labelled, parent, found.image_size)]
        if self.labeling.faces is None:
            result = [region for region in result if region.pop("parentID", None) is not None]
        prediction: Json = {"model_version": version_of(found.bundle_id), "result": result}
        if faces:
            prediction["score"] = min(face.presence for _, face, _ in faces)
        return prediction

    def _named(self, region: Json) -> Json:
        """The same region under the names of the project's tags."""
        if region["type"] == "rectanglelabels":
            value = region["value"] | {"rectanglelabels": [self.labeling.face]}
            region = region | {"from_name": self.labeling.faces, "value": value}
        else:
            region = region | {"from_name": self.labeling.landmarks}
        return region | {"to_name": self.labeling.image}


def _with_placed(face: LabelledFace, points: list[PlacedPoint], found: Prediction) -> LabelledFace:
    """The same face, its placed points where the person has put them, and seen."""
    names, xy, seen = point_names(len(face.points)), face.points.copy(), face.visibility.copy()
    for point in points:
        n = names.index(point.name)
        xy[n], seen[n] = _pixels(point.place, found), VISIBLE
    return replace(face, points=xy, visibility=seen)


def _face_of(point: PlacedPoint, found: Prediction, parents: list[str]) -> int:
    """Whose point it is: of the rectangle that it names, or else of the face that has it nearest for its size."""
    if point.rectangle in parents:
        return parents.index(point.rectangle)
    place = _pixels(point.place, found)
    apart = [
        np.linalg.norm(face.landmarks[list(point.landmarks)].mean(axis=0) - place)
        / max(float(np.linalg.norm(face.box[2:] - face.box[:2])), 1.0)
        for face in found
    ]
    return int(np.argmin(apart))


def _pixels(place: F64, found: Prediction) -> F64:
    """(2,) of a picture's width and height -> pixels, the centre of the top-left one at (0, 0)."""
    return place * found.image_size - 0.5
