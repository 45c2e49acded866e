"""What a hidden face costs beside a visible one, view by view, and a whole clip beside its visible part.

    python -m benchmarks.hidden [--frames 12] [--clip VIDEO --max-faces 3] [--json]

CPU-milliseconds on one thread, all in one run, so that only their ratios are claims. The video is a photograph that
turns, grows and shifts from frame to frame, and then frames that are said to show nothing. "step" is a frame's way from
the network's outputs to the session after it: alone, with the most probable path, and with a smoothing lag. Every other
row is an answer that holds this view alone, beside the summary of the posterior that each answer has. "flat" is a
single picture of noise beside the photograph.

``--clip`` follows the faces of a video in process, as ``exalign track --out`` asks for them: detector, network, step,
landmarks, and the pose map of 90 × 90 bins. Decoding, drawing and writing the video, which cost the same in every
frame, are left out; with them the ratio is lower.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time

# A product shared out to other threads would be billed to whatever waits for it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cv2
import numpy as np
from benchmarks.posterior import BOX, cpu_ms
from numpy.typing import NDArray
from skimage import data

from exalign_engine import Aligner, Face, LocatedFace
from exalign_engine.face.views import crop_square, heatmaps, pose, suggestions
from exalign_engine.hmm.chain import Chain
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.posterior.pose import PoseGrid
from exalign_engine.posterior.posterior import Posterior
from exalign_engine.tracking import Frame, FrameAnswer, SessionOptions, TrackingSession, TrackState

U8 = NDArray[np.uint8]

#: What is read off an answer: name → how.
View = Callable[[Face], object]

#: Sessions whose steps are measured.
SESSIONS = {
    "step": SessionOptions(detect_every=0),
    "step, path": SessionOptions(detect_every=0, path_frames=64),
    "step, lag 5": SessionOptions(detect_every=0, smoothing_lag=5),
}


@dataclass(frozen=True)
class Row:
    """One view; medians of the frames, CPU-milliseconds."""

    view: str
    visible_ms: float
    hidden_ms: float

    @property
    def ratio(self) -> float:
        """Hidden ÷ visible."""
        return self.hidden_ms / self.visible_ms


def views(aligner: Aligner) -> dict[str, View]:
    """Everything that the server reads off a face."""
    bundle = aligner.bundle

    def maps(face: Face, size: int) -> object:
        return heatmaps(face, range(68), crop_square(face.located, bundle.manifest.margin), size, size)

    def turned(face: Face, bins: int) -> object:
        return pose(face, bundle.poses, bundle.calibration, grid=PoseGrid(bins, bins))

    return {
        "landmarks and a group": lambda face: face.compute().group(range(17)),
        "68 heatmaps 64x64": lambda face: maps(face, 64),
        "68 heatmaps 256x256": lambda face: maps(face, 256),
        "pose": lambda face: pose(face, bundle.poses, bundle.calibration),
        "pose map 36x36": lambda face: turned(face, 36),
        "pose map 90x90": lambda face: turned(face, 90),
        "pose map 180x180": lambda face: turned(face, 180),
        "68 suggestions": suggestions,
    }


def answer(face: Face, view: View) -> None:
    """Read a summary and a view off a face of which nothing has been read."""
    p = face.posterior
    again = Posterior(p.model, p.probabilities, p.presence, displacement=p.displacement, share=p.share)
    _ = again.cut_mass, again.entropy, again.effective_number, again.top(5)
    view(Face(face.located, again))


def costs(aligner: Aligner, visible: Sequence[Face], hidden: Sequence[Face], prefix: str) -> Iterator[Row]:
    """Every view of some faces and of some others."""
    for name, view in views(aligner).items():

        def cost(face: Face, view: View = view) -> float:
            return cpu_ms(lambda: answer(face, view), 3)

        yield Row(prefix + name, *(statistics.median(map(cost, faces)) for faces in (visible, hidden)))


def video(frames: int) -> list[U8 | None]:
    """So many pictures of a face, and as many frames that show nothing."""
    picture = data.astronaut()
    centre = (float(BOX[0] + BOX[2]) / 2, float(BOX[1] + BOX[3]) / 2)
    found: list[U8 | None] = []
    for t in range(frames):
        turn = cv2.getRotationMatrix2D(centre, 12 * np.sin(t / 5), 1 + 0.05 * np.sin(t / 7))
        turn[:, 2] += 3 * np.sin(t / 3), 2 * np.cos(t / 4)
        moved = cv2.warpAffine(picture, turn, picture.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
        found.append(moved.astype(np.uint8))
    return [*found, *[None] * frames]


def tracked(
    aligner: Aligner, chain: Chain, options: SessionOptions, frames: int
) -> Iterator[tuple[FrameAnswer, float]]:
    """The answers of a session over `video`, and the CPU-milliseconds of each step."""
    session, size = TrackingSession(aligner, chain, options), data.astronaut().shape[:2]
    for index, picture in enumerate(video(frames)):
        boxes = ((0, aligner.place(BOX)),) if index == 0 else ()
        pending = session.begin(Frame(index, size, boxes, occluded=picture is None))
        places = session.places(pending, ())
        rows = [] if picture is None else [_scored(aligner, picture, place) for place in places]
        start = process_time()
        answer = session.finish(pending, rows)
        yield answer, 1e3 * (process_time() - start)


def _scored(aligner: Aligner, picture: U8, place: LocatedFace) -> FaceOutputs:
    return aligner.runtime.infer(aligner.crop(picture, place)[None]).row(0)


def measure(aligner: Aligner, chain: Chain, frames: int) -> list[Row]:
    """The table."""
    rows, faces = [], []
    for name, options in SESSIONS.items():
        list(tracked(aligner, chain, options, 3))  # compiles
        answers = list(tracked(aligner, chain, options, frames))
        # The first frames of each part differ: no lag is full yet, nothing has been forgotten yet.
        seen, unseen = answers[frames // 2 : frames], answers[frames + frames // 2 :]
        rows.append(Row(name, *(statistics.median(ms for _, ms in part) for part in (seen, unseen))))
        faces = [[answer.tracks[0].given.face for answer, _ in part] for part in (seen, unseen)]
    rows += costs(aligner, faces[0], faces[1], "")
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    seen_face = aligner.align(data.astronaut(), [BOX.tolist()])
    rows += costs(aligner, seen_face, aligner.align(noise, [[40, 40, 150, 150]]), "flat: ")
    return rows


@dataclass(frozen=True)
class Clip:
    """A whole clip.

    Attributes:
        clip: its name.
        frames: how many.
        visible_frames: those all of whose tracks are visible.
        visible_ms: CPU-milliseconds of such a frame, mean.
        frame_ms: of a frame, mean over the whole clip.
        ratio: of the two.
        stage_ms: mean of each stage, of visible frames and of the others.
    """

    clip: str
    frames: int
    visible_frames: int
    visible_ms: float
    frame_ms: float
    ratio: float
    stage_ms: dict[str, tuple[float, float]]


def whole_clip(aligner: Aligner, chain: Chain, path: Path, max_faces: int) -> Clip:
    """Follow the faces of a video."""
    session = TrackingSession(aligner, chain, SessionOptions(max_faces=max_faces))
    bundle, capture, index = aligner.bundle, cv2.VideoCapture(str(path)), 0
    stages: dict[bool, dict[str, list[float]]] = {True: defaultdict(list), False: defaultdict(list)}
    while True:
        read, pixels = capture.read()
        if not read:
            break
        image, marks = np.ascontiguousarray(pixels[:, :, ::-1]), [process_time()]
        pending = session.begin(Frame(index, image.shape[:2]))
        detections = aligner.locate(image) if pending.detect else []
        marks.append(process_time())
        rows = [_scored(aligner, image, place) for place in session.places(pending, detections)]
        marks.append(process_time())
        answer = session.finish(pending, rows)
        session.encode()
        marks.append(process_time())
        for track in answer.tracks:
            face = track.given.face.compute()
            _ = face.entropy, face.effective_exemplars
        marks.append(process_time())
        for track in answer.tracks:
            pose(track.given.face, bundle.poses, bundle.calibration, grid=PoseGrid(90, 90))
        marks.append(process_time())
        visible = all(track.state is TrackState.VISIBLE for track in answer.tracks) and bool(answer.tracks)
        for name, ms in zip(("detect", "network", "step", "landmarks", "pose map"), 1e3 * np.diff(marks), strict=True):
            stages[visible][name].append(float(ms))
        index += 1
    whole = {part: np.sum(list(of.values()), axis=0) for part, of in stages.items()}
    seen, every = float(np.mean(whole[True])), float(np.mean(np.concatenate(list(whole.values()))))
    means = {name: (float(np.mean(stages[True][name])), float(np.mean(stages[False][name]))) for name in stages[True]}
    return Clip(path.name, index, len(whole[True]), seen, every, every / seen, means)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=12, help="frames of each kind (default %(default)s)")
    parser.add_argument("--clip", type=Path, metavar="VIDEO", help="follow the faces of this video too")
    parser.add_argument("--max-faces", type=int, default=3, help="faces of the clip (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    aligner = Aligner.default(threads=1)
    chain = Chain(aligner.bundle.exemplars.shapes, aligner.bundle.manifest.tau, order=aligner.bundle.exemplars.order)
    rows = measure(aligner, chain, arguments.frames)
    clip = None if arguments.clip is None else whole_clip(aligner, chain, arguments.clip, arguments.max_faces)
    if arguments.json:
        table = [asdict(row) | {"ratio": row.ratio} for row in rows]
        print(json.dumps({"views": table, "clip": None if clip is None else asdict(clip)}, indent=1))
        return 0
    print(f"{'view':<28}{'visible':>9}{'hidden':>9}{'ratio':>7}")
    for row in rows:
        print(f"{row.view:<28}{row.visible_ms:>9.2f}{row.hidden_ms:>9.2f}{row.ratio:>7.2f}")
    if clip is not None:
        print(
            f"\n{clip.clip}: {clip.frames} frames, {clip.visible_frames} of them with all faces visible: "
            f"{clip.frame_ms:.1f} against {clip.visible_ms:.1f} CPU-ms a frame, ratio {clip.ratio:.2f}"
        )
        for name, (seen, unseen) in clip.stage_ms.items():
            print(f"{name:<28}{seen:>9.2f}{unseen:>9.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
