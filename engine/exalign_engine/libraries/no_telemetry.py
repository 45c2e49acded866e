"""OpenVINO and ONNX Runtime without their telemetry: who looks at faces reports to nobody."""

from __future__ import annotations

import os
import sys

#: What ONNX Runtime asks the environment, when it is imported.
ONNX_RUNTIME_SWITCH = "ORT_DISABLE_TELEMETRY"


def switch_off_telemetry() -> None:
    """To be called before OpenVINO or ONNX Runtime is imported; whoever has imported one before keeps it as it is.

    OpenVINO's forks the process when it is imported, waits 3 s where there is no network, and writes to the user's
    home. In a server with threads such a fork is unsound. Without its package OpenVINO takes a stub of its own.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # so Python blocks an import
    os.environ.setdefault(ONNX_RUNTIME_SWITCH, "1")
