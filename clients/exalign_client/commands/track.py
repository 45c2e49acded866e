"""``exalign track``: faces through a video: JSON lines, a drawn video, or a file of other tools; clicks on frames."""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from exalign.cli_support import json_text, report
from exalign.output_files import refuse_overwriting, report_written
from exalign_client.calls.sync import Client
from exalign_client.commands.connection import add_connection_options, connect
from exalign_client.commands.export import Export, add_format_options, export_of
from exalign_client.commands.picture import click_of
from exalign_client.commands.terminal import Progress
from exalign_client.errors import Violation
from exalign_client.formats import frame_from
from exalign_client.landmarks import NAMES
from exalign_client.opencv import require_opencv
from exalign_client.pictures.decode import Pixels
from exalign_client.pictures.drawn_video import DrawnVideo
from exalign_client.pictures.picture_files import read_directory
from exalign_client.pictures.video_files import Video, encode_jpeg, open_video
from exalign_client.pictures.video_writer import VideoWriter
from exalign_client.requests.evidence import Click
from exalign_client.requests.messages import SuggestionOptions
from exalign_client.requests.views import PoseOptions
from exalign_client.results.model import Limits
from exalign_client.track.requests import TemporalModel, TrackFrame
from exalign_client.track.results import FrameSuggestion, TrackClosed, TrackResult, settled
from exalign_client.track.sync import TrackStream

#: Share of the server's limit that the pixels of a frame may take as they are; larger ones travel as JPEG.
_RAW_SHARE = 0.9

#: Files that a line about them names.
_MOST_NAMED = 3


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("track", help="follow faces through a video", description=__doc__)
    parser.add_argument(
        "video", metavar="VIDEO|DIR|webcam", help="a video file, a directory of pictures, or webcam (webcam:1, ...)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a frame, one a line")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="VIDEO.mp4",
        help="draw the answers over the video; H.264 with its times and sound",
    )
    add_format_options(parser)
    parser.add_argument(
        "--max-faces", type=_whole_from(1), metavar="N", help="follow at most so many faces (default 1)"
    )
    parser.add_argument("--detector", metavar="NAME", help="detector that finds faces")
    parser.add_argument(
        "--detect-every",
        type=_whole_from(0),
        metavar="N",
        help="detect new faces on every N-th frame; 0: only on loss",
    )
    parser.add_argument("--pose", action="store_true", help="the head pose too (always with --out)")
    temporal = parser.add_mutually_exclusive_group()
    temporal.add_argument(
        "--lag", type=_whole_from(0), default=0, metavar="N", help="each answer also rests on the N frames after it"
    )
    temporal.add_argument("--low-pass", action="store_true", help="only average the landmarks over three frames")
    temporal.add_argument("--per-frame", action="store_true", help="answer each frame by itself")
    parser.add_argument(
        "--click",
        action="append",
        type=_frame_click,
        default=[],
        metavar="FRAME:LANDMARK=X,Y",
        help="in this frame (from 0) this landmark is here, pixels; may be given again. Of several faces, the nearest",
    )
    parser.add_argument("--suggest", action="store_true", help="show which click in which frame would help most")
    add_connection_options(parser)
    parser.set_defaults(run=lambda arguments: run(arguments, parser))


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Follow, draw and print."""
    export = export_of(arguments, _files_of(arguments.video), parser)
    if export is not None:
        arguments.out = None  # nothing is drawn
    if arguments.out is not None:
        if arguments.out.suffix.lower() != ".mp4":
            parser.error(f"--out: {arguments.out} must end in .mp4, or --format say what it is")
        refuse_overwriting([arguments.out], _files_of(arguments.video))
        require_opencv()
    video = open_video(arguments.video)  # before anything is started for nothing
    with connect(arguments, shows_progress=True) as client:
        return _Run(arguments, video, client, export).run()


def _files_of(video: str) -> list[Path]:
    """The video's file, or the pictures in its directory; none of a camera."""
    path = Path(video)
    return list(read_directory(path).pictures) if path.is_dir() else [path]


