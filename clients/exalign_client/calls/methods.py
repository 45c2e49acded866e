"""The unary calls of both clients: for each its arguments, its documentation, its request and the reader of its answer.

`exalign_client.Client` and `exalign_client.AsyncClient` make their methods of these functions.
"""

from __future__ import annotations

from collections.abc import Iterable

from exalign.v1 import admin_pb2, service_pb2
from exalign_client.calls.unary import UnaryCall
from exalign_client.errors import Violations
from exalign_client.requests.arguments import (
    BoxInput,
    Group,
    ImageInput,
    LandmarkOrGroup,
    box_messages,
    image_message,
    items,
    text,
    whole_in,
)
from exalign_client.requests.evidence import evidence_message
from exalign_client.requests.messages import (
    Criterion,
    Evidence,
    LandmarkOptions,
    SuggestionOptions,
    detection_message,
    landmarks_message,
    one_box_message,
    source_fields,
    suggestion_message,
)
from exalign_client.requests.views import HeatmapOptions, PoseOptions, heatmap_message, pose_message
from exalign_client.results.conditional import (
    Conditional,
    Exemplar,
    Suggestions,
    conditional_from,
    exemplars_from,
    suggestions_from,
)
from exalign_client.results.faces import Faces, Prediction, faces_from, prediction_from
from exalign_client.results.model import Model, SwappedModel, model_from, swapped_from


def predict(
    image: ImageInput,
    boxes: Iterable[BoxInput] | None = None,
    *,
    detector: str | None = None,
    max_faces: int | None = None,
    top_exemplars: int | None = None,
    groups: Iterable[Group] = (),
    heatmaps: HeatmapOptions | None = None,
    pose: PoseOptions | None = None,
    timeout: float | None = None,
) -> UnaryCall[Prediction]:
    """Find the 68 landmarks of each face, with their uncertainty.

    Args:
        image: path of a JPEG, PNG, WebP, AVIF or BMP file, the bytes of one, or pixels as a uint8 array:
            (H, W, 3) in the order red, green, blue (OpenCV's is the reverse: ``pixels[..., ::-1]``), or
            (H, W) grey. The EXIF orientation of a file is applied first, an array is taken as it is. What is larger
            than the server takes is scaled on its way (extra ``cli``); the answer is about the original.
        boxes: the faces to align: each a `Box` or four numbers x0, y0, x1, y1 (image frame, pixels). None
            or empty: the server detects the faces.
        detector: name of the detector that finds them; None: the server's default. See `model`.
        max_faces: at most so many, those with the highest scores, ≥ 1; None: the server's limit.
        top_exemplars: how many of the most probable exemplars to name, ≥ 0; None: the server's choice.
        groups: groups whose uncertainty as a whole is wanted: names ("jaw", "brows", "nose", "eyes",
            "mouth", "all") or lists of 0-based landmarks.
        heatmaps: heatmaps too; None: none.
        pose: the head pose too; None: none.
        timeout: seconds for the whole call, retries included; None: the client's.

    Returns:
        A sequence of faces; empty when there are none in the picture.

    Raises:
        InvalidRequestError: an argument is wrong, here or by the server's judgement; every bad field is named.
        OSError: the file cannot be read.
        ExalignClientError: the call failed; see `exalign_client.errors` for the kinds.
    """
    wrong = Violations()
    request = service_pb2.PredictLandmarksRequest(
        image=image_message(image, wrong.at("image")),
        boxes=box_messages(() if boxes is None else boxes, wrong.at("boxes")),
        detection=detection_message(detector, max_faces, wrong),
        landmarks=landmarks_message(LandmarkOptions(top_exemplars, groups), wrong),
        heatmaps=heatmap_message(heatmaps, wrong.at("heatmaps")),
        pose=pose_message(pose, wrong.at("pose")),
    )
    wrong.raise_if_any()
    return UnaryCall("PredictLandmarks", request, prediction_from, timeout)


