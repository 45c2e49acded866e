"""``exalign-server token``: make a token, and the line about it for ``--token-file``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from exalign.cli_support import DONE, OneLineParser, report


def add_to(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "token",
        help="make a token for a caller",
        description="Make a token for a caller. Its line for --token-file, with a salted hash, goes to standard "
        "output; the token itself, which is nowhere else, to standard error or to a file of its own.",
    )
    parser.add_argument("name", type=_name, help="what the caller is called in logs")
    parser.add_argument(
        "--scopes", type=_scopes, default="predict,track", help="what it may do (default predict,track; also admin)"
    )
    parser.add_argument("--expires", type=_expiry, default="never", metavar="DAY", help="its end, UTC (default never)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="new file for the token, for its owner's eyes alone")


def run(args: argparse.Namespace) -> int:
    """Make it.

    Raises:
        OSError: the file is there already, or cannot be written.
    """
    from exalign_service.access.static_tokens import new_token

    token, line = new_token(args.name, args.scopes, args.expires)
    if args.out is None:
        report(token)
    else:
        with os.fdopen(os.open(args.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{token}\n")
    print(line)
    return DONE


def _name(text: str) -> str:
    from exalign_service.access.static_tokens import NAME

    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} must be 1 to 64 letters, digits and any of _.@:/-")
    return text


def _scopes(text: str) -> frozenset[str]:
    from exalign_service.access.static_tokens import check_scopes

    try:
        return check_scopes(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(f"is {text!r}: {e}") from None


def _expiry(text: str) -> float:
    from exalign_service.access.static_tokens import parse_expiry

    try:
        return parse_expiry(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(f"is {text!r}: {e}") from None
