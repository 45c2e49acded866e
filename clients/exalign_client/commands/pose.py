"""``exalign pose``: how heads are turned, with intervals, and the joint map of yaw and roll."""

from __future__ import annotations

import argparse
from typing import Any

from exalign_client.commands.connection import connect
from exalign_client.commands.picture import add_picture_options, present, read_picture
from exalign_client.commands.tables import pose_table
from exalign_client.pictures.pose import draw_pose
from exalign_client.requests.views import PoseOptions


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("pose", help="show how heads are turned", description=__doc__)
    add_picture_options(parser, several_faces=True)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Call, draw and print."""
    data = read_picture(arguments)
    bins = 180 if arguments.out is not None else 36  # a picture shows a part of the map, enlarged
    with connect(arguments) as client:
        faces = client.pose(data, arguments.box, options=PoseOptions((0.5, 0.9), yaw_bins=bins, roll_bins=bins))
    draw = (lambda pixels: draw_pose(pixels, faces)) if faces else None
    text = "\n\n".join(pose_table(face.pose) for face in faces if face.pose is not None) or "no face found"
    present(arguments, faces.to_json(), text, data, draw)
    return 0