def heatmaps(
    image: ImageInput | None = None,
    boxes: Iterable[BoxInput] | None = None,
    *,
    posterior_id: str | None = None,
    options: HeatmapOptions | None = None,
    pose: PoseOptions | None = None,
    landmarks: LandmarkOptions | None = None,
    detector: str | None = None,
    max_faces: int | None = None,
    timeout: float | None = None,
) -> UnaryCall[Faces]:
    """Compute where chosen landmarks may be, as probability mass on a grid: ``Face.heatmaps``.

    Args:
        image: as in `predict`; None with a ``posterior_id``.
        boxes: as in `predict`.
        posterior_id: a face of an earlier answer (``Face.posterior_id``) instead of an image: neither the
            picture nor the network is needed again.
        options: which heatmaps, and where; None: all 68 on 64 × 64 cells of the square that the network saw.
        pose: the head pose too; None: none.
        landmarks: what to report about the landmarks, which are always answered; None: the server's choice.
        detector: as in `predict`.
        max_faces: as in `predict`.
        timeout: as in `predict`.

    Raises:
        NotFoundError: the server no longer keeps this posterior id; send the image again.
        InvalidRequestError: an argument is wrong; every one is named.
        OSError: the file cannot be read.
        ExalignClientError: the call failed.
    """
    wrong = Violations()
    only_with_image = {"boxes": boxes, "detector": detector, "max_faces": max_faces}
    request = service_pb2.PredictHeatmapsRequest(
        **source_fields(image, posterior_id, only_with_image, wrong),
        boxes=box_messages(() if boxes is None else boxes, wrong.at("boxes")),
        detection=detection_message(detector, max_faces, wrong),
        heatmaps=heatmap_message(HeatmapOptions() if options is None else options, wrong.at("options")),
        landmarks=landmarks_message(LandmarkOptions() if landmarks is None else landmarks, wrong.at("landmarks")),
        pose=pose_message(pose, wrong.at("pose")),
    )
    wrong.raise_if_any()
    return UnaryCall("PredictHeatmaps", request, faces_from, timeout)


def pose(
    image: ImageInput | None = None,
    boxes: Iterable[BoxInput] | None = None,
    *,
    posterior_id: str | None = None,
    options: PoseOptions | None = None,
    heatmaps: HeatmapOptions | None = None,
    landmarks: LandmarkOptions | None = None,
    detector: str | None = None,
    max_faces: int | None = None,
    timeout: float | None = None,
) -> UnaryCall[Faces]:
    """Estimate how the head is turned, as a distribution: ``Face.pose``.

    Arguments and errors are those of `heatmaps`, with ``options`` about the pose, and ``heatmaps`` as an
    option of its own.
    """
    wrong = Violations()
    only_with_image = {"boxes": boxes, "detector": detector, "max_faces": max_faces}
    request = service_pb2.EstimatePoseRequest(
        **source_fields(image, posterior_id, only_with_image, wrong),
        boxes=box_messages(() if boxes is None else boxes, wrong.at("boxes")),
        detection=detection_message(detector, max_faces, wrong),
        pose=pose_message(PoseOptions() if options is None else options, wrong.at("options")),
        landmarks=landmarks_message(LandmarkOptions() if landmarks is None else landmarks, wrong.at("landmarks")),
        heatmaps=heatmap_message(heatmaps, wrong.at("heatmaps")),
    )
    wrong.raise_if_any()
    return UnaryCall("EstimatePose", request, faces_from, timeout)


def condition(
    image: ImageInput | None = None,
    evidence: Evidence = (),
    *,
    posterior_id: str | None = None,
    box: BoxInput | None = None,
    box_moves: bool = True,
    heatmaps: HeatmapOptions | None = None,
    pose: PoseOptions | None = None,
    landmarks: LandmarkOptions | None = None,
    include_prior: bool = False,
    detector: str | None = None,
    timeout: float | None = None,
) -> UnaryCall[Conditional]:
    """Answer about one face given evidence, such as a click.

    Args:
        image: as in `predict`; None with a ``posterior_id``.
        evidence: what is known: one or several of `Click`, `Inside`, `Outside` and `PoseRange`.
        posterior_id: a face of an earlier answer instead of an image. Evidence that it holds stays; the new
            is added.
        box: the face; None: the detected one with the highest score.
        box_moves: whether clicks may also shift and scale the box.
        heatmaps: heatmaps given the evidence; None: none.
        pose: the pose given the evidence; None: none.
        landmarks: what to report about the landmarks, which are always answered; None: the server's choice.
        include_prior: answer the same without this evidence as well: ``Conditional.prior``.
        detector: as in `predict`.
        timeout: as in `predict`.

    Raises:
        PreconditionError: no face was found (``reason`` is ``NO_FACE``).
        NotFoundError: the server no longer keeps this posterior id; send the image again.
        InvalidRequestError: an argument is wrong; every one is named.
        OSError: the file cannot be read.
        ExalignClientError: the call failed.
    """
    wrong = Violations()
    request = service_pb2.QueryConditionalRequest(
        **source_fields(image, posterior_id, {"box": box, "detector": detector}, wrong),
        box=one_box_message(box, wrong),
        detection=detection_message(detector, None, wrong),
        evidence=evidence_message(evidence, box_moves, wrong.at("evidence")),
        landmarks=landmarks_message(LandmarkOptions() if landmarks is None else landmarks, wrong.at("landmarks")),
        heatmaps=heatmap_message(heatmaps, wrong.at("heatmaps")),
        pose=pose_message(pose, wrong.at("pose")),
        include_prior=bool(include_prior),
    )
    wrong.raise_if_any()
    return UnaryCall("QueryConditional", request, conditional_from, timeout)


