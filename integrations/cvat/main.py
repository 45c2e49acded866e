"""A serverless function of CVAT's (Nuclio): every face of a frame as a skeleton. It asks an Exalign server.

Settings of the environment: ``EXALIGN_SERVER`` (host:port), and where they are wanted ``EXALIGN_SERVER_CA`` (TLS with
these authorities, PEM) and ``EXALIGN_SERVER_TOKEN_FILE``.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
from pathlib import Path
from typing import Any

from exalign_client import Client, ExalignClientError, InvalidRequestError, Tls
from exalign_client.landmarks import NAMES

LABEL = "face"

#: Largest frame, as CVAT sends it: characters of base64.
LARGEST = 64 * 2**20

#: CVAT's canvas begins at the corner of the top-left pixel; ours at its centre.
HALF_PIXEL = 0.5


def init_context(context: Any) -> None:
    """Called once by Nuclio: connects to the server."""
    authorities, token = os.environ.get("EXALIGN_SERVER_CA"), os.environ.get("EXALIGN_SERVER_TOKEN_FILE")
    context.user_data.client = Client(
        os.environ.get("EXALIGN_SERVER", "localhost:50051"),
        tls=Tls(Path(authorities)) if authorities else False,
        token=(lambda: Path(token).read_text("ascii").strip()) if token else None,
    )


def handler(context: Any, event: Any) -> Any:
    """Called for every frame. The body has ``image`` (base64) and may have ``threshold``, of a face's presence."""
    try:
        picture, threshold = _frame(event.body)
        client = context.user_data.client
        if threshold is None:
            threshold = client.model().presence_threshold
        faces = [face for face in client.predict(picture) if face.presence >= threshold]
    except (ValueError, InvalidRequestError) as error:
        return _response(context, {"error": str(error)}, 400)
    except ExalignClientError as error:
        return _response(context, {"error": str(error)}, 502)
    return _response(context, [_skeleton(face) for face in faces], 200)


def _frame(body: Any) -> tuple[bytes, float | None]:
    """The frame's file, and the threshold; None: the server's.

    Raises:
        ValueError: the body is not what CVAT sends.
    """
    if isinstance(body, bytes | str):
        body = json.loads(body)
    if not isinstance(body, dict) or not isinstance(body.get("image"), str) or len(body["image"]) > LARGEST:
        raise ValueError(f"the body must be an object with an image of at most {LARGEST} characters of base64")
    threshold = body.get("threshold")
    if threshold is not None and not (isinstance(threshold, int | float) and math.isfinite(threshold)):
        raise ValueError(f"threshold is {threshold!r:.40}, must be a number")
    try:
        return base64.b64decode(body["image"], validate=True), threshold
    except binascii.Error:
        raise ValueError("the image is not in base64") from None


def _skeleton(face: Any) -> dict[str, Any]:
    """A face as CVAT takes it. Its landmarks' confidences go along; CVAT has no place to keep them."""
    return {
        "label": LABEL,
        "type": "skeleton",
        "confidence": str(round(face.presence, 4)),
        "elements": [
            {
                "label": name,
                "type": "points",
                "outside": 0,
                "points": [round(float(x) + HALF_PIXEL, 2), round(float(y) + HALF_PIXEL, 2)],
                "confidence": str(round(float(confidence), 4)),
            }
            for name, (x, y), confidence in zip(NAMES, face.landmarks, face.confidences, strict=True)
        ],
    }


def _response(context: Any, body: Any, status: int) -> Any:
    return context.Response(body=json.dumps(body), headers={}, content_type="application/json", status_code=status)