class _Run:
    """One video on its way through."""

    def __init__(self, arguments: argparse.Namespace, video: Video, client: Client, export: Export | None) -> None:
        self._arguments, self._video, self._client, self._export = arguments, video, client, export
        self._limits: Limits = client.model().limits
        self._clicks: dict[int, list[Click]] = defaultdict(list)
        for frame, landmark, x, y in arguments.click:
            self._clicks[frame].append(Click(landmark, x, y))
        #: Why frames have no picture, until they are answered; and what the first of them was.
        self._unusable: dict[int, str] = {}
        self._first_problem: str | None = None
        self._size: tuple[int, int] | None = None
        self._drawn: DrawnVideo | None = None
        self._states: dict[int, Counter[str]] = defaultdict(Counter)
        self._answered = self._skipped = self._problems = 0

    def run(self) -> int:
        """From the first frame to the exit code."""
        progress = Progress("frames", self._video.count)
        with ExitStack() as stack:
            writer = self._writer()
            if writer is not None:
                self._drawn = DrawnVideo(stack.enter_context(writer))
            stream = stack.enter_context(self._stream())
            try:
                for result in settled(stream, self._arguments.lag):
                    self._take(result)
                    progress.at(self._answered)
            except KeyboardInterrupt:
                if not self._video.live:
                    raise  # a camera has no other end
            finally:
                progress.end(self._answered)
            closed = stream.closed
        if self._export is not None:
            self._export.write()
        return self._report(closed, writer)

    def _writer(self) -> VideoWriter | None:
        path, video = self._arguments.out, self._video
        if path is None:
            return None
        return VideoWriter(path, video.rate, time_base=video.time_base, sound=video.file)

    def _stream(self) -> TrackStream:
        arguments = self._arguments
        model: TemporalModel = "filter"
        if arguments.low_pass or arguments.per_frame:
            model = "low_pass" if arguments.low_pass else "per_frame"
        bins = 90 if arguments.out is not None else 36
        with_pose = arguments.pose or arguments.out is not None
        return self._client.track(
            self._frames(),
            live=self._video.live,
            temporal_model=model,
            smoothing_lag=arguments.lag,
            max_faces=arguments.max_faces,
            detector=arguments.detector,
            detect_every=arguments.detect_every,
            pose=PoseOptions((0.5, 0.9), yaw_bins=bins, roll_bins=bins) if with_pose else None,
            # A suggestion is about the frames that the path is about.
            path_frames=self._limits.max_path_frames if arguments.suggest else 0,
            suggestion=SuggestionOptions() if arguments.suggest else None,
        )

    def _frames(self) -> Iterator[TrackFrame]:
        largest = _RAW_SHARE * self._limits.max_message_bytes
        for picture in self._video:
            if self._drawn is not None:
                self._drawn.keep(picture)
            evidence = self._clicks.pop(picture.index, ())
            problem = picture.problem or self._other_size(picture.pixels)
            if picture.pixels is None or problem is not None:
                # As the server treats a picture that it cannot use: the frame counts as occluded.
                self._unusable[picture.index] = problem or "has no picture"
                yield TrackFrame(None, picture.index, picture.media_time, evidence=evidence, occluded=True)
                continue
            image = picture.pixels if picture.pixels.nbytes <= largest else encode_jpeg(picture.pixels)
            yield TrackFrame(image, picture.index, picture.media_time, evidence=evidence)

    def _other_size(self, pixels: Pixels | None) -> str | None:
        if pixels is None:
            return None
        size = (pixels.shape[1], pixels.shape[0])
        self._size = self._size or size
        if size == self._size:
            return None
        return f"is {size[0]} × {size[1]} pixels, all frames of a session must have {self._size[0]} × {self._size[1]}"

    def _take(self, result: TrackResult) -> None:
        unusable = self._unusable.pop(result.frame_index, None)
        if unusable is not None:
            result = replace(result, problems=(Violation("image", unusable), *result.problems))
        self._answered += 1
        self._skipped += len(result.skipped_frames)
        picture_problem = next((p for p in result.problems if p.field.startswith("image")), None)
        if picture_problem is not None:
            self._problems += 1
            self._first_problem = self._first_problem or f"frame {result.frame_index} {picture_problem.description}"
        for track in result.tracks:
            self._states[track.track_id][track.state] += 1
        if self._drawn is not None:
            self._drawn.draw(result)
        if self._export is not None:
            self._export.add(frame_from(self._video.name, self._size, result))
        if self._arguments.json:
            _print_json({"video": self._video.name}, result.to_json())

    def _report(self, closed: TrackClosed | None, writer: VideoWriter | None) -> int:
        if writer is not None and writer.written:
            report_written("exalign", self._arguments.out)
            if writer.limits is not None:
                report(f"exalign: {self._arguments.out} {writer.limits}")
        suggestions = () if closed is None else closed.suggestions
        if self._arguments.json:
            if self._arguments.suggest and closed is not None:
                _print_json({"video": self._video.name}, {"closed": closed.to_json()})
        else:
            print(self._summary(suggestions), flush=True)
        if self._arguments.suggest and self._arguments.json:
            for found in suggestions[:1]:
                report(_suggestion_line(found))
        for frame in sorted(self._clicks):
            report(f"exalign: --click: the video has no frame {frame}, only {self._answered + self._skipped}")
        return 1 if self._is_incomplete() or self._clicks else 0

    def _is_incomplete(self) -> bool:
        """Whether the video was not answered as a whole; says so, in a line for each reason."""
        name = self._video.name
        if self._video.skipped:
            report(f"exalign: {name}: left out {_hidden_files(self._video.skipped)}")
        if not self._answered:
            report(f"exalign: {name}: no frame in it can be read")
        if self._problems:
            report(
                f"exalign: {name}: {self._problems} of {self._answered} frames could not be used; {self._first_problem}"
            )
        if self._video.short is not None:
            report(f"exalign: {name}: {self._video.short}")
        return not self._answered or self._problems > 0 or self._video.short is not None

    def _summary(self, suggestions: tuple[FrameSuggestion, ...]) -> str:
        lines = [f"{self._video.name}: {self._answered} frames answered"]
        if self._skipped:
            lines[0] += f", {self._skipped} skipped"
        if self._problems:
            lines[0] += f", {self._problems} of them with a picture that could not be used"
        for track_id, states in sorted(self._states.items()):
            counts = ", ".join(f"{state} in {count}" for state, count in states.most_common())
            lines.append(f"track {track_id}: {counts}")
        if not self._states:
            lines.append("no face found")
        if self._arguments.suggest:
            lines += [_suggestion_line(found) for found in suggestions] or ["no click would help"]
        return "\n".join(lines)


def _suggestion_line(found: FrameSuggestion) -> str:
    click = found.suggestion
    return (
        f"click in frame {found.frame_index}: {NAMES[click.landmark]} of track {found.track_id} "
        f"(expected: {click.error_reduction:.1f} px less error, {click.entropy_reduction:.2f} nats less entropy, "
        "summed over frames)"
    )


def _hidden_files(names: tuple[str, ...]) -> str:
    more = ", …" if len(names) > _MOST_NAMED else ""
    files = "hidden file" if len(names) == 1 else "hidden files"
    return f"{len(names)} {files}: {', '.join(names[:_MOST_NAMED])}{more}"


def _print_json(head: dict[str, Any], answer: object) -> None:
    line = {**head, **answer} if isinstance(answer, dict) else head
    print(json_text(line), flush=True)


def _frame_click(text: str) -> tuple[int, str | int, float, float]:
    frame, separator, click = text.partition(":")
    if not separator or not frame.isascii() or not frame.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not FRAME:LANDMARK=X,Y, such as 200:nose_tip=210.5,133")
    return int(frame), *click_of(click)


def _whole_from(least: int) -> Any:
    def whole(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number ≥ {least}")
        return int(text)

    return whole