def suggest(
    image: ImageInput | None = None,
    evidence: Evidence = (),
    *,
    posterior_id: str | None = None,
    box: BoxInput | None = None,
    box_moves: bool = True,
    candidates: Iterable[LandmarkOrGroup] = (),
    max_suggestions: int | None = None,
    criterion: Criterion = "error",
    click_sigma: float | None = None,
    heatmaps: HeatmapOptions | None = None,
    pose: PoseOptions | None = None,
    landmarks: LandmarkOptions | None = None,
    detector: str | None = None,
    timeout: float | None = None,
) -> UnaryCall[Suggestions]:
    """Suggest which landmark a person should click next.

    Args and errors that are not here are those of `condition`.

    Args:
        image: as in `predict`; None with a ``posterior_id``.
        evidence: what is known already, in addition to what a ``posterior_id`` holds.
        posterior_id: a face of an earlier answer instead of an image.
        box: the face; None: the detected one with the highest score.
        box_moves: whether clicks in ``evidence`` may also shift and scale the box.
        candidates: landmarks and groups to choose from; empty: all that are not yet clicked.
        max_suggestions: at most so many, 1 to 68; None: the server's choice.
        criterion: rank by the expected drop in "error" (pixels) or in "entropy" (nats).
        click_sigma: standard deviation of the coming click, pixels a coordinate, > 0; None: 1 % of the face
            box's diagonal.
        heatmaps: heatmaps given the evidence; None: none.
        pose: the pose given the evidence; None: none.
        landmarks: what to report about the landmarks, which are always answered; None: the server's choice.
        detector: as in `predict`.
        timeout: as in `predict`.
    """
    wrong = Violations()
    known = evidence_message(evidence, box_moves, wrong.at("evidence"))
    suggestion = SuggestionOptions(candidates, max_suggestions, criterion, click_sigma)
    request = service_pb2.SuggestEvidenceRequest(
        **source_fields(image, posterior_id, {"box": box, "detector": detector}, wrong),
        box=one_box_message(box, wrong),
        detection=detection_message(detector, None, wrong),
        evidence=known if known.clicks or known.regions or known.poses else None,
        suggestion=suggestion_message(suggestion, wrong),
        landmarks=landmarks_message(LandmarkOptions() if landmarks is None else landmarks, wrong.at("landmarks")),
        heatmaps=heatmap_message(heatmaps, wrong.at("heatmaps")),
        pose=pose_message(pose, wrong.at("pose")),
    )
    wrong.raise_if_any()
    return UnaryCall("SuggestEvidence", request, suggestions_from, timeout)


def exemplars(
    class_ids: Iterable[int], *, bundle_id: str | None = None, timeout: float | None = None
) -> UnaryCall[tuple[Exemplar, ...]]:
    """Return the shapes behind class ids, in the order requested.

    Args:
        class_ids: 0 to K − 1, at least one.
        bundle_id: the bundle that they are from; None: the one that answers.
        timeout: as in `predict`.

    Raises:
        PreconditionError: another bundle answers.
        InvalidRequestError: a class id is wrong.
        ExalignClientError: the call failed.
    """
    wrong = Violations()
    class_id_fields = wrong.at("class_ids")
    checked = [
        whole_in(number, 0, class_id_fields.at(index)) for index, number in enumerate(items(class_ids, class_id_fields))
    ]
    if not checked and not len(wrong):
        class_id_fields.add("must hold at least one")
    bundle = text(bundle_id, wrong.at("bundle_id"))
    wrong.raise_if_any()
    known = [number for number in checked if number is not None]
    request = service_pb2.GetExemplarsRequest(class_ids=known, bundle_id=bundle)
    return UnaryCall("GetExemplars", request, exemplars_from, timeout)


def model(*, timeout: float | None = None) -> UnaryCall[Model]:
    """Describe the model that answers, how it is run, and what is accepted.

    Args:
        timeout: seconds for the whole call; None: the client's.

    Raises:
        ExalignClientError: the call failed.
    """
    return UnaryCall("GetModel", service_pb2.GetModelRequest(), model_from, timeout)


def swap_model(bundle: str, *, timeout: float | None = None) -> UnaryCall[SwappedModel]:
    """Put another bundle of the server's directory in the place of the one that answers; for its operator.

    The server loads, verifies, compares and warms it up first. Calls and videos that have begun keep theirs.

    Args:
        bundle: its name in that directory: 1 to 100 of ``[A-Za-z0-9._-]``.
        timeout: seconds for the whole call; None: the client's. The swap goes on beyond it: ask again.

    Raises:
        NotFoundError: there is no such bundle.
        PreconditionError: the bundle is refused (``reason`` is ``BUNDLE_REFUSED``); the one before goes on answering.
        ServerBusyError: videos still need as many bundles as there may be.
        UnimplementedError: the server has no directory of bundles, or does not ask who calls.
        InvalidRequestError: it is no name.
        ExalignClientError: the call failed.
    """
    wrong = Violations()
    request = admin_pb2.SwapModelRequest(bundle=text(bundle, wrong.at("bundle")))
    wrong.raise_if_any()
    return UnaryCall("SwapModel", request, swapped_from, timeout, service="admin")
