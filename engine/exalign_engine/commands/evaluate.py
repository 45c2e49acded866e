"""``exalign-model evaluate``: accuracy of a bundle on annotated faces."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from exalign.output_files import report_written
from exalign_engine.bundle.bundle import Bundle
from exalign_engine.commands.arguments import add_bundle, add_data, bundle_path, print_json
from exalign_engine.commands.files import Files, bundle_read, given
from exalign_engine.commands.protocol import PROTOCOLS, run_protocol
from exalign_engine.data.face_source import FaceSource
from exalign_engine.data.prepared import annotated_photos
from exalign_engine.data.source import open_faces
from exalign_engine.detect import DEFAULT_DETECTOR, create_chosen_detector, create_default_detector
from exalign_engine.errors import InvalidInputError, Violation
from exalign_engine.evaluation.occlusion.suite import CROPS, run_occlusion
from exalign_engine.evaluation.photos import evaluate_crops, evaluate_photos, report
from exalign_engine.evaluation.stress.noc import noc_report, run_noc
from exalign_engine.evaluation.stress.pictures import draw_examples
from exalign_engine.evaluation.stress.suite import run_suite, stress_report
from exalign_engine.evaluation.video.clips import ClipMaker
from exalign_engine.evaluation.video.pictures import draw_clips
from exalign_engine.evaluation.video.real_clips import videos
from exalign_engine.evaluation.video.suite import run_real_clips, run_video_suite, video_report
from exalign_engine.face.aligner import Aligner
from exalign_engine.geometry.frames import BoxFrame, tight_box
from exalign_engine.geometry.head_pose import YAW, solve_pose
from exalign_engine.geometry.landmark_formats import FORMATS
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.hmm.chain import Chain
from exalign_engine.metrics.coverage import collect, coverage_report, measure_face
from exalign_engine.metrics.presence import presence_crops, presence_report
from exalign_engine.metrics.subsets import difficult_subsets, yaw_of
from exalign_engine.progress import progress_bar
from exalign_engine.runtime import create_runtime
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.augment_config import AugmentConfig
from exalign_engine.sampling.faces import load_faces

#: Seed of the crops that presence is judged by.
PRESENCE_SEED = 20

COLUMNS = ("n", "nrmse_mean", "auc", "failure_rate", "missed")


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_data(parser, required=False)
    parser.add_argument(
        "--protocol", nargs=2, metavar=("NAME", "DIR"), help="in place of --data: '300vw' and the folder of its clips"
    )
    add_bundle(parser)
    parser.add_argument("--split", default="test", help="split of the data (default: test)")
    parser.add_argument(
        "--suite",
        choices=("accuracy", "stress", "clicks", "video", "occlusion"),
        default="accuracy",
        help="accuracy, coverage and presence; disturbed faces and simulated clicks; clicks until a face is right; "
        "clips made from stills, and the folder's own videos; or which landmarks are hidden (default: accuracy)",
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=0,
        metavar="N",
        help="stress, clicks, occlusion: only N faces, evenly spaced; video: only N clips; --protocol: only N frames "
        "of a clip",
    )
    parser.add_argument("--picture", type=Path, metavar="PNG", help="stress, video: draw examples")
    parser.add_argument("--boxes", choices=("truth", "detector"), default="truth", help="whose boxes (default: truth)")
    parser.add_argument(
        "--detector", help=f"detector for --boxes detector (default: {DEFAULT_DETECTOR}, or the first the bundle knows)"
    )
    parser.add_argument(
        "--points",
        type=int,
        choices=sorted(FORMATS),
        default=N_LANDMARKS,
        help="format of the errors; 66: without the inner corners of the mouth; 51: without the jaw (default: 68)",
    )
    parser.add_argument(
        "--displacement",
        choices=("bundle", "none"),
        default="bundle",
        help="none: leave the bundle's residual out; its calibration stays (default: bundle)",
    )
    parser.add_argument("--frames", action="store_true", help="whole photos of frames/frames.json in place of crops")
    parser.add_argument("--json", action="store_true", help="figures as one JSON object on stdout")


def files(args: argparse.Namespace) -> Files:
    """What is written and read."""
    faces = given(args.data, Path(args.protocol[1]) if args.protocol else None)
    return Files(given(args.picture), (*faces, *bundle_read(args)), option="--picture")


def run(args: argparse.Namespace) -> int:
    """Print n, nrmse_mean, auc, failure_rate (%) and missed (%), in total, by source and of the difficult faces.

    The AUC without the jaw is in total only. Crops have their presence too, and those about true boxes their coverage.
    """
    _check(args)
    if args.protocol:
        return run_protocol(args)
    if args.suite == "stress":
        return _run_stress(args)
    if args.suite == "clicks":
        return _run_clicks(args)
    if args.suite == "video":
        return _run_video(args)
    if args.suite == "occlusion":
        return _run_occlusion(args)
    bundle = _bundle(args)
    detectors = create_chosen_detector(args.detector, bundle.detectors) if args.boxes == "detector" else {}
    aligner = Aligner(
        bundle, create_runtime(args.runtime, bundle.network, threads=args.threads, precision=args.precision), detectors
    )
    head: dict[str, Any] = {
        "bundle_id": bundle.id,
        "runtime": aligner.runtime.name,
        "precision": aligner.runtime.precision,
    }
    head |= {"split": args.split, "boxes": args.boxes, "displacement": args.displacement}
    if args.points != N_LANDMARKS:
        head["points"] = args.points
    if args.frames:
        photos = annotated_photos(args.data, args.split)
        landmarks = np.concatenate([photo.landmarks for photo in photos])
        yaw = solve_pose(landmarks, bundle.poses.mean_face)[:, YAW].astype(np.float64)
        outcomes = evaluate_photos(
            aligner, photos, args.boxes, args.detector, progress_bar(len(photos), "photos"), args.points
        )
        figures = report(outcomes, difficult_subsets(landmarks, yaw))
    else:
        faces = open_faces(args.data, args.split)
        subsets = difficult_subsets(faces.landmarks, yaw_of(faces, bundle.poses.mean_face))
        outcomes = evaluate_crops(
            aligner, faces, args.boxes, args.detector, progress_bar(len(faces), "faces"), args.points
        )
        figures = report(outcomes, subsets)
        if args.boxes == "truth":
            figures |= _coverage(aligner, faces)
        memory = load_faces(faces)
        augmenter = Augmenter(AugmentConfig(), bundle.manifest.input_size, bundle.manifest.margin)
        crops = presence_crops(
            aligner.runtime, memory, augmenter, PRESENCE_SEED, progress_bar(4 * len(memory), "presence")
        )
        figures["presence"] = presence_report(bundle.calibration, *crops)
    if args.json:
        print_json(head | figures)
    else:
        _print_table(head, figures)
    return 0


def _bundle(args: argparse.Namespace) -> Bundle:
    """The bundle, without its residual where that is wished."""
    bundle = Bundle.load(bundle_path(args))
    return bundle if args.displacement == "bundle" else replace(bundle, residual=None)


def _check(args: argparse.Namespace) -> None:
    """Refuse every option that is wrong or that the suite would not heed.

    Raises:
        InvalidInputError: names all of them.
    """
    wrong = []
    if args.limit < 0:
        wrong.append(Violation("--limit", f"is {args.limit}, must be at least 0"))
    if (args.data is None) == (args.protocol is None):
        wrong.append(Violation("--data", "one of --data and --protocol must be given, and not both"))
    if args.protocol:
        name = args.protocol[0]
        if name not in PROTOCOLS:
            wrong.append(Violation("--protocol", f"{name!r} is unknown; known: {', '.join(PROTOCOLS)}"))
        for field, given in (
            ("--suite", args.suite != "accuracy"),
            ("--picture", args.picture),
            ("--frames", args.frames),
            ("--displacement", args.displacement != "bundle"),
        ):
            if given:
                wrong.append(Violation(field, "does not go with --protocol"))
    elif args.suite == "accuracy":
        if args.limit > 0:
            wrong.append(
                Violation("--limit", f"is {args.limit}, goes with --suite stress, clicks, video and occlusion only")
            )
        if args.picture:
            wrong.append(Violation("--picture", "goes with --suite stress and video only"))
    else:
        if args.suite in ("clicks", "occlusion") and args.picture:
            wrong.append(Violation("--picture", "goes with --suite stress and video only"))
        if args.frames:
            wrong.append(Violation("--frames", "goes with --suite accuracy only"))
        if args.boxes != "truth":
            wrong.append(Violation("--boxes", f"is {args.boxes!r}, which goes with --suite accuracy only"))
        if args.points != N_LANDMARKS:
            wrong.append(
                Violation("--points", f"is {args.points}, which goes with --suite accuracy and --protocol only")
            )
    if wrong:
        raise InvalidInputError(wrong)


def _run_stress(args: argparse.Namespace) -> int:
    """Print the rows of the stress suite."""
    bundle, faces = _bundle(args), open_faces(args.data, args.split)
    runtime = create_runtime(args.runtime, bundle.network, threads=args.threads, precision=args.precision)
    count = min(args.limit, len(faces)) if args.limit else len(faces)
    errors = run_suite(
        bundle, runtime, faces, limit=args.limit, threads=args.threads, progress=progress_bar(count, "stress")
    )
    head = {"bundle_id": bundle.id, "runtime": runtime.name, "split": args.split, "displacement": args.displacement}
    report_ = head | stress_report(errors)
    if args.picture:
        draw_examples(bundle, runtime, faces, args.picture)
        report_written("exalign-model", args.picture)
    if args.json:
        print_json(report_)
        return 0
    print(f"bundle {bundle.id[:12]}, {runtime.name}, split {args.split}, {count} faces")
    print(f"{'corruption':15}{'severity':>9}  {'policy':11}{'clicks':>6}{'failures %':>12}{'AUC':>10}{'NRMSE':>10}")
    for row in report_["rows"]:
        print(
            f"{row['corruption']:15}{row['severity']:9}  {row['policy']:11}{row['clicks']:6}"
            f"{row['failure_rate']:12.2f}{row['auc']:10.4f}{row['nrmse_mean']:10.4f}"
        )
    return 0


def _run_clicks(args: argparse.Namespace) -> int:
    """Print how many clicks faces need."""
    bundle, faces = _bundle(args), open_faces(args.data, args.split)
    runtime = create_runtime(args.runtime, bundle.network, threads=args.threads, precision=args.precision)
    count = min(args.limit, len(faces)) if args.limit else len(faces)
    needed = run_noc(
        bundle, runtime, faces, limit=args.limit, threads=args.threads, progress=progress_bar(count, "clicks")
    )
    head = {"bundle_id": bundle.id, "runtime": runtime.name, "split": args.split, "displacement": args.displacement}
    report_ = head | noc_report(needed)
    if args.json:
        print_json(report_)
        return 0
    print(f"bundle {bundle.id[:12]}, {runtime.name}, split {args.split}, {count} faces")
    print(f"{'corruption':15}{'severity':>9}  {'policy':11}{'below %':>8}{'clicks':>8}{'never %':>9}")
    for row in report_["rows"]:
        print(
            f"{row['corruption']:15}{row['severity']:9}  {row['policy']:11}"
            f"{100 * row['threshold']:8.0f}{row['noc']:8.2f}{row['never']:9.1f}"
        )
    return 0


def _run_video(args: argparse.Namespace) -> int:
    """Print the rows of the video suite."""
    bundle, faces = _bundle(args), open_faces(args.data, args.split)
    # Clips are the threads' work, so the network needs none of its own.
    runtime = create_runtime(args.runtime, bundle.network, threads=1, precision=args.precision)
    aligner = Aligner(bundle, runtime, create_default_detector(bundle.detectors))
    chain = Chain(bundle.exemplars.shapes, bundle.manifest.tau)
    maker = ClipMaker(faces, bundle.poses.mean_face)
    count = min(args.limit, len(maker)) if args.limit else len(maker)
    found = run_video_suite(
        aligner, chain, maker, count=count, threads=args.threads, progress=progress_bar(count, "clips")
    )
    paths = videos(args.data / "video")[: args.limit or None]
    real = run_real_clips(aligner, chain, paths, threads=args.threads, progress=progress_bar(len(paths), "real clips"))
    head = {"bundle_id": bundle.id, "runtime": runtime.name, "split": args.split, "displacement": args.displacement}
    report_ = head | video_report(found, real)
    if args.picture:
        draw_clips(aligner, chain, maker, count, args.picture)
        report_written("exalign-model", args.picture)
    if args.json:
        print_json(report_)
        return 0
    print(f"bundle {bundle.id[:12]}, {runtime.name}, split {args.split}, {count} clips")
    print(f"{'boxes':8}{'method':11}{'phase':10}{'n':>6}{'NRMSE':>10}{'failures %':>12}{'yaw 90 %':>10}{'held %':>8}")
    for row in report_["rows"]:
        print(
            f"{row['boxes']:8}{row['method']:11}{row['phase']:10}{row['n']:6}{_number(row['nrmse_mean'], 4):>10}"
            f"{row['failure_rate']:12.2f}{_number(row['yaw_interval_deg'], 2):>10}{_number(row['yaw_coverage'], 1):>8}"
        )
    for row in real:
        print(
            f"{row['video']:48}{row['method']:11}{row['n']:6}  flicker {_number(row['flicker'], 5)}"
            f"  loss {row['loss']:.2f} %  drift {_number(row['drift'], 4)}  path gap {_number(row['path_gap'], 2)}"
        )
    return 0


def _run_occlusion(args: argparse.Namespace) -> int:
    """Print how well it is known which landmarks are hidden."""
    bundle = _bundle(args)
    runtime = create_runtime(args.runtime, bundle.network, threads=args.threads, precision=args.precision)
    faces = load_faces(open_faces(args.data, args.split), args.limit)
    found = run_occlusion(bundle, runtime, faces, progress_bar(CROPS * len(faces), "occluders"))
    head = {"bundle_id": bundle.id, "runtime": runtime.name, "split": args.split, "displacement": args.displacement}
    if args.json:
        print_json(head | found)
        return 0
    print(f"bundle {bundle.id[:12]}, {runtime.name}, split {args.split}, {len(faces)} faces")
    print(f"ROC AUC {found['roc_auc']}, mean of landmarks {found['roc_auc_mean']}, least {found['roc_auc_least']}")
    print(f"expected calibration error {found['expected_calibration_error']}, clean flagged {found['flagged_clean']} %")
    for kind, row in found["kinds"].items():
        print(f"  {kind:12} ROC AUC {row['roc_auc']}")
    print("  stated  observed  count")
    for row in found["reliability"]:
        print(f"  {row['stated']:.3f}   {row['observed']:.3f}     {row['count']}")
    return 0


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _coverage(aligner: Aligner, faces: FaceSource) -> dict[str, Any]:
    """Coverage and likelihood on true boxes."""
    rows, poses = [], aligner.bundle.poses.pose
    report_progress = progress_bar(len(faces), "coverage")
    for i in range(len(faces)):
        box = tight_box(faces.landmarks[i])
        (face,) = aligner.answer(faces.image(i), [aligner.place(box)])
        truth = BoxFrame.from_box(box).from_image(faces.landmarks[i])
        rows.append(measure_face(face.posterior, truth, poses))
        report_progress(i + 1)
    return coverage_report(collect(rows))


def _print_table(head: dict[str, Any], figures: dict[str, Any]) -> None:
    print(f"bundle {head['bundle_id'][:12]}, {head['runtime']}, split {head['split']}, boxes {head['boxes']}")
    print(f"{'':10}" + "".join(f"{c:>14}" for c in COLUMNS))
    for name, row in [("all", figures), *figures["groups"].items()]:
        print(f"{name:10}" + "".join(f"{row[c]!s:>14}" for c in COLUMNS))
    print(f"AUC without the jaw: {figures['auc_inner51']}")
    if "coverage" in figures:
        print(f"\nNLL {figures['nll']}; coverage of the stated regions, %:")
        for name, row in [("all", figures["coverage"]), *figures["coverage_by_group"].items()]:
            print(f"  {name:8}" + "".join(f"{mass} %: {share:6.2f}   " for mass, share in row.items()))
    if "presence" in figures:
        p = figures["presence"]
        print(f"\npresence: ROC AUC {p['roc_auc']} ({p['faces']} faces, {p['negatives']} negatives)")
        print("  stated  observed  count")
        for row in p["reliability"]:
            print(f"  {row['stated']:.3f}   {row['observed']:.3f}     {row['count']}")
