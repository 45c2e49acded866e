"""dlib in its own environment: its HOG detector and its authors' 68-point predictor. Run by `benchmarks.peers.remote`.

The predictor was trained on 300-W with boxes of this very detector; the detector wants faces of 80 pixels, so a picture
is enlarged once, as its authors' example does.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import dlib  # type: ignore[import-not-found]
from wire import serve  # type: ignore[import-not-found]

MODEL = "shape_predictor_68_face_landmarks.dat"
ENLARGED = 1


def main() -> None:
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise ImportError("face_recognition_models is not installed")
    detector = dlib.get_frontal_face_detector()
    predictor = dlib.shape_predictor(str(Path(spec.origin).parent / "models" / MODEL))

    def answer(image: Any, box: Any) -> list[dict[str, Any]]:
        boxes = detector(image, ENLARGED) if box is None else [dlib.rectangle(*(round(v) for v in box))]
        faces = []
        for found in boxes:
            shape = predictor(image, found)
            points = [[p.x, p.y] for p in shape.parts()]
            faces.append({"box": [found.left(), found.top(), found.right(), found.bottom()], "points": points})
        return faces

    serve(answer, {"peer": "dlib", "version": dlib.__version__, "model": MODEL})


if __name__ == "__main__":
    main()
