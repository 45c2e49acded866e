"""The detectors that there are, by name; each one's own file holds its specification."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from exalign_engine.detect.base import Detector
from exalign_engine.errors import InvalidInputError
from exalign_engine.registry import Registry


@dataclass(frozen=True)
class DetectorSpec:
    """A detector that can be opened by name.

    Attributes:
        name: on the wire, in settings and in detectors.json.
        open: loads it, given its model file (None for one that needs none). What it imports, it imports then.
            Raises RuntimeUnavailableError where something that it needs is missing.
        model: what its model file is, in one sentence for the settings' help; None: it needs no file.
        boxes: the detector whose boxes it answers, and whose affine a bundle holds; None: its own.
    """

    name: str
    open: Callable[[Path | None], Detector]
    model: str | None = None
    boxes: str | None = None

    @property
    def model_setting(self) -> str:
        """Name of the setting that holds its model file."""
        return f"{self.name}_model"


#: Every detector; the first one that needs no file is the default where the bundle knows it.
DETECTORS: Registry[DetectorSpec] = Registry()


def convention(name: str) -> str:
    """The detector whose boxes a detector answers, as a bundle's detectors.json knows them: mostly itself."""
    spec = DETECTORS.get(name)
    return name if spec is None or spec.boxes is None else spec.boxes


def default_detector() -> str:
    """Name of the detector that finds faces where none is named."""
    return next(spec.name for spec in DETECTORS if spec.model is None)


def understood(detectors: Iterable[str], known: Container[str]) -> tuple[str, ...]:
    """Of some detectors those whose boxes a bundle understands, in the order of registration, unregistered ones last.

    Args:
        detectors: names.
        known: names in the bundle's detectors.json.
    """
    order = DETECTORS.names()
    names = [name for name in detectors if convention(name) in known]
    return tuple(sorted(names, key=lambda name: order.index(name) if name in order else len(order)))


def default_among(detectors: Iterable[str], known: Container[str]) -> str:
    """Name of the first of some detectors whose boxes a bundle understands; `default_detector` where there is none."""
    return next(iter(understood(detectors, known)), default_detector())


def create_detector(name: str, model: Path | None = None) -> Detector:
    """Load a detector.

    Args:
        name: of one in `DETECTORS`.
        model: its model file; needed by those whose specification names one.

    Raises:
        InvalidInputError: the name is unknown, or the detector needs a model file and none is given.
        RuntimeUnavailableError: what the detector needs is missing or cannot be loaded.
    """
    spec = DETECTORS.get(name)
    if spec is None:
        raise InvalidInputError.of("detector", f"is {name!r}, must be one of {', '.join(DETECTORS.names())}")
    if spec.model is not None and model is None:
        raise InvalidInputError.of(spec.model_setting, f"is not set, detector {name} needs its model file")
    return spec.open(model)


def create_chosen_detector(name: str | None, known: Container[str]) -> dict[str, Detector]:
    """Load the detector of a name; None: see `create_default_detector`.

    Raises:
        InvalidInputError, RuntimeUnavailableError: see `create_detector`.
    """
    return create_default_detector(known) if name is None else {name: create_detector(name)}


def create_default_detector(known: Container[str]) -> dict[str, Detector]:
    """Load the first detector that needs no file and whose boxes a bundle understands.

    Args:
        known: names in the bundle's detectors.json.

    Returns:
        By name; `default_detector` where the bundle knows none.

    Raises:
        RuntimeUnavailableError: what it needs is missing or cannot be loaded.
    """
    name = default_among((spec.name for spec in DETECTORS if spec.model is None), known)
    return {name: create_detector(name)}


def create_detectors(models: Mapping[str, Path] | None = None) -> dict[str, Detector]:
    """Load every detector that can run: those that need no model file, and those whose file is given.

    Args:
        models: model files by name of the detector.

    Returns:
        By name, in the order of registration.

    Raises:
        RuntimeUnavailableError: what a detector needs is missing or cannot be loaded.
    """
    files = models or {}
    ready = [spec for spec in DETECTORS if spec.model is None or spec.name in files]
    return {spec.name: spec.open(files.get(spec.name)) for spec in ready}
