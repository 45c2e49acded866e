"""Drawn frames as an MP4 file: H.264 with the times and the sound of the source, by PyAV (extra ``video``).

Where it is not installed OpenCV (extra ``cli``) writes: MPEG-4 part 2, at a constant rate, without sound.
"""

from __future__ import annotations

import errno
import os
import secrets
from abc import ABC, abstractmethod
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from exalign.video.reader import has_pyav
from exalign_client.errors import InvalidRequestError, Violation
from exalign_client.opencv import require_opencv
from exalign_client.pictures.decode import Pixels

if TYPE_CHECKING:
    import av

#: Sound that browsers play from an MP4 file is copied; other sound becomes AAC.
_COPIED = ("aac", "mp3", "mp3float", "opus", "flac")

#: Samples a second that AAC may have and browsers play.
_AAC_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)

#: The finest unit of time that is written, seconds: the file counts in 32 bits.
_FINEST = Fraction(1, 1_000_000)

#: Quality that is all but that of the source, fast enough to keep up with tracking.
_H264 = {"preset": "veryfast", "crf": "18"}

#: FFmpeg's numbers of the colours that are written: BT.709, in the range of television.
_BT709 = _TV_RANGE = 1


class VideoWriter:
    """An MP4 file in the making; leaving its ``with`` block finishes it.

    It is written beside its place and moved there when it is complete; an error, or an interrupt, leaves what was there
    before.

    Args:
        path: the file; an old one is replaced.
        rate: frames a second, on average.
        time_base: unit of the frames' times, seconds; None: fine enough for any.
        sound: a video whose sound is taken over; None: there is none.

    Attributes:
        written: whether the file is complete and in its place.

    Raises:
        MissingExtraError: neither PyAV nor OpenCV is installed.
    """

    def __init__(
        self, path: Path, rate: Fraction | float, *, time_base: Fraction | None = None, sound: Path | None = None
    ) -> None:
        self._path = path
        self._target = Path(os.path.realpath(path))  # an old file behind a link is replaced, not the link
        self._beside = self._target.with_name(f".exalign-{secrets.token_hex(8)}.mp4")
        self._rate = Fraction(rate).limit_denominator(10_000)
        self._size: tuple[int, int] | None = None
        self._frames = 0
        self.written = False
        self._encoder: _Encoder
        if has_pyav():
            self._encoder = _H264Encoder(self._rate, time_base, sound)
        else:
            self._encoder = _OpenCVEncoder(self._rate)

    @property
    def limits(self) -> str | None:
        """What the file lacks, as the end of a sentence that begins with it; None: nothing that is known yet."""
        return self._encoder.limits

    def write(self, pixels: Pixels, time: Fraction | None = None) -> None:
        """Add a frame; all have the size of the first. An odd one is made even by its last row or column.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            time: its presentation time, seconds, later than that of the frame before; None: by the rate.

        Raises:
            OSError: the file cannot be written.
            InvalidRequestError: a frame has another size.
        """
        size = (pixels.shape[1], pixels.shape[0])
        if self._size is not None and size != self._size:
            (w, h), (width, height) = size, self._size
            raise InvalidRequestError([Violation("pixels", f"{w}×{h} pixels, but the video has {width}×{height}")])
        even = np.pad(pixels, ((0, size[1] % 2), (0, size[0] % 2), (0, 0)), mode="edge")
        with _errors_of(self._path):
            if self._size is None:
                self._beside.open("xb").close()  # now, for encoders touch it many frames later
                self._size = size
                self._encoder.open(self._beside, (even.shape[1], even.shape[0]))
            self._encoder.write(np.ascontiguousarray(even), self._frames / self._rate if time is None else time)
        self._frames += 1

    def close(self) -> None:
        """Finish the file; without any frame there is none.

        Raises:
            OSError: it cannot be written, as when the disk is full.
        """
        if self._size is None:
            return
        self._size = None
        try:
            with _errors_of(self._path):
                self._encoder.close()
                self._beside.replace(self._target)
                self.written = True
        finally:
            self._beside.unlink(missing_ok=True)

    def _abandon(self) -> None:
        if self._size is not None:
            self._size = None
            with suppress(OSError), _errors_of(self._path):
                self._encoder.abandon()
            self._beside.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._abandon()


class _errors_of:  # noqa: N801 - read as a statement
    """Errors of the system name the file that the caller named."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror or str(error), str(self._path)) from error
        if error is not None and type(error).__module__.startswith("av."):
            raise OSError(errno.EIO, f"the video could not be written: {error}", str(self._path)) from error


class _Encoder(ABC):
    """What turns frames into a file."""

    limits: str | None = None

    @abstractmethod
    def open(self, path: Path, size: tuple[int, int]) -> None:
        """Begin a file of (width, height) pixels, both even."""

    @abstractmethod
    def write(self, pixels: Pixels, time: Fraction) -> None:
        """Add a frame."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""

    @abstractmethod
    def abandon(self) -> None:
        """Close the file, which is going to be deleted."""


