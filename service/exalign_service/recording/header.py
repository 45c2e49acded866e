"""What a recording says of itself: the bundle, the versions and the processor that its answers follow from."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from exalign_engine.face.aligner import Aligner
from exalign_engine.runtime.surroundings import processor
from exalign_service.config.recording import ALL, FEATURES
from exalign_service.recording.session_file import Header

#: What computes an answer from what the network gave.
_COMPUTES = ("exalign", "numpy", "numba")

#: What decodes a picture, and finds a face in it.
_SEES = ("opencv-python-headless", "pillow")


def versions(aligner: Aligner, *, pictures: bool) -> dict[str, str]:
    """Of all that the answers follow from; with ``pictures``, from those, and otherwise from what the network gave."""
    found = {name: _version(name) for name in (*_COMPUTES, *(_SEES if pictures else ()))}
    if pictures:
        runtime = aligner.runtime
        found |= {"runtime": f"{runtime.name} {runtime.version}", "precision": runtime.precision}
    return found


def header(aligner: Aligner, session: str, config: bytes, *, pictures: bool) -> Header:
    """Of a session that begins now.

    Args:
        aligner: answers it.
        session: its name.
        config: see `Header`.
        pictures: whether frames are recorded as they are sent.
    """
    return Header(
        session=session,
        began=datetime.now(UTC).isoformat(timespec="seconds"),
        record=ALL if pictures else FEATURES,
        bundle=aligner.bundle.id,
        versions=versions(aligner, pictures=pictures),
        processor=processor(),
        config=config,
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
