"""The method `track` of both clients: its arguments, its documentation, and the first message of its streams."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

from exalign.v1 import track_pb2
from exalign_client.errors import Violations
from exalign_client.requests.arguments import whole_in
from exalign_client.requests.messages import (
    LandmarkOptions,
    SuggestionOptions,
    detection_message,
    landmarks_message,
    suggestion_message,
)
from exalign_client.requests.views import HeatmapOptions, PoseOptions, heatmap_message, pose_message
from exalign_client.track.requests import (
    DEFAULT_WINDOW,
    MAX_WINDOW,
    TemporalModel,
    check_frames,
    session_name,
    temporal_settings,
)

FramesT = TypeVar("FramesT", contravariant=True)
StreamT = TypeVar("StreamT", covariant=True)


class Tracking(ABC, Generic[FramesT, StreamT]):
    """What a client can do with a video; ``FramesT`` is what it takes frames from, ``StreamT`` what it returns."""

    _frames_may_be_asynchronous: ClassVar[bool] = False

    # Long: the one list of its fifteen arguments, each with its documentation.
    def track(
        self,
        frames: FramesT,
        *,
        live: bool = False,
        temporal_model: TemporalModel = "filter",
        smoothing_lag: int = 0,
        max_faces: int | None = None,
        detector: str | None = None,
        detect_every: int | None = None,
        landmarks: LandmarkOptions | None = None,
        heatmaps: HeatmapOptions | None = None,
        pose: PoseOptions | None = None,
        path_frames: int = 0,
        suggestion: SuggestionOptions | None = None,
        session_id: str | None = None,
        window: int = DEFAULT_WINDOW,
        timeout: float | None = None,
    ) -> StreamT:
        """Track faces through a video: an iterator over the answers, which all use everything seen so far.

        It yields a `TrackResult` for every frame, in order, and with a ``smoothing_lag`` a `TrackRevision` for each
        when the frames after it have been seen (`settled` puts the two together). After the last one, ``closed``
        holds the summary. Frames are taken from the iterable in a thread of its own, no more than ``window`` ahead of
        the answers.

        A video keeps the bundle that answers its first frame. Where a frame allows it (`TrackFrame.may_change_model`),
        it moves to another one that has taken its place meanwhile, and a `ModelChanged` is among the answers.

        A connection that breaks is made again, and the video goes on where it stood: no frame is left out and none
        is answered twice. Where the server has lost the video meanwhile, it is begun again with the frames that were
        not answered yet (``TrackResult.session`` counts that), unless something requested would be missing then.

        Args:
            frames: pictures, each as in `predict`, or `TrackFrame`, of one size. An array (N, H, W, 3) is N frames.
                Among them, `PastEvidence` about frames given before. Of an `AsyncClient` also asynchronous iterables.
            live: the newest frame wins: one that is overtaken is skipped, and named in the next result. False: every
                frame is answered, however long it takes.
            temporal_model: how frames are combined: "filter", "low_pass" (mean over three frames) or "per_frame".
            smoothing_lag: frames to look ahead for revisions, ≥ 0; with the filter only.
            max_faces: most faces followed, ≥ 1; None: one.
            detector: as in `predict`.
            detect_every: look for new faces on every n-th frame, ≥ 1; 0: only at the start and while a face is not
                seen; None: the server's choice.
            landmarks: what to report about the landmarks, which are always answered; None: the server's choice.
            heatmaps: heatmaps for every frame; None: none.
            pose: the head pose in every frame; None: none.
            path_frames: length of the most probable path in ``closed``, frames; 0: none. A suggestion covers
                as many frames.
            suggestion: name the frames and landmarks whose click would help most, in ``closed``; None: do not.
            session_id: name for the server's logs and for proxies (metadata ``x-session-id``), 1 to 64 of
                ``[A-Za-z0-9_.-]``; None: a random one. Something is added where the video must be begun again, and
                where the server still has a session of that name, as after a run that broke off.
            window: most frames given and not yet answered, 1 to 256; as many pictures are kept in memory.
            timeout: seconds for which a connection may bring nothing, and then for which it is made again, until
                the next answer comes; None: the client's. The whole video may take any time.

        Returns:
            The iterator. It connects when the first event is requested.

        Raises:
            InvalidRequestError: an argument is wrong; every one is named.

        Example:
            >>> with client.track(frames) as video:
            ...     for event in video:
            ...         print(event.frame_index, [track.state for track in event.tracks])
            >>> print(video.closed.summary)
        """
        check_frames(frames, asynchronous=self._frames_may_be_asynchronous)
        wrong = Violations()
        model, lag = temporal_settings(temporal_model, smoothing_lag, wrong)
        name = session_name(session_id, wrong)
        whole_in(window, 1, wrong.at("window"), MAX_WINDOW)
        config = track_pb2.TrackConfig(
            session_id=name,
            mode=track_pb2.TRACK_MODE_LIVE if live else track_pb2.TRACK_MODE_LOSSLESS,
            temporal_model=model,
            smoothing_lag=lag,
            detection=detection_message(detector, max_faces, wrong),
            detect_every=whole_in(detect_every, 0, wrong.at("detect_every")),
            landmarks=landmarks_message(LandmarkOptions() if landmarks is None else landmarks, wrong.at("landmarks")),
            heatmaps=heatmap_message(heatmaps, wrong.at("heatmaps")),
            pose=pose_message(pose, wrong.at("pose")),
            path_frames=whole_in(path_frames, 0, wrong.at("path_frames")) or 0,
            suggestion=None if suggestion is None else suggestion_message(suggestion, wrong.at("suggestion")),
        )
        wrong.raise_if_any()
        return self._open_track(config, frames, window, timeout)

    @abstractmethod
    def _open_track(
        self, config: track_pb2.TrackConfig, frames: FramesT, window: int, timeout: float | None
    ) -> StreamT:
        """The stream of a video; it connects when its first event is requested.

        Raises:
            InvalidRequestError: the timeout is not a finite number > 0.
        """
