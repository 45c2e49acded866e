"""How far a build is, from TensorRT's nested phases to one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Phases:
    """The share of the work done: each phase is one step of its parent, and the outermost is the whole."""

    def __init__(self) -> None:
        self._open: list[tuple[str, int, int]] = []  # name, steps, steps done
        self._best = 0.0

    def start(self, name: str, steps: int) -> None:
        """A phase inside the one open now."""
        self._open.append((name, max(steps, 1), 0))

    def step(self, name: str, step: int) -> None:
        """``step``, counted from 0, of an open phase is done."""
        self._open = [(n, total, max(done, step + 1) if n == name else done) for n, total, done in self._open]

    def finish(self, name: str) -> None:
        """A phase, and whatever is still open inside it, is over; its parent is a step further."""
        names = [n for n, _, _ in self._open]
        if name in names:
            del self._open[names.index(name) :]
        if self._open:
            n, total, done = self._open[-1]
            self._open[-1] = (n, total, min(done + 1, total))
        else:
            self._best = 1.0

    @property
    def share(self) -> float:
        """0 to 1; never falls, although phases are announced with more steps than they turn out to have."""
        share, width = 0.0, 1.0
        for _, total, done in self._open:
            width /= total
            share += width * min(done, total - 1)
        self._best = max(self._best, share)
        return self._best

    @property
    def innermost(self) -> str:
        """Name of the phase that is worked on."""
        return self._open[-1][0] if self._open else ""


def make_monitor(api: Any, progress: Callable[[str, float], None]) -> Any:
    """A monitor for ``IBuilderConfig.progress_monitor``; the caller must keep it alive while building.

    Args:
        api: the TensorRT module.
        progress: called with the phase's name and the share done; what it raises cancels the build.
    """
    phases = Phases()

    class ProgressMonitor(api.IProgressMonitor):  # type: ignore[misc]  # the module is a parameter
        """TensorRT calls it from threads of its own, and no exception may reach them.

        Attributes:
            cancelled_by: what the callback raised, which cancels the build; None while all is well.
        """

        def __init__(self) -> None:
            api.IProgressMonitor.__init__(self)
            self.cancelled_by: BaseException | None = None

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            phases.start(phase_name, num_steps)
            self._tell()

        def phase_finish(self, phase_name: str) -> None:
            phases.finish(phase_name)
            self._tell()

        def step_complete(self, phase_name: str, step: int) -> bool:
            phases.step(phase_name, step)
            self._tell()
            return self.cancelled_by is None

        def _tell(self) -> None:
            if self.cancelled_by is not None:
                return
            try:
                progress(phases.innermost, phases.share)
            except BaseException as e:  # noqa: BLE001  # raised again when the builder has let go
                self.cancelled_by = e

    return ProgressMonitor()
