"""Video files by PyAV: FFmpeg's demuxers and decoders, with the times, the orientation and the damage that they see."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame as DecodedFrame
from av.video.stream import VideoStream

from exalign.video.file_structure import missing_end
from exalign.video.frames import Pixels, VideoError, VideoFrame, VideoReader, plausible_rate, upright

#: Errors of the demuxer in a row after which a file is given up.
_MOST_ERRORS = 3

#: Formats whose demuxers hand out the rest of a packet as if it were whole.
_SILENT_ABOUT_A_CUT = ("gif", "mpegts")

#: What a frame is said to have where nothing more is known.
_UNDECODABLE = "cannot be decoded"


class PyAVReader(VideoReader):
    """See `exalign.video.reader.open_video_file`.

    Decoders leave out what they cannot decode, mostly without a word: one broken frame of HEVC takes those with it that
    rest on it. So every packet that should become a frame is remembered by its presentation time. Frames come in the
    order of their times: a packet whose time has passed without a frame is a frame with a problem. What was measured:
    docs/decisions/video-files.md.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._container, self._stream = _open(path)
        context = self._stream.codec_context
        # Frames in parallel would report an error with another frame.
        context.thread_type = "SLICE"
        self._intra_only = context.codec.intra_only
        if self._intra_only:
            # Without it the decoder fills a broken picture with grey. Where frames rest on others it would lose more.
            context.options = {"err_detect": "crccheck+explode"}
        self.rate = plausible_rate(self._stream.average_rate or self._stream.guessed_rate)
        self.time_base = self._stream.time_base or self.time_base
        self._mp4 = "mp4" in self._container.format.name.split(",")
        self._avi = self._container.format.name == "avi"
        self._missing_end = missing_end(path)
        self._packets = self._packets_with_the_last_marked()
        #: Times of packets that should become frames, a heap; what is wrong with some; those that raised an error.
        self._expected: list[int] = []
        self._wrong: dict[int, str] = {}
        self._failed: set[int] = set()
        #: Frames and problems to hand out, each with its time in `time_base`.
        self._decoded: deque[tuple[int | None, DecodedFrame | None, str | None]] = deque()
        #: Time of the first picture that stands by itself, and by how much it is later than its decoding time.
        self._first_key: int | None = None
        self._shift = 0
        self._read_samples = self._numbered = 0
        #: The time of the next chunk of an AVI file; and how many there can be, each with a head of 8 bytes.
        self._next_tick = self._stream.start_time or 0
        self._most_chunks = path.stat().st_size // 8
        self._interlaced = self._ended = False
        self._error: str | None = None
        self._find_empty_samples()

    def _find_empty_samples(self) -> None:
        """Count what an MP4 file shows; its samples without content are no packets where the codec has a parser."""
        self.count = self._stream.frames or None
        if not (self._mp4 and self.count):  # in pieces, its index is not complete yet
            return
        shown = [entry for entry in self._stream.index_entries if not entry.is_discard]
        self.count = len(shown)
        empty = [entry.timestamp for entry in shown if not entry.size]
        if empty:
            for time in _times_without_packet(self.path, [entry.timestamp for entry in shown], empty):
                self._expect(time, "is empty")
                self._read_samples += 1

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _next(self, pixels: bool) -> VideoFrame | None:
        while not self._decoded:
            if self._ended:
                return None
            self._advance()
        key, decoded, problem = self._decoded.popleft()
        index, self._numbered = self._numbered, self._numbered + 1
        time = index / self.rate if key is None else key * self.time_base
        shown = None
        if decoded is not None and problem is None and pixels:
            try:
                shown = _pixels(decoded)
            except (FFmpegError, ValueError) as error:
                problem = f"has pixels that cannot be converted: {error}"
        return VideoFrame(index, time, shown, problem)

    def _demux(self) -> Iterator[Packet[VideoStream]]:
        """The packets; the demuxer goes on behind an error where it can."""
        errors = 0
        while errors < _MOST_ERRORS:
            try:
                for packet in self._container.demux(self._stream):
                    errors = 0
                    if packet.size or packet.pts is not None or packet.dts is not None:  # not PyAV's own, at the end
                        yield packet
                return
            except EOFError:
                return
            except FFmpegError as error:
                errors += 1
                self._error = f"cannot be read behind frame {self._numbered}: {error.strerror}"

    def _packets_with_the_last_marked(self) -> Iterator[Packet[VideoStream]]:
        """The packets. Where the file is cut off the last one is too, which some demuxers do not say."""
        before = None
        for packet in self._demux():
            if before is not None:
                yield before
            before = packet
        if before is not None:
            silent = self._container.format.name in _SILENT_ABOUT_A_CUT
            before.is_corrupt = before.is_corrupt or (silent and self._missing_end is not None)
            yield before

    def _advance(self) -> None:
        """Take the next packet; at the end, what the decoder still holds."""
        packet = next(self._packets, None)
        if packet is None:
            self._take(None)
            self._missing_before(None)
            self._ended = True
            self.short = self._missing_end or self._lost_samples() or self._error
        else:
            self._read_samples += 1
            self._take(packet)

    def _take(self, packet: Packet[VideoStream] | None) -> None:
        """Decode a packet; None: what the decoder still holds."""
        key, shown = None, False
        if packet is not None:
            key = packet.dts if packet.pts is None else packet.pts
            shown = self._is_shown(packet, key)
            self._add_empty_chunks(packet)
            if shown and key is not None:
                self._expect(key, "is cut off" if packet.is_corrupt else None if packet.size else "is empty")
            if not packet.size:  # to a decoder it would be the end
                return
        try:
            frames = self._stream.codec_context.decode(packet)
        except FFmpegError:
            self._fail(packet, key, shown)
            return
        for frame in frames:
            self._put(frame)

    def _is_shown(self, packet: Packet[VideoStream], key: int | None) -> bool:
        """Whether a packet should become a frame."""
        if self._first_key is None and (packet.is_keyframe or self._intra_only):
            self._first_key = 0 if key is None else key
            self._shift = 0 if packet.pts is None or packet.dts is None else packet.pts - packet.dts
        if packet.is_discard or self._first_key is None:
            return False  # cut away by an edit list; or before the first picture that stands by itself
        if key is not None and key < self._first_key:
            return False  # shown before it, and rests on what came before the file
        # VP8 has pictures that are not shown: others rest on them.
        return self._stream.codec_context.name != "vp8" or not packet.size or bool(bytes(packet)[0] & 0x10)

    def _add_empty_chunks(self, packet: Packet[VideoStream]) -> None:
        """In an AVI file each chunk takes one unit of time; the demuxer passes over empty ones."""
        if not self._avi or packet.dts is None:
            return
        for tick in range(self._next_tick, min(packet.dts, self._next_tick + self._most_chunks)):
            self._expect(tick + self._shift, "is empty")
            self._read_samples += 1
        self._next_tick = packet.dts + 1

    def _expect(self, key: int, problem: str | None) -> None:
        heapq.heappush(self._expected, key)
        if problem is not None:
            self._wrong[key] = problem

    def _fail(self, packet: Packet[VideoStream] | None, key: int | None, shown: bool) -> None:
        """The decoder raised an error; some do so packets later, so that only a frame that does not come is missing."""
        if key is None and shown:
            self._decoded.append((None, None, _UNDECODABLE))
        if packet is None or key is None or packet.is_discard or self._first_key is None:
            return
        if shown or key >= self._first_key:
            self._failed.add(key)
            if not shown:
                heapq.heappush(self._expected, key)

    def _put(self, frame: DecodedFrame) -> None:
        key = frame.dts if frame.pts is None else frame.pts
        self._interlaced = frame.interlaced_frame
        problem = "is damaged" if frame.is_corrupt else None
        if key is not None:
            self._missing_before(key)
            if self._expected and self._expected[0] == key:
                heapq.heappop(self._expected)
            self._failed.discard(key)
            problem = self._wrong.pop(key, problem)
        self._decoded.append((key, frame, problem))

    def _missing_before(self, key: int | None) -> None:
        """Put frames with a problem for packets before a time; None: for all."""
        while self._expected and (key is None or self._expected[0] < key):
            time = heapq.heappop(self._expected)
            known = time in self._wrong or time in self._failed
            self._failed.discard(time)
            # Of interlaced video each field may have a packet, and two of them make one frame.
            if known or not self._interlaced:
                self._decoded.append((time, None, self._wrong.pop(time, _UNDECODABLE)))

    def _lost_samples(self) -> str | None:
        """Whether the file's own table has more samples than were read."""
        stated = len(self._stream.index_entries) if self._mp4 else self._stream.frames if self._avi else 0
        if self._read_samples >= stated:
            return None
        return f"ends after {self._numbered + len(self._decoded)} of {self.count or stated} frames"


