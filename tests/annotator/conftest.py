"""What the annotator's tests share with those of the service and of the gateway: their fakes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the annotator is not installed (pip install ./gateway ./annotator)")
pytest.importorskip("httpx", reason="httpx asks the annotator (extra 'dev')")

for _room in ("service", "gateway"):
    _path = str(Path(__file__).parents[1] / _room)
    if _path not in sys.path:
        sys.path.append(_path)
