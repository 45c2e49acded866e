"""See `benchmarks.figures`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.figures import __doc__ as about
from benchmarks.figures import listing, pages
from benchmarks.figures.figure import ROOT, Figure
from benchmarks.figures.making import Options, make, source
from benchmarks.figures.registry import FIGURES
from benchmarks.peers import environments as peers


def main(arguments: Sequence[str] | None = None) -> int:
    """Make figures, or compare; the exit code is 1 where one failed or a page disagrees."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="those to make, also with commas (default: all)")
    parser.add_argument("--data", type=Path, default=_data(), metavar="FACES")
    parser.add_argument("--busy", action="store_true", help="measure times on a busy machine too; they are no claim")
    parser.add_argument("--fresh", action="store_true", help="make again what was made of this source")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--list", action="store_true", help="show them, and make none")
    kinds.add_argument("--check", action="store_true", help="compare pages with files, and make none")
    kinds.add_argument("--write", action="store_true", help="write pages from files, and make none")
    args = parser.parse_args(arguments)
    chosen = _chosen([name for word in args.names for name in word.split(",") if name])
    if args.list:
        for figure in chosen:
            print(f"{figure.name:16}{figure.minutes:6g} min  {figure.command}")
        return 0
    failed: list[str] = []
    if not args.check and not args.write:
        options = Options(args.data, args.busy, args.fresh, _able())
        for figure in chosen:  # written one by one: an interrupted run leaves pages that agree
            failed += make([figure], options, source())
            _write([figure])
    if args.write:
        _write(chosen)
    problems = pages.disagreements(chosen)
    if listing.PAGE.read_text("utf-8") != listing.page(FIGURES):
        problems.append("docs/figures.md is not what the files say: python -m benchmarks.figures --write")
    print("\n".join([*problems, *(f"failed: {name}" for name in failed)]), file=sys.stderr)
    return 1 if problems or failed else 0


def _write(figures: Sequence[Figure]) -> None:
    for changed in pages.write(figures):
        print(f"written: {changed}")
    listing.PAGE.write_text(listing.page(FIGURES), "utf-8")


def _chosen(names: list[str]) -> list[Figure]:
    known = {figure.name: figure for figure in FIGURES}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"figures: no figure {unknown[0]!r}; known: {', '.join(known)}")
    return [known[name] for name in names] or list(FIGURES)


def _data() -> Path | None:
    """The annotated faces, where they are: EXALIGN_DATA, or data/ in the folder shared beside the checkout."""
    folder = Path(os.environ.get("EXALIGN_DATA", ROOT.parent / "shared" / "data"))
    return folder if (folder / "index.csv").is_file() else None


def _able() -> frozenset[str]:
    """What is here of what a figure may need; whether programs and an index are, its command finds out."""
    found = {"internet", "programs"}
    with suppress(FileNotFoundError):
        for peer in peers.PEERS:
            peers.python(peer)
        found.add("peers")
    if Path("/proc/driver/nvidia/version").exists():
        found.add("cuda")
    return frozenset(found)


if __name__ == "__main__":
    sys.exit(main())
