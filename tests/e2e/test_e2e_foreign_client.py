"""A client that none of us wrote: `buf curl`, which knows the service by reflection alone."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exalign_client.transport.local_server import LocalServer

BUF = shutil.which("buf") or str(Path(sys.executable).with_name("buf"))
SERVICE = "exalign.v1.FaceAlignmentService"


def buf_curl(*arguments: str) -> str:
    if not Path(BUF).is_file():
        pytest.skip("needs buf (extra 'dev')")
    command = [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_reflection_lists_the_service_and_its_methods(server: LocalServer) -> None:
    assert SERVICE in buf_curl("--list-services", f"http://{server.address}").split()
    methods = buf_curl("--list-methods", f"http://{server.address}")
    assert f"{SERVICE}/PredictLandmarks" in methods


def test_landmarks_of_a_jpeg_without_our_stubs(server: LocalServer, astronaut: bytes, tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"image": {"encoded": base64.b64encode(astronaut).decode()}}))
    answer = json.loads(buf_curl("--data", f"@{request}", f"http://{server.address}/{SERVICE}/PredictLandmarks"))
    (face,) = answer["faces"]
    assert len(face["landmarks"]["points"]) == 136
    assert face["presence"] > 0.9
    assert answer["imageWidth"] == 512
