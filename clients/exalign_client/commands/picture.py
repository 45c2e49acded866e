"""The options and the reading of commands that answer about one picture and may draw the answer."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from exalign.cli_support import json_text, report
from exalign.output_files import refuse_overwriting, report_written
from exalign_client.commands.connection import add_connection_options
from exalign_client.commands.inputs import PictureInput
from exalign_client.commands.predict import box_of
from exalign_client.json_form import Json
from exalign_client.landmarks import NAMES
from exalign_client.opencv import require_opencv
from exalign_client.pictures.decode import Pixels, decode_picture
from exalign_client.pictures.overlay import SUFFIXES, write_picture
from exalign_client.requests.evidence import Click, Constraint, PoseRange


def add_picture_options(parser: argparse.ArgumentParser, *, several_faces: bool) -> None:
    """Add the picture, where its faces are, and what becomes of the answer."""
    parser.add_argument(
        "image", type=Path, metavar="IMAGE", help="JPEG, PNG, WebP or BMP file, or - for standard input"
    )
    box = {"action": "append"} if several_faces else {}
    parser.add_argument(
        "--box",
        type=box_of,
        metavar="X0,Y0,X1,Y1",
        help="the face, pixels, instead of detecting it; --box=-3,... where the first number is negative",
        **box,  # type: ignore[arg-type]  # only ever an action
    )
    parser.add_argument("--json", action="store_true", help="print the answer as one JSON object")
    parser.add_argument("--out", type=_picture_path, metavar="PICTURE", help="draw the answer to this file")
    add_connection_options(parser)


def add_evidence_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add ``--click``, ``--radius``, ``--sigma``, ``--yaw``, ``--pitch``, ``--roll`` and ``--fixed-box``."""
    parser.add_argument(
        "--click",
        action="append",
        type=click_of,
        default=[],
        required=required,
        metavar="LANDMARK=X,Y",
        help="this landmark (a name such as nose_tip, or 0 to 67) is here, pixels; may be given again",
    )
    trust = parser.add_mutually_exclusive_group()
    trust.add_argument(
        "--radius", type=_positive, metavar="PX", help="hard clicks: the landmark is no farther away than this"
    )
    trust.add_argument("--sigma", type=_positive, metavar="PX", help="soft clicks of this standard deviation")
    for angle in ("yaw", "pitch", "roll"):
        parser.add_argument(f"--{angle}", type=_interval, metavar="LOW,HIGH", help=f"{angle} lies in here, degrees")
    parser.add_argument("--fixed-box", action="store_true", help="clicks do not move the face box")


def evidence_of(arguments: argparse.Namespace) -> list[Constraint]:
    """The evidence of these options."""
    evidence: list[Constraint] = [
        Click(landmark, x, y, radius=arguments.radius, sigma=arguments.sigma) for landmark, x, y in arguments.click
    ]
    if arguments.yaw or arguments.pitch or arguments.roll:
        evidence.append(PoseRange(yaw=arguments.yaw, pitch=arguments.pitch, roll=arguments.roll))
    return evidence


def read_picture(arguments: argparse.Namespace) -> bytes:
    """The bytes of the picture, before anything is started for nothing.

    Raises:
        UsageError: what is to be drawn would destroy the picture.
        OSError: it cannot be read.
        MissingExtraError: it is to be drawn on, and OpenCV is not installed.
    """
    picture = PictureInput(arguments.image)
    if arguments.out is not None:
        refuse_overwriting([arguments.out], [picture.identity])
        require_opencv()
    return picture.read()


def present(
    arguments: argparse.Namespace, answer: Json, text: str, data: bytes, draw: Callable[[Pixels], Pixels] | None
) -> None:
    """Print the answer as JSON or as text, and draw it where that is wanted and possible."""
    if arguments.json:
        line = {"image": str(arguments.image), **answer} if isinstance(answer, dict) else answer
        print(json_text(line), flush=True)
    else:
        print(text, flush=True)
    if arguments.out is None:
        return
    if draw is None:
        report(f"exalign: no face found: {arguments.out} is not written")
        return
    write_picture(arguments.out, draw(decode_picture(data)))
    report_written("exalign", arguments.out)


def landmark_of(text: str) -> str | int:
    """A landmark's name or index from the command line."""
    if text in NAMES:
        return text
    if text.isascii() and text.isdigit() and int(text) < len(NAMES):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no landmark: a name such as nose_tip, or 0 to {len(NAMES) - 1}")


def click_of(text: str) -> tuple[str | int, float, float]:
    """A landmark and its place from the command line."""
    landmark, _, place = text.partition("=")
    try:
        x, y = (float(part) for part in place.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not LANDMARK=X,Y, such as nose_tip=210.5,133") from None
    return landmark_of(landmark), x, y


def _interval(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not two numbers LOW,HIGH") from None
    return low, high


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of pixels > 0")
    return value


def _picture_path(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text} must end in one of {' '.join(SUFFIXES)}")
    return path
