"""Unary calls by the grammar: a request, and how the call may end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from grpc import StatusCode

import call_grammar as grammar
from call_grammar import Writer
from conversation_client import FACES
from exalign.open_inference import inference_pb2
from exalign.v1 import admin_pb2, service_pb2
from fuzzed_server import BUNDLES, CALLERS, NOBODY
from protocol_model import DENIED, FORBIDDEN, OK, Ending
from request_seeds import inferences

INFER = "/inference.GRPCInferenceService/ModelInfer"
SWAP = "/exalign.v1.ModelAdminService/SwapModel"

NO_FACE = Ending.not_now("NO_FACE")
NO_POSTERIOR = Ending(StatusCode.NOT_FOUND, "POSTERIOR_NOT_FOUND")
OTHER_BUNDLE = Ending.not_now("OTHER_BUNDLE")
NO_BUNDLE = Ending(StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
NO_ROOM = Ending(StatusCode.RESOURCE_EXHAUSTED, "BUNDLES_FULL")
NO_METHOD = Ending(StatusCode.UNIMPLEMENTED)

INFERENCES = inferences()

#: Share of fields that are wrong.
SHARE = 0.06


@dataclass
class ServerView:
    """What a conversation knows of its server.

    Attributes:
        bundles: ids of `BUNDLES`.
        current: the one that answers.
        posteriors: ids of posteriors without evidence: (id, owner, bundle).
    """

    bundles: tuple[str, ...]
    current: str
    posteriors: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass
class UnaryCall:
    """A call.

    Attributes:
        path: of the method.
        data: the request.
        caller: who calls.
        expected: how it may end.
        answered: is given the answer, where it is answered.
        echoed: what of the request may be in an error.
    """

    path: str
    data: bytes
    caller: str
    expected: list[Ending]
    answered: Callable[[bytes], None] = lambda data: None
    echoed: tuple[bytes, ...] = ()


class Calls:
    """Writes unary calls.

    Args:
        random: decides.
        known: of the server.
    """

    def __init__(self, random: Random, known: ServerView) -> None:
        self._random, self._known = random, known
        self._w = Writer(random, 0.0 if random.random() < 0.5 else SHARE)

    def any(self) -> UnaryCall:
        """A call of any method."""
        kinds = [self.landmarks] * 4 + [self.heatmaps, self.pose, self.conditional, self.suggest] * 2
        kinds += [self.model, self.exemplars, self.infer, self.malformed, self.unknown, self.swap]
        return self._random.choice(kinds)()

    def landmarks(self) -> UnaryCall:
        """PredictLandmarks."""
        request, w = service_pb2.PredictLandmarksRequest(), self._w
        self._faces(request)
        if not request.boxes and w.perhaps(0.2):
            request.stop_after = w.pick("stop_after", (1, 2), (7,))  # type: ignore[assignment]
        return self._asked("PredictLandmarks", request, service_pb2.PredictLandmarksResponse)

    def heatmaps(self) -> UnaryCall:
        """PredictHeatmaps."""
        return self._many("PredictHeatmaps", service_pb2.PredictHeatmapsRequest, service_pb2.PredictHeatmapsResponse)

    def pose(self) -> UnaryCall:
        """EstimatePose."""
        return self._many("EstimatePose", service_pb2.EstimatePoseRequest, service_pb2.EstimatePoseResponse)

    def conditional(self) -> UnaryCall:
        """QueryConditional."""
        request = service_pb2.QueryConditionalRequest(include_prior=self._w.perhaps())
        if self._w.wrongly():
            self._w.wrong.add("evidence")
        else:
            request.evidence.CopyFrom(grammar.evidence(self._w))
        return self._one("QueryConditional", request)

    def suggest(self) -> UnaryCall:
        """SuggestEvidence."""
        request = service_pb2.SuggestEvidenceRequest(suggestion=grammar.suggestion(self._w))
        return self._one("SuggestEvidence", request)

    def model(self) -> UnaryCall:
        """GetModel; any token will do."""
        caller = self._random.choice((*CALLERS, NOBODY))
        expected = [DENIED] if caller == NOBODY else [OK]
        return UnaryCall(f"{FACES}/GetModel", b"", caller, expected)

    def exemplars(self) -> UnaryCall:
        """GetExemplars."""
        w, request = self._w, service_pb2.GetExemplarsRequest()
        if w.perhaps(0.2):
            request.bundle_id = w.random.choice((self._known.current, "f" * 64, "no such bundle"))
        if w.wrongly():
            w.wrong.add("class_ids")
            request.class_ids.extend([1] * w.random.choice((0, grammar.MAX_EXEMPLARS + 1)))
        else:
            for i in range(w.random.randint(1, 4)):
                request.class_ids.append(w.pick(f"class_ids[{i}]", (0, 7, 39), (-1, 40, 10**6)))
        asked = self._asked("GetExemplars", request, None)
        if request.bundle_id not in ("", self._known.current) and asked.caller in ("alice", "bob"):
            asked.expected = [OTHER_BUNDLE]
        return asked

    def infer(self) -> UnaryCall:
        """ModelInfer of the Open Inference Protocol."""
        request = inference_pb2.ModelInferRequest()
        request.CopyFrom(self._random.choice(INFERENCES))
        fields: dict[str, Callable[[], object]] = {
            "": lambda: None,
            "image.shape": lambda: request.inputs[0].shape.append(3),
            "inputs[0].name": lambda: setattr(request.inputs[0], "name", "picture"),
            "outputs": lambda: [request.outputs.add(name=f"x{i}") for i in range(9)],
        }
        where = self._random.choice(sorted(fields))
        fields[where]()
        expected = [Ending(StatusCode.INVALID_ARGUMENT)]
        if where == "":
            # The box of the first of them is empty, and is refused for that.
            expected = [OK, Ending(StatusCode.INVALID_ARGUMENT)]
        return UnaryCall(INFER, request.SerializeToString(), "alice", expected)

    def malformed(self) -> UnaryCall:
        """Bytes that are no message, to any method."""
        method = self._random.choice(
            ("PredictLandmarks", "EstimatePose", "QueryConditional", "GetExemplars", "GetModel")
        )
        data = self._random.choice((b"\xff" * 9, b"\x0a\x7f\x01", b"\x08", b"\x0b\x0c\x0c\x0c"))
        return UnaryCall(f"{FACES}/{method}", data, "alice", [Ending(StatusCode.INVALID_ARGUMENT)])

    def unknown(self) -> UnaryCall:
        """A method that is not there."""
        path = self._random.choice((f"{FACES}/Nothing", "/no.Service/At", f"{FACES}/../../etc/passwd", "/"))
        return UnaryCall(path, b"", "alice", [NO_METHOD], echoed=(path.encode(), path[1:].encode() or b"/"))

    def swap(self) -> UnaryCall:
        """SwapModel."""
        name = self._random.choice((*BUNDLES, *BUNDLES, "nothing-here", "", ".hidden", "a/b", "x" * 101))
        caller = self._random.choice(("alice", "alice", "bob", NOBODY))
        known = self._known
        if caller != "alice":
            expected = [FORBIDDEN if caller == "bob" else DENIED]
        elif name in BUNDLES:
            expected = [OK, NO_ROOM]
        else:
            expected = [NO_BUNDLE] if name == "nothing-here" else [Ending.invalid("bundle")]

        def swapped(data: bytes) -> None:
            known.current = admin_pb2.SwapModelResponse.FromString(data).bundle_id

        return UnaryCall(SWAP, admin_pb2.SwapModelRequest(bundle=name).SerializeToString(), caller, expected, swapped)

    def _many(self, method: str, kind: type[Any], answer: type[Any]) -> UnaryCall:
        request = kind()
        posterior = self._source(request)
        if posterior is None:
            self._faces(request)
        elif self._w.wrongly():
            self._w.wrong.add("boxes")
            request.boxes.append(grammar.box(Writer(self._random, 0.0), "", seen=False))
        if posterior is not None:
            for name, value in grammar.views(self._w).items():
                getattr(request, name).CopyFrom(value)
        return self._asked(method, request, answer, posterior)

    def _one(self, method: str, request: Any) -> UnaryCall:
        """A method about one face."""
        w = self._w
        posterior = self._source(request)
        if posterior is None:
            request.image.CopyFrom(grammar.image(w))
            seen = not any(path.startswith("image") for path in w.wrong)
            if w.perhaps(0.8):
                request.box.CopyFrom(grammar.box(w, "box", seen=seen))
            elif w.perhaps():
                request.detection.CopyFrom(grammar.detection(w, one_face=True))
        elif w.wrongly():
            w.wrong.add("box")
            request.box.CopyFrom(grammar.box(Writer(self._random, 0.0), "", seen=False))
        for name, value in grammar.views(w).items():
            getattr(request, name).CopyFrom(value)
        asked = self._asked(method, request, None, posterior)
        if OK in asked.expected and posterior is None and not request.HasField("box"):
            asked.expected.append(NO_FACE)
        return asked

    def _faces(self, request: Any) -> None:
        """Picture, boxes or how to detect, views."""
        w = self._w
        request.image.CopyFrom(grammar.image(w))
        if not request.image.WhichOneof("source") and "image" in w.wrong:
            request.image.SetInParent()
        seen = not any(path.startswith("image") for path in w.wrong)
        if w.perhaps(0.8):
            for i in range(w.random.choice((1, 1, 2))):
                request.boxes.append(grammar.box(w, f"boxes[{i}]", seen=seen))
        elif w.perhaps():
            request.detection.CopyFrom(grammar.detection(w))
        for name, value in grammar.views(w).items():
            getattr(request, name).CopyFrom(value)

    def _source(self, request: Any) -> tuple[str, str, str] | None:
        """Put the id of an earlier answer into a request; None: it shall have a picture."""
        if not self._w.perhaps(0.4):
            return None
        nobody = ("A" * 24, "", "")
        found = self._random.choice([*self._known.posteriors[-6:], nobody])
        request.posterior_id = found[0]
        return found

    def _asked(
        self, method: str, request: Any, answer: type[Any] | None, posterior: tuple[str, str, str] | None = None
    ) -> UnaryCall:
        """The call, with how it may end."""
        random, known = self._random, self._known
        caller = random.choice(("alice",) * 12 + ("bob",) * 4 + ("weak", NOBODY))

        def answered(data: bytes) -> None:
            if answer is not None and posterior is None:
                message = answer.FromString(data)
                found = [face.posterior_id for face in message.faces if face.posterior_id]
                known.posteriors += [(one, caller, message.bundle_id) for one in found]

        return UnaryCall(
            f"{FACES}/{method}",
            request.SerializeToString(),
            caller,
            self._expected(caller, posterior),
            answered,
        )

    def _expected(self, caller: str, posterior: tuple[str, str, str] | None) -> list[Ending]:
        if caller == NOBODY:
            return [DENIED]
        if caller == "weak":
            return [FORBIDDEN]
        if self._w.wrong:
            return [Ending.invalid(*self._w.wrong)]
        if posterior is None:
            return [OK]
        _, owner, bundle = posterior
        if owner != caller:
            return [NO_POSTERIOR]
        return [OK] if bundle == self._known.current else [OK, NO_POSTERIOR]