def _open(path: Path) -> tuple[av.container.InputContainer, VideoStream]:
    try:
        # No playlist may fetch anything, and a name with a colon is a file's all the same.
        # Titles and the like may be in any encoding.
        container = av.open(f"file:{path}", "r", options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except FFmpegError as error:
        if isinstance(error, OSError) and not isinstance(error, ValueError):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise VideoError(path, f"is no video that FFmpeg can read: {error.strerror}") from None
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & av.stream.Disposition.attached_pic:
        container.close()
        raise VideoError(path, "holds no video")
    if stream.codec_context is None:
        container.close()
        raise VideoError(path, "is coded in a way that FFmpeg cannot decode")
    return container, stream


def _times_without_packet(path: Path, decode_times: list[int], empty: list[int]) -> list[int]:
    """Presentation times of samples that are no packets.

    Args:
        path: an MP4 file.
        decode_times: of all samples.
        empty: of those that have no content.
    """
    container, stream = _open(path)
    with container:
        packets = [packet for packet in container.demux(stream) if packet.dts is not None]
    shown = Counter(packet.pts for packet in packets if packet.pts is not None and not packet.is_discard)
    shift = min(shown, default=0) - min(decode_times)
    # Presentation times are decoding times in another order, later by what reordering needs.
    missing = sorted((Counter(time + shift for time in decode_times) - shown).elements())
    without = len(decode_times) - shown.total()
    return missing if len(missing) == without else [time + shift for time in empty][: max(without, 0)]


def _pixels(frame: DecodedFrame) -> Pixels:
    stored = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    side_data: Any = frame.side_data  # a container of objects; its stub says otherwise
    for data in side_data:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
            return upright(stored, (a, b, c, d))
    return stored
