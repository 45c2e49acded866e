"""``exalign predict``: landmarks of the faces in pictures, as a table, as JSON, drawn over the pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from exalign.cli_support import describe, report
from exalign_client.calls.sync import Client
from exalign_client.commands.connection import add_connection_options, connect
from exalign_client.commands.tables import landmark_table, prediction_summary
from exalign_client.errors import InvalidRequestError, MessageTooLargeError
from exalign_client.pictures.decode import require_opencv
from exalign_client.pictures.overlay import SUFFIXES, draw_overlay, write_picture
from exalign_client.requests.arguments import Box
from exalign_client.results.faces import Prediction
from exalign_client.results.model import Model


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("predict", help="find the landmarks of the faces in pictures", description=__doc__)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="JPEG, PNG, WebP or BMP file")
    parser.add_argument(
        "--box",
        action="append",
        type=box_of,
        metavar="X0,Y0,X1,Y1",
        help="a face to align, pixels, instead of detecting faces; may be given again. "
        "Write --box=-3,... where the first number is negative",
    )
    parser.add_argument(
        "--detector",
        metavar="NAME",
        help="detector that finds faces; with --box, the one whose convention the boxes follow",
    )
    parser.add_argument("--max-faces", type=_positive, metavar="N", help="at most so many faces a picture")
    parser.add_argument("--json", action="store_true", help="print one JSON object a picture, one a line")
    parser.add_argument(
        "--landmarks",
        action="store_true",
        help="print the 68 landmarks even where there are several pictures",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="draw the answer over the picture: a file for one picture, a directory for several",
    )
    add_connection_options(parser)
    parser.set_defaults(run=lambda arguments: run(arguments, parser))


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Align the faces of each picture in turn; one that cannot be used is reported and does not stop the rest."""
    overlays = _overlay_paths(arguments, parser)
    readable = [path for path in arguments.images if path.exists() and not path.is_dir()]
    for path in arguments.images:
        if path not in readable:
            report(f"exalign: {path}: no such file")
    if not readable:
        return 1  # before a server is started for nothing
    failures = len(arguments.images) - len(readable)
    with connect(arguments) as client:
        model = client.model()
        for number, path in enumerate(readable, start=1):
            if len(readable) > 1:
                report(f"[{number}/{len(readable)}] {path}")
            try:
                data = path.read_bytes()
                prediction = _predict(client, data, arguments)
                if path in overlays:
                    pixels = draw_overlay(data, prediction, presence_threshold=model.presence_threshold)
                    write_picture(overlays[path], pixels)
            except (OSError, InvalidRequestError, MessageTooLargeError) as error:
                text = describe(error)
                report(f"exalign: {text if str(path) in text else f'{path}: {text}'}")
                failures += 1
                continue
            _print(path, prediction, model, arguments)
    return 1 if failures else 0


def _predict(client: Client, data: bytes, arguments: argparse.Namespace) -> Prediction:
    convention = arguments.detector or ""
    boxes = [Box(x0, y0, x1, y1, convention) for x0, y0, x1, y1 in arguments.box or ()]
    detector = None if boxes else arguments.detector
    return client.predict(data, boxes, detector=detector, max_faces=arguments.max_faces)


def _print(path: Path, prediction: Prediction, model: Model, arguments: argparse.Namespace) -> None:
    if arguments.json:
        answer = prediction.to_json()
        line = {"image": str(path), **answer} if isinstance(answer, dict) else answer
        print(json.dumps(line, ensure_ascii=False, allow_nan=False), flush=True)
        return
    print(f"{path}: {prediction_summary(prediction)}", flush=True)
    if len(arguments.images) == 1 or arguments.landmarks:
        for number, face in enumerate(prediction, start=1):
            title = f"\nface {number}\n" if len(prediction) > 1 else "\n"
            print(title + landmark_table(face, model.landmark_names), flush=True)


def _overlay_paths(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> dict[Path, Path]:
    """Where the overlay of each picture goes; empty without ``--out``. Wrong usage ends the program."""
    out: Path | None = arguments.out
    if out is None:
        return {}
    require_opencv()
    images: list[Path] = arguments.images
    if len(images) == 1 and not out.is_dir():
        if out.suffix.lower() not in SUFFIXES:
            parser.error(f"--out: {out} must be a directory or end in one of {' '.join(SUFFIXES)}")
        return {images[0]: out}
    if out.exists() and not out.is_dir():
        parser.error(f"--out: {out} is a file; several pictures need a directory")
    targets = {image: out / f"{image.stem}.png" for image in images}
    if len(set(targets.values())) < len(targets):
        parser.error(f"--out: several pictures have the same name and would overwrite each other in {out}")
    out.mkdir(parents=True, exist_ok=True)
    return targets


def box_of(text: str) -> tuple[float, float, float, float]:
    """A box from the command line."""
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not four numbers x0,y0,x1,y1") from None
    if not (x0 < x1 and y0 < y1):  # also false for NaN
        raise argparse.ArgumentTypeError(f"{text!r} must have x0 < x1 and y0 < y1")
    return x0, y0, x1, y1


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number ≥ 1")
    return int(text)