class _H264Encoder(_Encoder):
    def __init__(self, rate: Fraction, time_base: Fraction | None, sound: Path | None) -> None:
        self._rate, self._sound_of = rate, sound
        self._time_base = max(time_base or Fraction(1, 90000), _FINEST)
        self._last = -(2**62)
        self._sound: _Sound | None = None

    def open(self, path: Path, size: tuple[int, int]) -> None:
        import av

        # The index first: a browser begins to play before it has all of the file.
        self._container = av.open(f"file:{path}", "w", format="mp4", container_options={"movflags": "faststart"})
        self._stream = self._container.add_stream("libx264", rate=self._rate, options=_H264)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = self._time_base
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _TV_RANGE
        if self._sound_of is not None:
            self._sound = _Sound.open(self._sound_of, self._container)

    def write(self, pixels: Pixels, time: Fraction) -> None:
        import av

        rgb = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame = rgb.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        self._last = max(round(time / self._time_base), self._last + 1)  # times in a file must rise
        frame.pts, frame.time_base = self._last, self._time_base
        if self._sound is not None:
            self._sound.copy(time)
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        try:
            if self._sound is not None:
                self._sound.copy(None)
                self.limits = self._sound.problem
            self._container.mux(self._stream.encode(None))
        finally:
            self.abandon()

    def abandon(self) -> None:
        if self._sound is not None:
            self._sound.close()
        self._container.close()


class _Sound:
    """The sound of a video on its way into another.

    Attributes:
        problem: why it is not complete, as the end of a sentence that begins with the video; None: it is.
    """

    def __init__(
        self, source: av.container.InputContainer, stream: av.AudioStream, target: av.container.OutputContainer
    ) -> None:
        self.problem: str | None = None
        self._source, self._target = source, target
        self._from = stream
        self._copied = self._from.codec_context.name in _COPIED
        self._to: av.AudioStream
        if self._copied:
            self._to = target.add_stream_from_template(self._from)
        else:
            # Some files do not say where their channels stand.
            layout = "mono" if self._from.channels == 1 else "stereo"
            rate = self._from.rate if self._from.rate in _AAC_RATES else 48_000
            self._to = target.add_stream("aac", rate=rate, layout=layout)
        self._packets: Any = source.demux(self._from)
        self._waiting: Any = None
        self._ended = False

    @classmethod
    def open(cls, path: Path, target: av.container.OutputContainer) -> _Sound | None:
        """The sound of a video; None where it has none."""
        import av

        options = {"protocol_whitelist": "file"}
        source = av.open(f"file:{path}", "r", container_options=options, metadata_errors="replace")
        stream = source.streams.best("audio")
        if not isinstance(stream, av.AudioStream) or stream.codec_context is None:
            source.close()
            return None
        return cls(source, stream, target)

    def copy(self, until: Fraction | None) -> None:
        """Take the sound over up to a time, seconds; None: all that is left."""
        from av.error import FFmpegError

        while not self._ended:
            packet = None
            try:
                packet = self._waiting or next(self._packets, None)
                self._waiting = None
                if packet is None or packet.dts is None:
                    self._ended = True
                elif until is not None and packet.dts * packet.time_base > until:
                    self._waiting = packet
                    return
                self._encode(None if self._ended else packet)
            except FFmpegError as error:
                if isinstance(error, OSError):
                    raise  # of the file that is written
                self.problem = self.problem or f"lacks part of the sound: {error.strerror}"

    def _encode(self, packet: Any) -> None:
        """Write a packet; None: the end."""
        if self._copied:
            if packet is not None:
                packet.stream = self._to
                self._target.mux(packet)
            return
        for frame in self._from.codec_context.decode(packet):
            self._target.mux(self._to.encode(frame))
        if packet is None:
            self._target.mux(self._to.encode(None))

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class _OpenCVEncoder(_Encoder):
    #: What OpenCV's wheels can write everywhere, unlike H.264: MPEG-4 part 2.
    _CODEC = "mp4v"

    def __init__(self, rate: Fraction) -> None:
        self._cv2: Any = require_opencv()
        self._rate = rate
        self.limits = (
            f"is MPEG-4 part 2 at {float(rate):.6g} frames a second, without sound, and browsers do not play it: "
            "pip install 'exalign[video]'"
        )

    def open(self, path: Path, size: tuple[int, int]) -> None:
        self._path = path
        code = self._cv2.VideoWriter_fourcc(*self._CODEC)
        self._writer = self._cv2.VideoWriter(str(path), code, float(self._rate), size)
        if not self._writer.isOpened():
            raise OSError(errno.EIO, "OpenCV cannot write a video there", str(path))

    def write(self, pixels: Pixels, time: Fraction) -> None:
        self._writer.write(pixels[..., ::-1])

    def abandon(self) -> None:
        self._writer.release()

    def close(self) -> None:
        """OpenCV reports no error, as of a full disk: the file is read back."""
        self._writer.release()
        written = self._cv2.VideoCapture(str(self._path))
        there = written.isOpened() and written.read()[0]
        written.release()
        if not there:
            raise OSError(errno.EIO, "the video could not be written", str(self._path))
