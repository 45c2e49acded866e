"""The tensors of the model, and the values of one: given as raw bytes or by type, and answered in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign.open_inference import inference_pb2
from exalign_engine.errors import Violations

#: Most values of a picture that are read by type, where each is a number of its own: 290 × 290 pixels. So many hold up
#: the event loop, and with it every caller, for 15 ms; raw, the same picture costs it one copy.
MOST_TYPED = 2**18

_LENGTH = 4

#: Dimensions of a wrong shape, and characters of a wrong name, that are shown.
_SHOWN_DIMENSIONS, _SHOWN_CHARACTERS = 8, 64


@dataclass(frozen=True)
class TensorKind:
    """A tensor of the model.

    Attributes:
        name: of it.
        datatype: as the protocol calls it.
        shape: −1 is of any size.
        about: what it holds, for people.
        optional: whether a call may go without it.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    about: str
    optional: bool = False


INPUTS = (
    TensorKind(
        "image",
        "BYTES",
        (1,),
        "BYTES [1]: a picture as a file, such as a JPEG; its orientation is applied."
        " Or UINT8 [height, width, 3]: pixels, RGB, upright",
    ),
    TensorKind(
        "boxes",
        "FP32",
        (-1, 4),
        "x0, y0, x1, y1 of each face's tight box, pixels of the upright picture, the centre of the top-left pixel is"
        " (0, 0). Without any, faces are detected",
        optional=True,
    ),
)

OUTPUTS = (
    TensorKind(
        "boxes",
        "FP32",
        (-1, 4),
        "x0, y0, x1, y1 of the face box that was used, pixels; faces in the order of the boxes given, or by falling"
        " score of the detector",
    ),
    TensorKind("landmarks", "FP32", (-1, 68, 2), "x, y: posterior mean, pixels, iBUG order"),
    TensorKind("covariances", "FP32", (-1, 68, 2, 2), "of each landmark under the calibrated posterior, px²"),
    TensorKind(
        "confidences",
        "FP32",
        (-1, 68),
        "probability that the truth lies within 5 % of the box diagonal of the landmark",
    ),
    TensorKind("presence", "FP32", (-1,), "probability that there is a face at all"),
    TensorKind(
        "pose",
        "FP32",
        (-1, 3),
        "yaw, pitch, roll: posterior mean, degrees; > 0 is nose to the picture's right, up, clockwise on screen",
    ),
)


@dataclass(frozen=True)
class GivenTensor:
    """A tensor of a request.

    Attributes:
        datatype: as it was sent.
        shape: likewise.
        raw: its values as bytes; None: they are in ``contents``.
        contents: its values by type.
    """

    datatype: str
    shape: Sequence[int]
    raw: bytes | None
    contents: inference_pb2.InferTensorContents

    def element(self, violations: Violations) -> bytes | None:
        """The one element of a tensor of BYTES; None where it is not one, and what is wrong is added."""
        if self.raw is None:
            count = len(self.contents.bytes_contents)
            if count == 1:
                return self.contents.bytes_contents[0]
            violations.add("contents.bytes_contents", f"has {count} values, must have 1")
            return None
        announced = int.from_bytes(self.raw[:_LENGTH], "little")
        if len(self.raw) == _LENGTH + announced:
            return self.raw[_LENGTH:]
        text = f"has {len(self.raw):,} raw bytes, must have {_LENGTH} for its length, and then so many: "
        violations.add(
            "", f"{text}{announced:,}" if len(self.raw) >= _LENGTH else f"{text}not even the length is whole"
        )
        return None

    def octets(self, count: int, violations: Violations) -> bytes | None:
        """The ``count`` values of a tensor of UINT8; None where they are not, and what is wrong is added."""
        if self.raw is not None:
            return self.raw if _as_many(len(self.raw), count, "", "raw bytes", violations) else None
        values = self.contents.uint_contents
        if not _as_many(len(values), count, "contents.uint_contents", "values", violations):
            return None
        if count > MOST_TYPED:
            text = f"has {count:,} values, at most {MOST_TYPED:,} are read there; more go into raw_input_contents"
            violations.add("contents.uint_contents", text)
            return None
        try:
            return bytes(values)
        except ValueError:
            violations.add("contents.uint_contents", f"holds {max(values)}, must be 0 to 255")
            return None

    def floats(self, count: int, violations: Violations) -> NDArray[np.float32] | None:
        """The ``count`` values of a tensor of FP32, flat; None where they are not, and what is wrong is added."""
        if self.raw is not None:
            whole = _as_many(len(self.raw), 4 * count, "", "raw bytes", violations)
            return np.frombuffer(self.raw, "<f4") if whole else None
        values = self.contents.fp32_contents
        whole = _as_many(len(values), count, "contents.fp32_contents", "values", violations)
        return np.array(values, np.float32) if whole else None


def add_tensor(
    response: inference_pb2.ModelInferResponse, kind: TensorKind, values: NDArray[np.float32], *, raw: bool
) -> None:
    """Add an output of FP32 to an answer, as bytes or by type."""
    output = response.outputs.add(name=kind.name, datatype=kind.datatype, shape=values.shape)
    if raw:
        response.raw_output_contents.append(values.astype("<f4").tobytes())
    else:
        output.contents.SetInParent()  # also where there is no face
        output.contents.fp32_contents.extend(values.ravel().tolist())


def shown(shape: Sequence[int]) -> str:
    """A shape for a message, however long it is."""
    dimensions = ", ".join(str(d) for d in shape[:_SHOWN_DIMENSIONS])
    return f"[{dimensions}{', …' if len(shape) > _SHOWN_DIMENSIONS else ''}]"


def shown_name(name: str) -> str:
    """A name for a message, however long it is."""
    return repr(name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}…")


def _as_many(found: int, wanted: int, field: str, what: str, violations: Violations) -> bool:
    if found != wanted:
        violations.add(field, f"has {found:,} {what}, must have {wanted:,} for its shape")
    return found == wanted
