"""Who works on which picture: files in the project's folder, so that it holds for every process that has it open.

A lease is given up, runs out unless it is renewed, or is taken on purpose. It only says who should write; that nobody
overwrites another's work is seen to by revisions (`exalign_annotator.project.folder`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exalign.output_files import write_file

#: Seconds that a lease holds without being renewed.
LEASE_SECONDS = 15.0

#: Longest names of holders and their owners.
_LONGEST = 100


@dataclass(frozen=True)
class Lease:
    """Who works on a picture.

    Attributes:
        holder: a window of a browser, by the random name that it gave itself.
        owner: name of the person, as the system knows them.
        since: when it was given, seconds since 1970.
        renewed: when it was renewed last.
    """

    holder: str
    owner: str
    since: float
    renewed: float


class Leases:
    """The leases of a project. Call it with the folder locked.

    Args:
        folder: of the project.
        owner: whose leases are written here.
        clock: seconds since 1970.
    """

    def __init__(self, folder: Path, owner: str, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._owner, self._clock = folder, owner[:_LONGEST], clock

    def current(self, name: str) -> Lease | None:
        """The lease of an item; None: nobody works on it."""
        try:
            found = json.loads(self._file(name).read_text("utf-8"))
            lease = Lease(
                str(found["holder"]), str(found["owner"])[:_LONGEST], float(found["since"]), float(found["renewed"])
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None  # there is none, or a write was cut off: it would run out
        # A clock that was set back must not make a lease eternal.
        return lease if abs(self._clock() - lease.renewed) < LEASE_SECONDS else None

    def take(self, name: str, holder: str, *, by_force: bool = False) -> Lease:
        """Take or renew a lease, unless another holds it and it is not taken by force.

        Returns:
            The lease that holds now: the caller's, or another's.

        Raises:
            OSError: it cannot be written.
        """
        now, held = self._clock(), self.current(name)
        if held is not None and held.holder != holder and not by_force:
            return held
        since = held.since if held is not None and held.holder == holder else now
        lease = Lease(holder, self._owner, since, now)
        write_file(self._file(name), json.dumps(vars(lease)))
        return lease

    def give_up(self, name: str, holder: str) -> None:
        """Give up a lease, where it is the caller's."""
        held = self.current(name)
        if held is not None and held.holder == holder:
            self._file(name).unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.lease"
