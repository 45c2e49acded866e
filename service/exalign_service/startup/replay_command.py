"""``exalign-server replay``: run a recorded session again, and compare its answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from exalign.cli_support import DONE, FAILED, report
from exalign_service.config.schema import ServerConfig
from exalign_service.observability import logs


def run(path: Path, config: ServerConfig) -> int:
    """Replay it.

    Args:
        path: the recording.
        config: of the server that recorded it.

    Raises:
        ExalignError: the model cannot be loaded.
        OSError: the recording cannot be read.
    """
    from exalign_service.config.start_checks import check_model
    from exalign_service.recording.session_file import RecordingError, SessionReader

    logs.configure("error")
    try:
        header = SessionReader(path).header  # before the model is loaded
        check_model(config.model)
        from exalign_service.replay.replay import DifferentError, other_processor, replay
        from exalign_service.serving.loading import load_model

        aligner = load_model(config).aligner
        try:
            found = asyncio.run(replay(path, config, aligner))
        except DifferentError as e:
            where = "; it was recorded on another processor" if other_processor(header) else ""
            report(f"exalign-server: {path}: {e}{where}")
            return FAILED
    except RecordingError as e:
        report(f"exalign-server: {path}: {e}")
        return FAILED
    end = "" if found.whole else ", up to where the recording ends"
    print(f"{path}: {found.frames} frames, {found.answers} answers: equal bit for bit{end}")
    return DONE
