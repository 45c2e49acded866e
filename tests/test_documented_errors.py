"""docs/errors.md has every reason that the server answers, and every limit that it tells, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import exalign_client
from exalign.v1 import model_pb2
from exalign_client import ExalignClientError
from exalign_engine.tracking.errors import StateReason
from exalign_service.rpc import errors

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "errors.md").read_text("utf-8")

#: What takes a reason as its argument, and which one that is.
MAKERS = {"_plain": 1, "_later": 0, "_info": 0, "PreconditionError": 0}


def section(title: str) -> str:
    """Of the page, up to the next of its kind."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(title: str) -> set[str]:
    """Names in the first column of a section's table."""
    rows = re.findall(r"^\| (`[^|]+) \|", section(title), re.MULTILINE)
    return set(re.findall(r"`(\w+)`", " ".join(rows)))


def answered() -> set[str]:
    """Reasons in the server's code: those in capitals that are written out, and those of stored states."""
    found = {f"STATE_{reason.name}" for reason in StateReason}
    for path in (ROOT / "service" / "exalign_service").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in MAKERS:
                continue
            place = MAKERS[node.func.id]
            if place < len(node.args) and isinstance(node.args[place], ast.Constant):
                found.add(str(node.args[place].value))
    return found


def test_every_reason_is_in_the_documents_and_no_other() -> None:
    assert first_cells("Reasons") == answered()


def test_reasons_of_the_table_of_errors_are_among_those_that_are_found() -> None:
    """The code is read as text above: what it does is asked here."""
    error = errors.QueueFullError("faces", 1, 1, 1.0)
    status = errors.status_of(error, "id")
    assert any(b"QUEUE_FULL" in detail.SerializeToString() for detail in status.details)
    assert "QUEUE_FULL" in answered()
    assert len(answered()) > 35


def test_every_limit_is_in_the_documents_and_no_other() -> None:
    assert first_cells("Limits") == {field.name for field in model_pb2.Limits.DESCRIPTOR.fields}


def test_every_exception_of_the_client_is_in_the_documents() -> None:
    for name in exalign_client.__all__:
        made = getattr(exalign_client, name)
        if isinstance(made, type) and issubclass(made, ExalignClientError) and name != "SessionLostError":
            assert f"`{name}`" in PAGE, name
    assert "`SessionLostError`" in (ROOT / "docs" / "video.md").read_text("utf-8")
