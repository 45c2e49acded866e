"""What the gateway's tests share with those of the service: its fakes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the gateway is not installed (pip install ./gateway)")
pytest.importorskip("httpx", reason="httpx asks the gateway (extra 'dev')")

_SERVICE = str(Path(__file__).parents[1] / "service")
if _SERVICE not in sys.path:
    sys.path.append(_SERVICE)
