"""The rules as they are given to operators, and the same in which an hour passes in half a minute."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"

#: How much faster time passes in the real Prometheus of the tests.
FASTER = 120.0

_RANGE = re.compile(r"\[(\d+)([smhd])\]")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def read() -> dict[str, Any]:
    """The file."""
    return dict(yaml.safe_load(RULES.read_text("utf-8")))


def rules() -> list[dict[str, Any]]:
    """All of them, in their order."""
    return [rule for group in read()["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """Those that fire."""
    return [rule for rule in rules() if "alert" in rule]


def _milliseconds(number: int, unit: str, faster: float) -> str:
    return f"{max(1, round(number * _SECONDS[unit] * 1000 / faster))}ms"


def faster_text(expr: str, faster: float = FASTER) -> str:
    """An expression whose ranges are shorter; a bound in seconds stays."""
    return _RANGE.sub(lambda found: f"[{_milliseconds(int(found[1]), found[2], faster)}]", expr)


def faster_rules(interval: str, faster: float = FASTER) -> str:
    """The file, with every range and every "for" shorter, looked at every so often."""
    whole = read()
    for group in whole["groups"]:
        group["interval"] = interval
        for rule in group["rules"]:
            rule["expr"] = faster_text(rule["expr"], faster)
            if "for" in rule:
                found = re.fullmatch(r"(\d+)([smhd])", rule["for"])
                assert found is not None
                rule["for"] = _milliseconds(int(found[1]), found[2], faster)
    return yaml.safe_dump(whole, sort_keys=False)


#: A series: its name, and the labels that narrow it.
_SELECTOR = re.compile(
    r"\b((?:exalign|grpc_server|process|up|job|instance|job_method)[\w:]*)(\{(?:[^{}\"]|\"[^\"]*\")*\})?"
)

#: Words of PromQL that look like one.
_WORDS = {"job", "instance", "job_method"}


def selectors(expr: str) -> list[str]:
    """Every series that an expression reads, as a query of its own."""
    inside = re.sub(r"\b(?:by|on|ignoring|group_left|group_right|without)\s*\([^)]*\)", " ", expr)
    found = [(name, labels) for name, labels in _SELECTOR.findall(inside) if name not in _WORDS]
    return sorted({name + labels for name, labels in found})
