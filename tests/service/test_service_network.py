"""What a runtime may do wrong: it is noticed, counted, and an error of nobody but those whom it concerns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import grpc
import numpy as np
import pytest

from exalign_engine.network.outputs import Outputs
from exalign_service.inference.network import Network, RuntimeFaultError, each_row
from service_fakes import GOOD_BOX, U8, FakeRuntime, K, Running, encoded, request

CROPS = np.zeros((3, 4, 4, 3), np.uint8)


class Observer:
    def __init__(self) -> None:
        self.kinds: list[str] = []

    def runtime_failed(self, kind: str) -> None:
        self.kinds.append(kind)


def network(runtime: FakeRuntime) -> tuple[Network, Observer]:
    observer = Observer()
    return Network(runtime, K, lambda error: None, observer), observer


def not_finite(value: float) -> Callable[[U8, Outputs], Outputs]:
    def alter(crops: U8, out: Outputs) -> Outputs:
        features = out.features.copy()
        features[1, 0] = value
        return replace(out, features=features)

    return alter


@pytest.mark.parametrize(
    ("kind", "text", "alter"),
    [
        ("not_finite", "features of 1 of 3 crops is not finite", not_finite(np.nan)),
        ("not_finite", "features of 1 of 3 crops is not finite", not_finite(np.inf)),
        ("not_finite", "features of 1 of 3 crops is not finite", not_finite(-np.inf)),
        ("rows", "2 rows of embedding to 3 crops", lambda _, out: replace(out, embedding=out.embedding[:2])),
        (
            "shape",
            "scores of shape .5,. a row, must be \\(12,\\)",
            lambda _, out: replace(out, scores=out.scores[:, :5]),
        ),
        (
            "shape",
            "embedding of shape .1,. a row, must be \\(4,\\)",
            lambda _, out: replace(out, embedding=out.embedding[:, :1]),
        ),
        ("shape", "local of shape None a row, must be \\(1, 1, 1\\)", lambda _, out: replace(out, local=None)),
    ],
)
def test_an_answer_that_cannot_be_right_is_refused_and_counted(
    kind: str, text: str, alter: Callable[[U8, Outputs], Outputs]
) -> None:
    runtime = FakeRuntime()
    runtime.alter = lambda _, out: replace(out, local=np.zeros((3, 1, 1, 1), np.float32))
    it, observer = network(runtime)
    it.infer(CROPS)
    plain = runtime.alter
    runtime.alter = lambda crops, out: alter(crops, plain(crops, out))
    with pytest.raises(RuntimeFaultError, match=text):
        it.infer(CROPS)
    assert observer.kinds == [kind]


def test_wrong_scores_are_refused_in_the_first_answer_already() -> None:
    runtime = FakeRuntime()
    runtime.alter = lambda _, out: replace(out, scores=out.scores[:, :5])
    it, observer = network(runtime)
    with pytest.raises(RuntimeFaultError):
        it.infer(CROPS)
    assert observer.kinds == ["shape"]


def test_failures_in_a_row_are_counted_until_one_call_does_not_fail() -> None:
    runtime = FakeRuntime()
    it, observer = network(runtime)
    runtime.error = RuntimeError("of the runtime")
    for expected in (1, 2):
        with pytest.raises(RuntimeError, match="of the runtime"):
            it.infer(CROPS)
        assert it.in_a_row == expected
    runtime.error = None
    it.infer(CROPS)
    assert it.in_a_row == 0
    assert observer.kinds == ["raised", "raised"]


def test_rows_of_a_batch_that_fails_are_tried_one_by_one_once() -> None:
    sizes: list[int] = []

    def infer(crops: U8) -> Outputs:
        sizes.append(len(crops))
        if (crops == 7).any():
            raise RuntimeError("seven")
        return FakeRuntime().infer(crops)

    good, bad = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 7, np.uint8)
    first, second, third = each_row(infer, [good, bad, good])
    assert sizes == [3, 1, 1, 1]
    assert isinstance(second, RuntimeError)
    assert not isinstance(first, Exception)
    assert not isinstance(third, Exception)
    assert len(first.scores) == len(third.scores) == K


async def test_a_picture_that_the_network_cannot_answer_is_internal_for_its_caller_alone(live: Running) -> None:
    def white_is_nan(crops: U8, out: Outputs) -> Outputs:
        white = crops.reshape(len(crops), -1).min(axis=1) == 255
        return replace(out, scores=np.where(white[:, None], np.float32(np.nan), out.scores))

    live.runtime.alter = white_is_nan
    white = request(GOOD_BOX, data=encoded(np.full((48, 64, 3), 255, np.uint8)))
    calls = [live.stub.PredictLandmarks(one) for one in (request(GOOD_BOX), white, request(GOOD_BOX))]
    good, bad, other = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(bad, grpc.aio.AioRpcError)
    assert bad.code() == grpc.StatusCode.INTERNAL
    assert not isinstance(good, BaseException)
    assert not isinstance(other, BaseException)
    assert len(good.faces) == len(other.faces) == 1
    assert live.sample("exalign_runtime_faults_total", kind="not_finite") >= 1
    assert live.server.lifecycle.serving
