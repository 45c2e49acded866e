"""How videos are tracked; the same for all of a run, and what their results depend on beside the video."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.detect import create_chosen_detector
from exalign_engine.face.aligner import Aligner
from exalign_engine.hmm.chain import Chain, ChainSettings
from exalign_engine.runtime import create_runtime
from exalign_engine.tracking.options import SessionOptions
from exalign_engine.tracking.session_state import VERSION
from exalign_engine.tracking.settings import TRACKER

#: Of the lines that are written; another one begins every video anew.
LINE_VERSION = 2


@dataclass(frozen=True)
class RunSettings:
    """How videos are tracked. Values only: it travels to workers.

    Attributes:
        bundle: the model's directory.
        runtime: executes its network; see `exalign_engine.runtime.runtime_names`.
        precision: of the network.
        threads: of the network, for each video that is tracked at a time.
        detector: its name; None: the first one that the bundle knows.
        session: of each video.
        formats: what is written beside the JSON lines: names of `exalign_client.formats.FORMATS`.
        points: of a face in these; None: all.
        checkpoint_frames: frames after which a video's state is kept.
    """

    bundle: str
    runtime: str = "auto"
    precision: str = "auto"
    threads: int = 1
    detector: str | None = None
    session: SessionOptions = field(default_factory=SessionOptions)
    formats: tuple[str, ...] = ()
    points: int | None = None
    checkpoint_frames: int = 300

    def name(self, bundle: Bundle) -> str:
        """Of all that a video's lines depend on beside the video, but for rounding: "auto" may take another runtime
        on another machine."""
        constants = (LINE_VERSION, VERSION, ChainSettings(), TRACKER, bundle.id)
        chosen = (self.runtime, self.precision, self.threads, self.detector, self.session)
        return hashlib.sha256(repr((constants, chosen)).encode()).hexdigest()[:32]


class OpenModel:
    """A model in memory.

    Args:
        settings: which one.

    Raises:
        ExalignError: it cannot be opened here.

    Attributes:
        name: `RunSettings.name`.
    """

    def __init__(self, settings: RunSettings) -> None:
        bundle = Bundle.load(Path(settings.bundle))
        runtime = create_runtime(
            settings.runtime,
            bundle.network,
            threads=settings.threads,
            precision=settings.precision,
            tables=bundle.exemplars.tables,
        )
        self.aligner = Aligner(bundle, runtime, create_chosen_detector(settings.detector, bundle.detectors))
        self.name = settings.name(bundle)

    @cached_property
    def chain(self) -> Chain:
        """Between the exemplars; built when first needed."""
        bundle = self.aligner.bundle
        return Chain.of_exemplars(bundle.exemplars, bundle.manifest.tau)
