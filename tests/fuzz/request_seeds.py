"""One good request of every kind, with every field that it has."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from exalign.open_inference import inference_pb2
from exalign.v1 import admin_pb2, evidence_pb2, geometry_pb2, image_pb2, service_pb2, track_pb2
from service_fakes import GOOD_BOX, encoded, picture


def box(**fields: Any) -> geometry_pb2.Box:
    """A box that is right for `picture()`."""
    x0, y0, x1, y1 = GOOD_BOX
    return geometry_pb2.Box(x0=x0, y0=y0, x1=x1, y1=y1, **fields)


def raw() -> image_pb2.Image:
    """A picture without a file."""
    pixels = picture()
    height, width = pixels.shape[:2]
    message = image_pb2.RawImage(
        data=pixels.tobytes(), pixel_format=image_pb2.PIXEL_FORMAT_RGB8, width=width, height=height
    )
    return image_pb2.Image(raw=message)


def views() -> dict[str, Any]:
    """Every view, with all options."""
    groups = [{"group": geometry_pb2.LANDMARK_GROUP_EYES}, {"landmarks": {"indices": [30, 8]}}]
    return {
        "landmarks": {"top_exemplars": 3, "groups": groups},
        "heatmaps": {
            "landmarks": [30, 36],
            "rectangle": {"x0": 0, "y0": 0, "x1": 40, "y1": 40},
            "width": 8,
            "height": 6,
            "encoding": "HEATMAP_ENCODING_SPARSE",
            "sparse_mass": 0.9,
        },
        "pose": {
            "interval_masses": [0.5, 0.9],
            "histogram": {
                "yaw_bins": 4,
                "roll_bins": 3,
                "yaw_range": {"lower": -60, "upper": 60},
                "roll_range": {"lower": -30, "upper": 30},
            },
        },
    }


def evidence() -> evidence_pb2.Evidence:
    """Evidence of every kind."""
    corners = [{"x": 0, "y": 0}, {"x": 60, "y": 0}, {"x": 30, "y": 50}]
    return evidence_pb2.Evidence(
        clicks=[
            {"landmark": 30, "position": {"x": 25, "y": 25}, "radius": 9},
            {"landmark": 8, "position": {"x": 25, "y": 38}, "sigma": 2},
            {"landmark": 36, "position": {"x": 18, "y": 20}},
        ],
        regions=[
            {"landmark": 0, "region": {"rectangle": {"x0": 0, "y0": 0, "x1": 60, "y1": 60}}},
            {"landmark": 1, "region": {"circle": {"center": {"x": 5, "y": 5}, "radius": 2}}, "side": 2},
            {"landmark": 2, "region": {"polygon": {"vertices": corners}}, "side": 1},
        ],
        poses=[{"yaw": {"lower": -90, "upper": 90}, "roll": {"lower": -20, "upper": 20}}],
        box_motion=evidence_pb2.BOX_MOTION_FIXED,
    )


def seeds() -> list[Message]:
    """Requests of all methods."""
    file, detection = image_pb2.Image(encoded=encoded()), {"detector": "blazeface", "max_faces": 2, "min_score": 0.5}
    suggestion = {"landmarks": [1, 2], "max_suggestions": 2, "criterion": 2, "click_sigma": 1.5}
    about = [{"track_id": 0, "evidence": evidence()}]
    known: dict[str, Any] = {"posterior_id": "A" * 24}
    return [
        service_pb2.PredictLandmarksRequest(image=file, boxes=[box(), box(detector="blazeface")], **views()),
        service_pb2.PredictLandmarksRequest(image=raw(), detection=detection, stop_after=2),
        service_pb2.PredictHeatmapsRequest(image=file, boxes=[box()], detection=detection, **views()),
        service_pb2.PredictHeatmapsRequest(**known, **views()),
        service_pb2.EstimatePoseRequest(image=raw(), boxes=[box()], detection=detection, **views()),
        service_pb2.EstimatePoseRequest(**known),
        service_pb2.QueryConditionalRequest(image=file, box=box(), evidence=evidence(), include_prior=True, **views()),
        service_pb2.QueryConditionalRequest(**known, evidence={}),
        service_pb2.SuggestEvidenceRequest(image=file, box=box(), suggestion=suggestion, **views()),
        service_pb2.SuggestEvidenceRequest(**known, evidence=evidence(), suggestion=suggestion),
        track_pb2.TrackConfig(
            session_id="a.b",
            mode=track_pb2.TRACK_MODE_LIVE,
            temporal_model=track_pb2.TEMPORAL_MODEL_FILTER,
            smoothing_lag=2,
            detection=detection,
            detect_every=5,
            path_frames=4,
            suggestion=suggestion,
            **views(),
        ),
        track_pb2.TrackConfig(resume_token=b"XT2"),
        track_pb2.VideoFrame(
            frame_index=3,
            media_time={"seconds": 1, "nanos": 5},
            image=file,
            boxes=[{"track_id": 1, "box": box()}],
            evidence=about,
            acked_frame=2,
            may_change_model=True,
        ),
        track_pb2.VideoFrame(frame_index=0, occluded=True),
        track_pb2.PastEvidence(frame_index=2, evidence=about),
        admin_pb2.SwapModelRequest(bundle="bundle-1"),
        *inferences(),
    ]


def inferences() -> list[inference_pb2.ModelInferRequest]:
    """Of the Open Inference Protocol: raw and by type."""
    file, pixels = encoded(), picture(4, 4)
    image = {"name": "image", "datatype": "BYTES", "shape": [1]}
    return [
        inference_pb2.ModelInferRequest(
            model_name="exalign",
            inputs=[image, {"name": "boxes", "datatype": "FP32", "shape": [1, 4]}],
            outputs=[{"name": "pose"}, {"name": "landmarks"}],
            raw_input_contents=[len(file).to_bytes(4, "little") + file, bytes(16)],
        ),
        inference_pb2.ModelInferRequest(
            model_name="exalign",
            inputs=[
                {
                    "name": "image",
                    "datatype": "UINT8",
                    "shape": [4, 4, 3],
                    "contents": {"uint_contents": pixels.reshape(-1).tolist()},
                },
                {
                    "name": "boxes",
                    "datatype": "FP32",
                    "shape": [1, 4],
                    "contents": {"fp32_contents": [0, 0, 3, 3]},
                },
            ],
        ),
    ]
