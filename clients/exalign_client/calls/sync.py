"""The blocking client."""

from __future__ import annotations

from collections.abc import Iterable

from exalign_client.requests.arguments import BoxInput, Group, ImageInput, LandmarkOrGroup, check_timeout
from exalign_client.requests.messages import (
    Criterion,
    Evidence,
    LandmarkOptions,
    SuggestionOptions,
    condition_request,
    exemplars_request,
    heatmaps_request,
    pose_request,
    predict_request,
    suggest_request,
)
from exalign_client.requests.views import HeatmapOptions, PoseOptions
from exalign_client.results.conditional import (
    Conditional,
    Exemplar,
    Suggestions,
    conditional_from,
    exemplars_from,
    suggestions_from,
)
from exalign_client.results.faces import Faces, Prediction, faces_from, prediction_from
from exalign_client.track.requests import DEFAULT_WINDOW, FrameInput, TemporalModel, check_frames, track_config
from exalign_client.track.sync import TrackStream
from exalign_client.transport.connection import Connection


class Client(Connection):
    """A connection to an Exalign server, for blocking calls. Threads may share it.

    A call that fails with UNAVAILABLE is repeated with growing pauses, one that a busy server turns away is
    repeated when the server asked for it; at most 4 attempts and never beyond the timeout. Both are safe:
    the calls change nothing.

    Args:
        address: ``host:port``, or ``unix:/path/of/socket``.
        tls: False for plain text, True for TLS with the system's certificates, or ``grpc.ChannelCredentials``
            for anything else (a private authority, a client certificate).
        timeout: seconds for a whole call, retries included, where the call itself names no other.

    Raises:
        InvalidRequestError: ``timeout`` is not a finite number > 0.

    Example:
        >>> with Client("localhost:50051") as client:
        ...     faces = client.predict("photo.jpg")
        ...     print(faces[0].landmarks)
    """

    def predict(
        self,
        image: ImageInput,
        boxes: Iterable[BoxInput] | None = None,
        *,
        detector: str | None = None,
        max_faces: int | None = None,
        top_exemplars: int | None = None,
        groups: Iterable[Group] = (),
        heatmaps: HeatmapOptions | None = None,
        pose: PoseOptions | None = None,
        timeout: float | None = None,
    ) -> Prediction:
        """Find the 68 landmarks of each face, with their uncertainty.

        Args:
            image: path of a JPEG, PNG, WebP or BMP file, the bytes of one, or pixels as a uint8 array:
                (H, W, 3) in the order red, green, blue (OpenCV's is the reverse: ``pixels[..., ::-1]``), or
                (H, W) grey. The EXIF orientation of a file is applied first, an array is taken as it is.
            boxes: the faces to align: each a `Box` or four numbers x0, y0, x1, y1 (image frame, pixels). None
                or empty: the server looks for faces.
            detector: name of the detector that looks for them; None: the server's default. See `model`.
            max_faces: at most so many, those with the highest scores, ≥ 1; None: the server's limit.
            top_exemplars: how many of the most probable exemplars to name, ≥ 0; None: the server's choice.
            groups: groups whose uncertainty as a whole is wanted: names ("jaw", "brows", "nose", "eyes",
                "mouth", "all") or lists of 0-based landmarks.
            heatmaps: heatmaps too; None: none.
            pose: the head pose too; None: none.
            timeout: seconds for the whole call, retries included; None: the client's.

        Returns:
            A sequence of faces; empty when there are none in the picture.

        Raises:
            InvalidRequestError: an argument is wrong, or the server says so; every bad field is named.
            OSError: the file cannot be read.
            ExalignClientError: the call failed; see `exalign_client.errors` for the kinds.
        """
        request = predict_request(
            image,
            boxes,
            detector=detector,
            max_faces=max_faces,
            top_exemplars=top_exemplars,
            groups=groups,
            heatmaps=heatmaps,
            pose=pose,
        )
        return prediction_from(self._call(self._stub.PredictLandmarks, request, timeout))

    def heatmaps(
        self,
        image: ImageInput | None = None,
        boxes: Iterable[BoxInput] | None = None,
        *,
        posterior_id: str | None = None,
        options: HeatmapOptions | None = None,
        pose: PoseOptions | None = None,
        landmarks: LandmarkOptions | None = None,
        detector: str | None = None,
        max_faces: int | None = None,
        timeout: float | None = None,
    ) -> Faces:
        """Say where chosen landmarks may be, as probability mass on a grid: ``Face.heatmaps``.

        Args:
            image: as in `predict`; None with a ``posterior_id``.
            boxes: as in `predict`.
            posterior_id: a face of an earlier answer (``Face.posterior_id``) instead of an image: neither the
                picture nor the network is needed again.
            options: which heatmaps, and where; None: all 68 on 64 × 64 cells of the square that the network saw.
            pose: the head pose too; None: none.
            landmarks: what to say about the landmarks, which are always answered; None: the server's choice.
            detector: as in `predict`.
            max_faces: as in `predict`.
            timeout: as in `predict`.

        Raises:
            NotFoundError: the server no longer keeps this posterior id; send the image again.
            InvalidRequestError: an argument is wrong; every one is named.
            OSError: the file cannot be read.
            ExalignClientError: the call failed.
        """
        request = heatmaps_request(
            image,
            boxes,
            posterior_id=posterior_id,
            options=options,
            pose=pose,
            landmarks=landmarks,
            detector=detector,
            max_faces=max_faces,
        )
        return faces_from(self._call(self._stub.PredictHeatmaps, request, timeout))

    def pose(
        self,
        image: ImageInput | None = None,
        boxes: Iterable[BoxInput] | None = None,
        *,
        posterior_id: str | None = None,
        options: PoseOptions | None = None,
        heatmaps: HeatmapOptions | None = None,
        landmarks: LandmarkOptions | None = None,
        detector: str | None = None,
        max_faces: int | None = None,
        timeout: float | None = None,
    ) -> Faces:
        """Say how the head is turned, as a distribution: ``Face.pose``.

        Arguments and errors are those of `heatmaps`, with ``options`` about the pose, and ``heatmaps`` as an
        option of its own.
        """
        request = pose_request(
            image,
            boxes,
            posterior_id=posterior_id,
            options=options,
            heatmaps=heatmaps,
            landmarks=landmarks,
            detector=detector,
            max_faces=max_faces,
        )
        return faces_from(self._call(self._stub.EstimatePose, request, timeout))

    def condition(
        self,
        image: ImageInput | None = None,
        evidence: Evidence = (),
        *,
        posterior_id: str | None = None,
        box: BoxInput | None = None,
        box_moves: bool = True,
        heatmaps: HeatmapOptions | None = None,
        pose: PoseOptions | None = None,
        landmarks: LandmarkOptions | None = None,
        include_prior: bool = False,
        detector: str | None = None,
        timeout: float | None = None,
    ) -> Conditional:
        """Answer about one face given evidence, such as a click.

        Args:
            image: as in `predict`; None with a ``posterior_id``.
            evidence: what is known: one or several of `Click`, `Inside`, `Outside` and `PoseRange`.
            posterior_id: a face of an earlier answer instead of an image. Evidence that it holds stays; the new
                is added.
            box: the face; None: the detected one with the highest score.
            box_moves: whether clicks may also shift and scale the box.
            heatmaps: heatmaps given the evidence; None: none.
            pose: the pose given the evidence; None: none.
            landmarks: what to say about the landmarks, which are always answered; None: the server's choice.
            include_prior: answer the same without this evidence as well: ``Conditional.prior``.
            detector: as in `predict`.
            timeout: as in `predict`.

        Raises:
            PreconditionError: no face was found (``reason`` is ``NO_FACE``).
            NotFoundError: the server no longer keeps this posterior id; send the image again.
            InvalidRequestError: an argument is wrong; every one is named.
            OSError: the file cannot be read.
            ExalignClientError: the call failed.
        """
        request = condition_request(
            image,
            evidence,
            posterior_id=posterior_id,
            box=box,
            box_moves=box_moves,
            heatmaps=heatmaps,
            pose=pose,
            landmarks=landmarks,
            include_prior=include_prior,
            detector=detector,
        )
        return conditional_from(self._call(self._stub.QueryConditional, request, timeout))

    def suggest(
        self,
        image: ImageInput | None = None,
        evidence: Evidence = (),
        *,
        posterior_id: str | None = None,
        box: BoxInput | None = None,
        box_moves: bool = True,
        candidates: Iterable[LandmarkOrGroup] = (),
        max_suggestions: int | None = None,
        criterion: Criterion = "error",
        click_sigma: float | None = None,
        heatmaps: HeatmapOptions | None = None,
        pose: PoseOptions | None = None,
        landmarks: LandmarkOptions | None = None,
        detector: str | None = None,
        timeout: float | None = None,
    ) -> Suggestions:
        """Say which landmark a person should click next.

        Args and errors that are not here are those of `condition`.

        Args:
            image: as in `predict`; None with a ``posterior_id``.
            evidence: what is known already, in addition to what a ``posterior_id`` holds.
            posterior_id: a face of an earlier answer instead of an image.
            box: the face; None: the detected one with the highest score.
            box_moves: whether clicks in ``evidence`` may also shift and scale the box.
            candidates: landmarks and groups to choose from; empty: all that are not yet clicked.
            max_suggestions: at most so many, 1 to 68; None: the server's choice.
            criterion: rank by the expected drop in "error" (pixels) or in "entropy" (nats).
            click_sigma: standard deviation of the coming click, pixels a coordinate, > 0; None: 1 % of the face
                box's diagonal.
            heatmaps: heatmaps given the evidence; None: none.
            pose: the pose given the evidence; None: none.
            landmarks: what to say about the landmarks, which are always answered; None: the server's choice.
            detector: as in `predict`.
            timeout: as in `predict`.
        """
        request = suggest_request(
            image,
            evidence,
            posterior_id=posterior_id,
            box=box,
            box_moves=box_moves,
            candidates=candidates,
            max_suggestions=max_suggestions,
            criterion=criterion,
            click_sigma=click_sigma,
            heatmaps=heatmaps,
            pose=pose,
            landmarks=landmarks,
            detector=detector,
        )
        return suggestions_from(self._call(self._stub.SuggestEvidence, request, timeout))

    def track(
        self,
        frames: Iterable[FrameInput],
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
    ) -> TrackStream:
        """Follow faces through a video: an iterator over the answers, which all use everything seen so far.

        It yields a `TrackResult` for every frame, in order, and with a ``smoothing_lag`` a `TrackRevision` for each
        when the frames after it have been seen (`settled` puts the two together). After the last one, ``closed``
        holds the summary. Frames are taken from the iterable in a thread of its own, no more than ``window`` ahead of
        the answers.

        A connection that breaks is made again, and the video goes on where it stood: no frame is left out and none
        is answered twice. Where the server has lost the video meanwhile, it is begun again with the frames that were
        not answered yet (``TrackResult.session`` counts that), unless something asked for would be missing then.

        Args:
            frames: pictures, each as in `predict`, or `TrackFrame`, of one size. An array (N, H, W, 3) is N frames.
                Among them, `PastEvidence` about frames given before.
            live: the newest frame wins: one that is overtaken is skipped, and named in the next result. False: every
                frame is answered, however long it takes.
            temporal_model: how frames are joined: "filter", "low_pass" (mean over three frames) or "per_frame".
            smoothing_lag: frames to look ahead for revisions, ≥ 0; with the filter only.
            max_faces: most faces followed, ≥ 1; None: one.
            detector: as in `predict`.
            detect_every: look for new faces on every n-th frame, ≥ 1; 0: only at the start and while a face is not
                seen; None: the
                server's choice.
            landmarks: what to say about the landmarks, which are always answered; None: the server's choice.
            heatmaps: heatmaps for every frame; None: none.
            pose: the head pose in every frame; None: none.
            path_frames: length of the most probable path in ``closed``, frames; 0: none. A suggestion looks back on
                so many frames.
            suggestion: name the frames and landmarks whose click would help most, in ``closed``; None: do not.
            session_id: name for the server's logs and for proxies (metadata ``x-session-id``), 1 to 64 of
                ``[A-Za-z0-9_.-]``; None: a random one. A number is added where the video must be begun again.
            window: most frames given and not yet answered, 1 to 256; as many pictures are kept in memory.
            timeout: seconds for which a connection may bring nothing, and then for which it is made again, until
                the next answer comes; None: the client's. The whole video may take any time.

        Returns:
            The iterator. It connects when the first event is asked for.

        Raises:
            InvalidRequestError: an argument is wrong; every one is named.

        Example:
            >>> with client.track(frames) as video:
            ...     for event in video:
            ...         print(event.frame_index, [track.state for track in event.tracks])
            >>> print(video.closed.summary)
        """
        check_frames(frames)
        config = track_config(
            live=live,
            temporal_model=temporal_model,
            smoothing_lag=smoothing_lag,
            max_faces=max_faces,
            detector=detector,
            detect_every=detect_every,
            landmarks=landmarks,
            heatmaps=heatmaps,
            pose=pose,
            path_frames=path_frames,
            suggestion=suggestion,
            session_id=session_id,
            window=window,
        )
        patience = check_timeout(self._timeout if timeout is None else timeout)
        return TrackStream(self._stub.TrackVideo, self.address, config, frames, window=window, timeout=patience)

    def exemplars(
        self, class_ids: Iterable[int], *, bundle_id: str | None = None, timeout: float | None = None
    ) -> tuple[Exemplar, ...]:
        """Return the shapes behind class ids, in the order asked for.

        Args:
            class_ids: 0 to K − 1, at least one.
            bundle_id: the bundle that they are from; None: the one that answers.
            timeout: as in `predict`.

        Raises:
            PreconditionError: another bundle answers.
            InvalidRequestError: a class id is wrong.
            ExalignClientError: the call failed.
        """
        request = exemplars_request(class_ids, bundle_id)
        return exemplars_from(self._call(self._stub.GetExemplars, request, timeout))
