"""Settings and metrics are in the documents, and the documents name no metric that there is not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from documented_settings import PAGE, page

ROOT = PAGE.parents[1]
NAME = re.compile(r"(?:exalign|grpc_server)_[a-z_]+")

#: Names that begin alike, and are no metrics.
OTHERS = {"exalign_client", "exalign_engine", "exalign_service", "exalign_model"}


def without_suffix(name: str) -> str:
    """As it is declared: Prometheus adds what a counter and an information are called by."""
    return name.removesuffix("_total").removesuffix("_info")


def declared() -> set[str]:
    """Names of all metrics in the server's code."""
    found = set()
    for path in (ROOT / "service" / "exalign_service" / "observability").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
                found.add(without_suffix(node.value))
    return found - OTHERS


def documented(path: Path) -> set[str]:
    """Names of metrics in a document."""
    return {without_suffix(name) for name in NAME.findall(path.read_text("utf-8"))} - OTHERS


def test_the_page_of_settings_is_that_of_the_schema() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: python tests/documented_settings.py --write"


def test_every_metric_is_in_the_documents_and_no_other() -> None:
    names = documented(ROOT / "docs" / "operations.md")
    # Some are made of what they are about: the beginning of their names is declared.
    prefixes = tuple(name for name in declared() if name.endswith("_"))
    assert {name for name in names if not name.startswith(prefixes)} == declared() - set(prefixes)
    for beginning in prefixes:
        assert any(name.startswith(beginning) for name in names), beginning
