"""Narrow ranges of the head pose, wherever one can be sent: bins have a least width; evidence has no bins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor

from exalign.v1 import evidence_pb2, geometry_pb2, image_pb2, pose_pb2, service_pb2, track_pb2
from exalign_engine.posterior.pose import MIN_BIN_WIDTH
from service_fakes import GOOD_BOX, Running, details_of, encoded
from track_fakes import config, frame, talk, talking

IMAGE = image_pb2.Image(encoded=encoded())
BOX = geometry_pb2.Box(x0=GOOD_BOX[0], y0=GOOD_BOX[1], x1=GOOD_BOX[2], y1=GOOD_BOX[3])
Evidence, Interval = evidence_pb2.Evidence, geometry_pb2.Interval

#: So few bins that nothing would become of it even if a narrow range were let through.
BINS = 9
LEAST = BINS * MIN_BIN_WIDTH

Violations = dict[str, str]
Ask = Callable[[Running, Any], Awaitable[Violations]]


async def refusal(call: Any) -> Violations:
    """What is wrong with a call, by field; nothing where it is answered."""
    try:
        await call
    except grpc.aio.AioRpcError as e:
        return details_of(e).violations or {"": str(e)}
    return {}


def unary(name: str, **fields: Any) -> Callable[[str], Ask]:
    """Asks a unary method, with something in one of its fields."""

    def about(field: str) -> Ask:
        async def ask(live: Running, value: Any) -> Violations:
            made = getattr(service_pb2, f"{name}Request")(image=IMAGE, **(fields | {field: value}))
            return await refusal(getattr(live.stub, name)(made))

        return ask

    return about


async def track_config(live: Running, pose: pose_pb2.PoseOptions) -> Violations:
    it = talk(live)
    # No frame: of a stream that ends before its messages are out, grpc.aio's client says INTERNAL.
    await it.say(config(pose=pose))
    await it.call.done_writing()
    found = await refusal(it.rest())
    return {field.removeprefix("config."): text for field, text in found.items()}


async def track_frame(live: Running, evidence: evidence_pb2.Evidence) -> Violations:
    async with talking(live) as it:
        await it.say(frame(0, GOOD_BOX, evidence=[track_pb2.TrackEvidence(evidence=evidence)]))
        await it.call.done_writing()
        found = await refusal(it.rest())
    return {field.removeprefix("frame.evidence[0]."): text for field, text in found.items()}


async def track_past(live: Running, evidence: evidence_pb2.Evidence) -> Violations:
    async with talking(live, config(smoothing_lag=2)) as it:
        await it.results(frame(0, GOOD_BOX))
        given = [track_pb2.TrackEvidence(evidence=evidence)]
        await it.say(track_pb2.PastEvidence(frame_index=0, evidence=given))
        await it.call.done_writing()
        found = await refusal(it.rest())
    return {field.removeprefix("past_evidence.evidence[0]."): text for field, text in found.items()}


METHODS = {
    "PredictLandmarks": unary("PredictLandmarks", boxes=[BOX]),
    "PredictHeatmaps": unary("PredictHeatmaps", boxes=[BOX]),
    "EstimatePose": unary("EstimatePose", boxes=[BOX]),
    "QueryConditional": unary("QueryConditional", box=BOX, evidence=Evidence()),
    "SuggestEvidence": unary("SuggestEvidence", box=BOX),
}

#: Every message of a caller that holds options of a pose, or evidence, and what sends one.
POSES: dict[str, Ask] = {f"{name}Request": about("pose") for name, about in METHODS.items()}
POSES["TrackConfig"] = track_config
EVIDENCE: dict[str, Ask] = {
    f"{name}Request": METHODS[name]("evidence") for name in ("QueryConditional", "SuggestEvidence")
}
EVIDENCE |= {"VideoFrame": track_frame, "PastEvidence": track_past}


def holders(wanted: str) -> set[str]:
    """Messages of callers with a field of this type, all the way down; between them and a track there is one more."""
    found: set[str] = set()

    def search(message: Descriptor, above: str) -> None:
        for field in message.fields:
            if field.message_type is None:
                continue
            if field.message_type.name == wanted:
                found.add(above if message.name == "TrackEvidence" else message.name)
            elif field.message_type.full_name.startswith("exalign.v1."):
                search(field.message_type, message.name)

    for method in service_pb2.DESCRIPTOR.services_by_name["FaceAlignmentService"].methods:
        search(method.input_type, "")
    return found


def test_every_message_that_holds_a_pose_range_is_here() -> None:
    assert holders("PoseOptions") == set(POSES)
    assert holders("Evidence") == set(EVIDENCE)


def histogram(side: str, width: float) -> pose_pb2.PoseOptions:
    options = pose_pb2.PoseHistogramOptions(yaw_bins=BINS, roll_bins=BINS)
    getattr(options, side).CopyFrom(Interval(lower=0, upper=width))
    return pose_pb2.PoseOptions(histogram=options)


@pytest.mark.parametrize("side", ["yaw_range", "roll_range"])
@pytest.mark.parametrize("message", POSES)
async def test_a_range_too_narrow_for_its_bins_is_refused_with_the_limit(
    live: Running, message: str, side: str
) -> None:
    found = await POSES[message](live, histogram(side, 0.99 * LEAST))
    text = f"is {0.99 * LEAST:g} degrees wide, must be at least {LEAST:g} for {BINS} bins"
    assert found == {f"pose.histogram.{side}": text}
    assert not live.runtime.batches  # before anything was computed
    assert await POSES[message](live, histogram(side, 1.01 * LEAST)) == {}


async def test_the_least_width_of_a_bin_is_told(live: Running) -> None:
    limits = (await live.stub.GetModel(service_pb2.GetModelRequest())).limits
    assert (limits.min_pose_bin_width, limits.max_pose_bins) == (MIN_BIN_WIDTH, 180)


@pytest.mark.parametrize("angle", ["yaw", "pitch", "roll"])
@pytest.mark.parametrize("message", EVIDENCE)
async def test_evidence_about_the_pose_may_be_as_narrow_as_it_likes(live: Running, message: str, angle: str) -> None:
    """It is compared with each exemplar's pose once: its width costs nothing."""
    for width in (0.0, 1e-9):
        pose = evidence_pb2.PoseRange(**{angle: Interval(lower=0, upper=width)})
        assert await EVIDENCE[message](live, Evidence(poses=[pose])) == {}


@pytest.mark.parametrize("message", EVIDENCE)
async def test_a_wrong_range_of_evidence_is_refused_with_the_limit(live: Running, message: str) -> None:
    pose = evidence_pb2.PoseRange(yaw=Interval(lower=-181, upper=0), roll=Interval(lower=9, upper=8))
    assert await EVIDENCE[message](live, Evidence(poses=[pose])) == {
        "evidence.poses[0].yaw.lower": "is -181 degrees, must be -180 to 180",
        "evidence.poses[0].roll.lower": "is 9, must be at most upper = 8",
    }
