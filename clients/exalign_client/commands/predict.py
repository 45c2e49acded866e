"""``exalign predict``: landmarks of the faces in pictures: a table, JSON, a drawing, or a file of other tools."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exalign.cli_support import describe, json_text, report
from exalign.output_files import refuse_overwriting, report_written
from exalign_client.calls.sync import Client
from exalign_client.commands.connection import add_connection_options, connect
from exalign_client.commands.export import Export, add_format_options, export_of
from exalign_client.commands.inputs import PictureInput, given_pictures, is_there
from exalign_client.commands.tables import landmark_table, prediction_summary
from exalign_client.errors import (
    AccessDeniedError,
    ExalignClientError,
    UnavailableError,
    UnimplementedError,
)
from exalign_client.formats import picture_from
from exalign_client.opencv import require_opencv
from exalign_client.pictures.overlay import SUFFIXES, draw_overlay, write_picture
from exalign_client.requests.arguments import Box
from exalign_client.results.faces import Prediction
from exalign_client.results.model import Model

#: What fails for one picture fails for all.
_HOPELESS = (AccessDeniedError, UnavailableError, UnimplementedError)


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("predict", help="find the landmarks of the faces in pictures", description=__doc__)
    parser.add_argument(
        "images",
        nargs="+",
        type=Path,
        metavar="IMAGE",
        help="JPEG, PNG, WebP or BMP file, a directory of them, or - for standard input",
    )
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
    add_format_options(parser)
    add_connection_options(parser)
    parser.set_defaults(run=lambda arguments: run(arguments, parser))


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Align the faces of each picture in turn; one that cannot be used is reported and does not stop the rest."""
    given = given_pictures(arguments.images)
    single = len(given.pictures) == 1 and not given.from_directory
    export = export_of(arguments, [picture.identity for picture in given.pictures], parser)
    drawn = None if export else arguments.out
    overlays = _overlay_paths(given.pictures, drawn, parser, single=single)
    there = [picture for picture in given.pictures if is_there(picture)]
    if not there:
        return 1  # before anything is started for nothing
    failures = given.failures + len(given.pictures) - len(there)
    listed = single or arguments.landmarks
    with connect(arguments, shows_progress=len(there) > 1) as client:
        model = client.model()
        for number, picture in enumerate(there, start=1):
            if len(there) > 1:
                report(f"[{number}/{len(there)}] {picture.name}")
            try:
                _answer(client, picture, model, overlays.get(picture) or export, arguments, listed=listed)
            except _HOPELESS:
                raise
            except (OSError, MemoryError, ExalignClientError) as error:
                if isinstance(error, BrokenPipeError):
                    raise
                text = "not enough memory" if isinstance(error, MemoryError) else describe(error)
                report(f"exalign: {text if picture.name in text else f'{picture.name}: {text}'}")
                failures += 1
    if export is not None:
        export.write()
    return 1 if failures else 0


def _answer(
    client: Client,
    picture: PictureInput,
    model: Model,
    target: Path | Export | None,
    arguments: argparse.Namespace,
    *,
    listed: bool,
) -> None:
    """Ask about one picture, print the answer, and draw it or keep it for the file."""
    data = picture.read()
    convention = arguments.detector or ""
    boxes = [Box(x0, y0, x1, y1, convention) for x0, y0, x1, y1 in arguments.box or ()]
    detector = None if boxes else arguments.detector
    prediction = client.predict(data, boxes, detector=detector, max_faces=arguments.max_faces)
    _print(picture, prediction, model, as_json=arguments.json, listed=listed)
    if isinstance(target, Export):
        target.add(picture_from(picture.name, prediction))
    elif target is not None:
        pixels = draw_overlay(data, prediction, presence_threshold=model.presence_threshold)
        write_picture(target, pixels)
        report_written("exalign", target)


def _print(picture: PictureInput, prediction: Prediction, model: Model, *, as_json: bool, listed: bool) -> None:
    if as_json:
        answer = prediction.to_json()
        line = {"image": picture.name, **answer} if isinstance(answer, dict) else answer
        print(json_text(line), flush=True)
        return
    print(f"{picture.name}: {prediction_summary(prediction)}", flush=True)
    if listed:
        for number, face in enumerate(prediction, start=1):
            title = f"\nface {number}\n" if len(prediction) > 1 else "\n"
            print(title + landmark_table(face, model.landmark_names), flush=True)


def _overlay_paths(
    pictures: Sequence[PictureInput], out: Path | None, parser: argparse.ArgumentParser, *, single: bool
) -> dict[PictureInput, Path]:
    """Where the overlay of each picture goes; empty without ``--out``. Wrong usage ends the program.

    Raises:
        UsageError: an overlay would destroy a picture or another overlay.
    """
    if out is None or not pictures:
        return {}
    if single and not out.is_dir():
        if out.suffix.lower() not in SUFFIXES:
            parser.error(f"--out: {out} must be a directory or end in one of {' '.join(SUFFIXES)}")
        targets = [out]
    else:
        if out.exists() and not out.is_dir():
            parser.error(f"--out: {out} is a file; several pictures need a directory")
        targets = [out / f"{picture.stem}.png" for picture in pictures]
    refuse_overwriting(targets, [picture.identity for picture in pictures])
    require_opencv()
    if not single:
        out.mkdir(parents=True, exist_ok=True)
    return dict(zip(pictures, targets, strict=True))


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
