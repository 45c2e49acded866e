"""The CSV files that are there, as the report reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from exalign_engine.errors import DataError
from exalign_engine.evaluation.reproduction.tables import (
    ACCURACY,
    COST,
    CURVES,
    MEMBERSHIP,
    NEIGHBOURS,
    PEERS,
    REFINEMENT,
    RUN,
    STRESS,
    VIDEO,
    Row,
    Schema,
    read_table,
)

#: Suites whose CSV files are named after a split …
SUITES = ("accuracy", "refinement", "video", "stress")
#: … and which of these is reported where there are several.
SPLITS = ("test", "val")


@dataclass(frozen=True)
class Suite:
    """One suite's rows.

    Attributes:
        name: of the file.
        split: that it ran on.
        rows: its rows.
    """

    name: str
    split: str
    rows: list[Row]


@dataclass(frozen=True)
class PeersAbout:
    """What the rows of the peers were made with.

    Attributes:
        split: of the faces.
        contestants: version or model of each, by its name.
    """

    split: str
    contestants: dict[str, str]


@dataclass(frozen=True)
class Results:
    """A folder of CSV files; a table that is not there is empty or None.

    Every property raises DataError where a file is there and wrong.

    Attributes:
        folder: where they are.
    """

    folder: Path

    @cached_property
    def runs(self) -> list[Row]:
        """Rows of all training runs."""
        return [row for path in sorted((self.folder / "runs").glob("*.csv")) for row in read_table(path, RUN)]

    @cached_property
    def neighbours(self) -> list[Row]:
        """Table 1, with the K of its run as ``k``."""
        found = []
        for path in sorted((self.folder / "neighbours").glob("*.csv")):
            run = self.folder / "runs" / path.name
            if run.is_file():
                k = read_table(run, RUN)[0]["k"]
                found += [row | {"k": k} for row in read_table(path, NEIGHBOURS)]
        return found

    @cached_property
    def cost(self) -> list[Row]:
        """Fig. 2."""
        return self._table("cost.csv", COST)

    @cached_property
    def membership(self) -> list[Row]:
        """Fig. 4."""
        return self._table("membership.csv", MEMBERSHIP)

    @cached_property
    def peers(self) -> list[Row]:
        """The comparison with today's peers."""
        return self._table("peers.csv", PEERS)

    @cached_property
    def peers_about(self) -> PeersAbout | None:
        """What they were made with, from the JSON file beside the rows."""
        path = self.folder / "peers.json"
        return _peers_about(path) if path.is_file() else None

    @cached_property
    def accuracy(self) -> Suite | None:
        """Table 2."""
        return self._suite("accuracy", ACCURACY)

    @cached_property
    def curves(self) -> Suite | None:
        """Fig. 7."""
        return self._suite("curves", CURVES)

    @cached_property
    def stress(self) -> Suite | None:
        """Table 3."""
        return self._suite("stress", STRESS)

    @cached_property
    def video(self) -> Suite | None:
        """Fig. 10."""
        return self._suite("video", VIDEO)

    @cached_property
    def refinement(self) -> Suite | None:
        """Fig. 6."""
        return self._suite("refinement", REFINEMENT)

    def _table(self, name: str, schema: Schema) -> list[Row]:
        path = self.folder / name
        return read_table(path, schema) if path.is_file() else []

    def _suite(self, suite: str, schema: Schema) -> Suite | None:
        """The file of the best split: whole splits before parts, and those of `SPLITS` in their order."""
        whole = [self.folder / f"{suite}-{split}.csv" for split in SPLITS]
        others = sorted(path for path in self.folder.glob(f"{suite}-*.csv") if path not in whole)
        for path in (*whole, *others):
            if path.is_file():
                rows = read_table(path, schema)
                return Suite(path.name, str(rows[0].get("split", "")), rows)
        return None


def _peers_about(path: Path) -> PeersAbout:
    """Read what `benchmarks.peers` wrote.

    Raises:
        DataError: it is no JSON, or lacks something.
    """
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
        contestants = {
            str(name): f"{about['classes']:,} classes, bundle `{about['bundle_id'][:12]}`, {about['runtime']}"
            if "bundle_id" in about
            else str(about["version"])
            for name, about in head["contestants"].items()
        }
        return PeersAbout(str(head["split"]), contestants)
    except ValueError as e:
        raise DataError(path, f"is no JSON: {e}") from e
    except (KeyError, TypeError, AttributeError) as e:
        raise DataError(path, f"is not what `benchmarks.peers` writes: {e}") from e
