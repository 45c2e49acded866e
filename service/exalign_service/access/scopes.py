"""What each method asks of a caller. A method that is not in the table asks for ``admin``."""

from __future__ import annotations

PREDICT, TRACK, ADMIN = "predict", "track", "admin"

#: What a token may allow.
SCOPES = (PREDICT, TRACK, ADMIN)

#: Of everybody, with a token or without; of whoever has a token that is good.
OPEN, ANY = "open", "any"

_FACES, _OPEN_INFERENCE = "exalign.v1.FaceAlignmentService", "inference.GRPCInferenceService"
_MODEL_ADMIN = "exalign.v1.ModelAdminService"

#: By full name of the method. Health is asked by probes, which have no tokens. Reflection and GetModel say what is
#: in the repository and in the bundle, which strangers need not learn; no scope is worth a token without them.
_NEEDED = {
    **dict.fromkeys((f"grpc.health.v1.Health/{name}" for name in ("Check", "List", "Watch")), OPEN),
    **dict.fromkeys((f"{_OPEN_INFERENCE}/{name}" for name in ("ServerLive", "ServerReady", "ModelReady")), OPEN),
    **dict.fromkeys((f"{_OPEN_INFERENCE}/{name}" for name in ("ServerMetadata", "ModelMetadata", "ModelConfig")), ANY),
    **dict.fromkeys((f"grpc.reflection.{v}.ServerReflection/ServerReflectionInfo" for v in ("v1", "v1alpha")), ANY),
    f"{_OPEN_INFERENCE}/ModelInfer": PREDICT,
    f"{_FACES}/GetModel": ANY,
    f"{_FACES}/PredictLandmarks": PREDICT,
    f"{_FACES}/PredictHeatmaps": PREDICT,
    f"{_FACES}/EstimatePose": PREDICT,
    f"{_FACES}/QueryConditional": PREDICT,
    f"{_FACES}/SuggestEvidence": PREDICT,
    f"{_FACES}/GetExemplars": PREDICT,
    f"{_FACES}/TrackVideo": TRACK,
    f"{_MODEL_ADMIN}/SwapModel": ADMIN,
}


def needed(method: str) -> str:
    """What a method asks for: a scope, `ANY` or `OPEN`.

    Args:
        method: its full name, "service/method".
    """
    return _NEEDED.get(method, ADMIN)


def is_known(method: str) -> bool:
    """Whether the table names a method."""
    return method in _NEEDED
