"""Outside libraries without the parts that a server does not need."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("openvino")

#: What other code in the process finds after that: the library itself, its parts as they are, and no leftovers.
AFTERWARDS = """
import sys
from exalign_engine.libraries.no_opsets import load_openvino_without_opsets
{before}
load_openvino_without_opsets()
import openvino
assert "CPU" in openvino.Core().available_devices
assert ("openvino.opset1" in sys.modules) == {whole}
assert sys.modules.get("openvino.tools.ovc", ...) is not None
from openvino.opset8 import parameter
"""


@pytest.mark.parametrize(
    ("before", "whole"), [("", False), ("sys.modules['openvino_telemetry'] = None; import openvino", True)]
)
def test_openvino_is_loaded_without_its_operators_unless_somebody_has_loaded_it(before: str, whole: bool) -> None:
    code = AFTERWARDS.format(before=before, whole=whole)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
