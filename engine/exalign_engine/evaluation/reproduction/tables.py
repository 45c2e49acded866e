"""The CSV files between what is measured and what is reported: schemas, reading and writing."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from exalign.output_files import replacing
from exalign_engine.errors import DataError

Kind = Literal["text", "int", "number", "bool"]
Row = dict[str, Any]


@dataclass(frozen=True)
class Schema:
    """Columns of one kind of CSV file; a file may hold others beside them.

    Attributes:
        columns: kind by name. A number may be empty, which reads as None.
    """

    columns: Mapping[str, Kind]


def _schema(text: str = "", ints: str = "", numbers: str = "", bools: str = "") -> Schema:
    kinds: tuple[tuple[str, Kind], ...] = ((text, "text"), (ints, "int"), (numbers, "number"), (bools, "bool"))
    return Schema({name: kind for names, kind in kinds for name in names.split()})


_FIGURES = "nrmse_mean auc failure_rate"

#: A training run: `exalign_engine.evaluation.reproduction.measures`.
RUN = _schema(
    text="loss split subset",
    ints="k seed epochs n",
    numbers="tau temperature top1_nrmse mean_nrmse random_nrmse class_error member_error failure_rate",
    bools="sharing synthetic",
)
#: Table 1: `exalign_engine.evaluation.reproduction.neighbours`.
NEIGHBOURS = _schema(
    text="method classes",
    ints="seed n",
    numbers="nrmse nrmse_lower nrmse_upper minus_linear minus_linear_lower minus_linear_upper",
)
#: Fig. 2: `exalign_engine.evaluation.reproduction.cost`.
COST = _schema(ints="k", numbers="backbone_ms head_ms posterior_ms head_mib shapes_mib")
#: Fig. 4: `exalign_engine.evaluation.reproduction.membership`.
MEMBERSHIP = _schema(ints="rank_from rank_to", numbers="members yaw roll deviation least most")
#: Table 2 and Fig. 7.
ACCURACY = _schema(text="method boxes subset", ints="points n", numbers=_FIGURES)
CURVES = _schema(text="method subset", ints="points", numbers="error share")
#: Table 3.
STRESS = _schema(text="corruption policy", ints="severity clicks n", numbers=_FIGURES.replace("nrmse_mean ", ""))
#: Fig. 10 and smoothing.
VIDEO = _schema(
    text="boxes method phase", ints="n", numbers="nrmse_mean auc failure_rate yaw_interval_deg yaw_coverage"
)
#: Fig. 6.
REFINEMENT = _schema(text="condition", ints="severity round n", numbers="auc failure_rate box_error worse")
#: Beside today's peers: `benchmarks.peers`.
PEERS = _schema(
    text="pictures source corruption boxes contestant points",
    ints="severity n",
    numbers="auc auc_lower auc_upper failure_rate missed cpu_ms_median",
)


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write rows, whole or not at all.

    Raises:
        ValueError: there are none.
    """
    if not rows:
        raise ValueError(f"{path}: no rows")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as f:
        writer = csv.DictWriter(f, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_table(path: Path, schema: Schema) -> list[Row]:
    """Read a CSV file.

    Args:
        path: the file.
        schema: its columns; what it holds beside them stays text.

    Returns:
        A dictionary a row.

    Raises:
        DataError: the file cannot be read, is empty, lacks columns (all are named), or a value in it is not of its
            column's kind (line and column are named).
    """
    try:
        with path.open(newline="", encoding="utf-8") as f:
            reader = csv.DictReader(f)
            lacking = [name for name in schema.columns if name not in (reader.fieldnames or ())]
            if lacking:
                raise DataError(path, f"lacks the columns {', '.join(lacking)}")
            rows = [_row(path, reader.line_num, raw, schema) for raw in reader]
    except OSError as e:
        raise DataError(path, f"cannot be read: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise DataError(path, f"not UTF-8: {e}") from e
    if not rows:
        raise DataError(path, "holds no rows")
    return rows


def _row(path: Path, line: int, raw: Mapping[str | None, Any], schema: Schema) -> Row:
    if None in raw or None in raw.values():
        raise DataError(path, "has another number of values than the header", line)
    row: Row = {str(k): v for k, v in raw.items()}
    for name, kind in schema.columns.items():
        row[name] = _value(path, line, name, row[name], kind)
    return row


def _value(path: Path, line: int, name: str, text: str, kind: Kind) -> Any:
    if kind == "text":
        return text
    if kind == "bool":
        if text not in ("True", "False"):
            raise DataError(path, f"{name} is {text!r}, must be True or False", line)
        return text == "True"
    if kind == "number" and not text:
        return None
    try:
        value = int(text) if kind == "int" else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(path, f"{name} is {text!r}, must be {'a whole' if kind == 'int' else 'a finite'} number", line)
    return value
