"""MediaPipe's face mesh in its own environment. Run by `benchmarks.peers.remote`.

Without a box: `FaceMesh` as its users call it, for still pictures, with the attention model (478 points). With one: the
same landmark graph, given the region of interest that MediaPipe itself would take about a mesh of that box, upright.
"""

from __future__ import annotations

import os
from typing import Any

import mediapipe  # type: ignore[import-not-found]
import numpy as np
from google.protobuf import text_format
from mediapipe.calculators.core import constant_side_packet_calculator_pb2  # type: ignore[import-not-found]  # noqa: F401
from mediapipe.framework import calculator_pb2  # type: ignore[import-not-found]
from mediapipe.framework.formats import rect_pb2  # type: ignore[import-not-found]
from mediapipe.python import packet_creator, packet_getter  # type: ignore[import-not-found]
from mediapipe.python._framework_bindings import (  # type: ignore[import-not-found]
    calculator_graph,
    image_frame,
    resource_util,
)
from wire import serve  # type: ignore[import-not-found]

#: Side of the region of interest ÷ longer side of the mesh's box: MediaPipe's own.
REGION = 1.5

GRAPH = """
input_stream: "image"
input_stream: "roi"
output_stream: "landmarks"
node {
  calculator: "ConstantSidePacketCalculator"
  output_side_packet: "PACKET:with_attention"
  options: { [mediapipe.ConstantSidePacketCalculatorOptions.ext]: { packet { bool_value: true } } }
}
node {
  calculator: "FaceLandmarkCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:roi"
  input_side_packet: "WITH_ATTENTION:with_attention"
  output_stream: "LANDMARKS:landmarks"
}
"""


class LandmarkGraph:
    """MediaPipe's landmark graph by itself, about a region that the caller gives."""

    def __init__(self) -> None:
        resource_util.set_resource_dir(os.path.dirname(os.path.dirname(mediapipe.__file__)))  # noqa: PTH120
        config = text_format.Parse(GRAPH, calculator_pb2.CalculatorGraphConfig())
        self._graph = calculator_graph.CalculatorGraph(graph_config=config)
        self._found: list[Any] = []
        self._graph.observe_output_stream("landmarks", lambda _, packet: self._found.append(packet))
        self._graph.start_run({})
        self._time = 0

    def landmarks(self, image: Any, box: Any) -> list[Any]:
        """The mesh about a box, or nothing where it is no face in MediaPipe's opinion."""
        height, width = image.shape[:2]
        x0, y0, x1, y1 = box
        side = REGION * max(x1 - x0, y1 - y0)
        region = rect_pb2.NormalizedRect(
            x_center=(x0 + x1) / 2 / width, y_center=(y0 + y1) / 2 / height,
            width=side / width, height=side / height, rotation=0.0,
        )  # fmt: skip
        self._found.clear()
        self._time += 1
        frame = image_frame.ImageFrame(image_format=image_frame.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        self._graph.add_packet_to_input_stream("image", packet_creator.create_image_frame(frame).at(self._time))
        self._graph.add_packet_to_input_stream("roi", packet_creator.create_proto(region).at(self._time))
        self._graph.wait_until_idle()
        return [packet_getter.get_proto(packet) for packet in self._found]


def main() -> None:
    mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=4, refine_landmarks=True)
    graph = LandmarkGraph()

    def answer(image: Any, box: Any) -> list[dict[str, Any]]:
        height, width = image.shape[:2]
        found = graph.landmarks(image, box) if box is not None else mesh.process(image).multi_face_landmarks or []
        faces = []
        for one in found:
            # Normalised coordinates count from the corner of the first pixel, ours from its centre.
            points = np.array([[p.x * width, p.y * height] for p in one.landmark]) - 0.5
            box_found = [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]
            faces.append({"box": box_found, "points": points.tolist()})
        return faces

    serve(answer, {"peer": "mediapipe", "version": mediapipe.__version__, "model": "face_landmark_with_attention"})


if __name__ == "__main__":
    main()
