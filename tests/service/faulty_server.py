"""`exalign-server` with a tiny model, and faults that a folder asks for: ``python faulty_server.py FOLDER serve …``.

The symbolic link ``fault`` in the folder leads to the fault's name: to read it takes no descriptor. Everything but
network and detector is real.
"""

from __future__ import annotations

import ctypes
import logging
import resource
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from exalign_engine import Aligner
from exalign_engine.network.outputs import Outputs
from exalign_service import cli, server
from service_fakes import GOOD_BOX, U8, FakeDetector, FakeRuntime, tiny_bundle

#: What the network may do wrong, the detector, and the threads that work.
RAISES_ONCE, RAISES, NOT_FINITE, WRONG_SHAPE, HANGS = "raises once", "raises", "not finite", "wrong shape", "hangs"
STAGE_HANGS, THREADS_DIE, LITTLE_MEMORY = "stage hangs", "threads die", "little memory"

#: What it leaves of the memory that the process may take, bytes; and what a photograph takes at once, at least.
ROOM, PHOTOGRAPH = 24 * 2**20, 34 * 2**20

_log = logging.getLogger("exalign_service.faults")


class Wanted:
    """The fault that is asked for now."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "fault"

    def now(self) -> str:
        """Its name; empty where none is."""
        try:
            return str(self._file.readlink())
        except FileNotFoundError:
            return ""

    def met(self, *names: str) -> str:
        """The fault, if it is one of these; the log says when."""
        fault = self.now()
        if fault not in names:
            return ""
        _log.warning("fault", extra={"fields": {"fault": fault}})
        return fault

    def over(self) -> None:
        """It was to happen once."""
        self._file.unlink(missing_ok=True)

    def wait(self, fault: str) -> None:
        """Until another one is asked for, or none."""
        while self.now() == fault:
            time.sleep(0.01)


class FaultyRuntime(FakeRuntime):
    """A network that does what it is told to."""

    def __init__(self, wanted: Wanted) -> None:
        super().__init__()
        self._wanted = wanted
        self._ballast: list[bytearray] = []

    def infer(self, crops: U8) -> Outputs:
        """See `FakeRuntime`."""
        fault = self._wanted.met(RAISES_ONCE, RAISES, NOT_FINITE, WRONG_SHAPE, HANGS, THREADS_DIE, LITTLE_MEMORY)
        if fault == RAISES_ONCE:
            self._wanted.over()
        if fault in (RAISES_ONCE, RAISES):
            raise RuntimeError("as the test wants")
        if fault == HANGS:
            self._wanted.wait(HANGS)
        if fault == THREADS_DIE:
            self._wanted.over()
            kill_threads()
        if fault == LITTLE_MEMORY:
            self._take_memory()
        else:
            self._ballast.clear()
            bound_memory(-1)
        out = super().infer(crops)
        if fault == NOT_FINITE:
            return replace(out, scores=np.full_like(out.scores, np.nan))
        return replace(out, scores=out.scores[:, :5]) if fault == WRONG_SHAPE else out

    def _take_memory(self) -> None:
        """Take every free piece that is as large as a photograph, and have the system give no more than `ROOM`."""
        bound_memory(taken_memory())
        with suppress(MemoryError):
            while True:
                self._ballast.append(bytearray(PHOTOGRAPH))
        bound_memory(taken_memory() + ROOM)


class FaultyDetector(FakeDetector):
    """A detector that does what it is told to."""

    def __init__(self, wanted: Wanted) -> None:
        super().__init__((GOOD_BOX, 0.9))
        self._wanted = wanted

    def detect(self, image: U8) -> Any:
        """See `FakeDetector`."""
        if self._wanted.met(STAGE_HANGS):
            self._wanted.wait(STAGE_HANGS)
        return super().detect(image)


def taken_memory() -> int:
    """Private memory of this process, as the system bounds it, bytes."""
    return 1024 * int(Path("/proc/self/status").read_text().partition("VmData:")[2].split()[0])


def bound_memory(size: int) -> None:
    """Let the system give this process no more, bytes; -1: as much as it wants."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard if size == -1 else size, hard))


def kill_threads() -> None:
    """Raise SystemExit in every thread of the network and of the stages: in those that wait, as soon as they wake."""
    for thread in threading.enumerate():
        if thread.name.startswith(("batcher-", "stage-")):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))


def main() -> int:
    """The command."""
    wanted = Wanted(Path(sys.argv.pop(1)))
    bundle = tiny_bundle(Path(tempfile.mkdtemp()))
    aligner = Aligner(bundle, FaultyRuntime(wanted), {"mtcnn": FaultyDetector(wanted)})
    server.load_model = lambda config: server.LoadedModel(aligner)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
