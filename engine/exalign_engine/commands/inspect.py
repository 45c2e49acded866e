"""``exalign-model inspect``: what a bundle is, after verifying every hash."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.commands.arguments import add_bundle_path, bundle_path, print_json
from exalign_engine.commands.files import Files, bundle_read


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_bundle_path(parser)
    parser.add_argument("--json", action="store_true", help="everything as one JSON object on stdout")


def files(args: argparse.Namespace) -> Files:
    """What is written (nothing) and read."""
    return Files(read=bundle_read(args))


def run(args: argparse.Namespace) -> int:
    """Print the manifest and the calibration."""
    bundle = Bundle.load(bundle_path(args))
    if args.json:
        calibration = asdict(bundle.calibration)
        print_json({"bundle_id": bundle.id, "manifest": asdict(bundle.manifest), "calibration": calibration})
        return 0
    m, c = bundle.manifest, bundle.calibration
    print(f"{m.name}  {bundle.id[:12]}  ({bundle.path})")
    print(f"  made        {m.created}, from {m.training_data}")
    print(f"  network     {m.input_size}×{m.input_size} crop of {m.margin} × the box, K = {m.exemplars}, τ = {m.tau}")
    print(f"  calibrated  T = {c.temperature}, c = {c.kernel_scale:.4f}" if c.card else "  calibrated  no")
    print(f"  detectors   {', '.join(sorted(bundle.detectors)) or 'none'}")
    for licence in m.licences:
        print(f"  {licence.subject}: {licence.name}. {licence.terms}")
    for name, digest in sorted(m.files.items()):
        size = (bundle.path / name).stat().st_size
        print(f"  {digest[:12]}  {size / 1e6:8.2f} MB  {name}")
    return 0
