"""``exalign condition``: one face given evidence, such as a click, beside the answer without it."""

from __future__ import annotations

import argparse
from typing import Any

from exalign_client.commands.connection import connect
from exalign_client.commands.picture import (
    add_evidence_options,
    add_picture_options,
    evidence_of,
    present,
    read_picture,
)
from exalign_client.commands.tables import conditional_summary
from exalign_client.pictures.evidence import draw_conditional


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("condition", help="answer about a face given clicks", description=__doc__)
    add_evidence_options(parser, required=False)
    add_picture_options(parser, several_faces=False)
    parser.set_defaults(run=lambda arguments: run(arguments, parser))


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Call, draw and print."""
    evidence = evidence_of(arguments)
    if not evidence:
        parser.error("nothing is known: give --click, --yaw, --pitch or --roll")
    data = read_picture(arguments)
    with connect(arguments) as client:
        answer = client.condition(
            data, evidence, box=arguments.box, box_moves=not arguments.fixed_box, include_prior=True
        )
        exemplars = {}
        if arguments.out is not None:
            faces = [face for face in (answer.prior, answer.face) if face is not None]
            ids = sorted({top.class_id for face in faces for top in face.top_exemplars})
            if ids:
                shapes = client.exemplars(ids, bundle_id=answer.bundle_id)
                exemplars = {exemplar.class_id: exemplar for exemplar in shapes}
    text = conditional_summary(answer)
    present(arguments, answer.to_json(), text, data, lambda pixels: draw_conditional(pixels, answer, exemplars))
    return 0
