"""The contract: stubs are fresh, style holds, nothing on main breaks, every RPC is there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor

from exalign.open_inference import inference_pb2
from exalign.v1 import admin_pb2, evidence_pb2, face_pb2, service_pb2, service_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]
SERVICE = service_pb2.DESCRIPTOR.services_by_name["FaceAlignmentService"]

# name → (client streams, server streams)
RPCS = {
    "PredictLandmarks": (False, False),
    "PredictHeatmaps": (False, False),
    "EstimatePose": (False, False),
    "QueryConditional": (False, False),
    "SuggestEvidence": (False, False),
    "TrackVideo": (True, True),
    "GetModel": (False, False),
    "GetExemplars": (False, False),
}


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(c) for c in command], cwd=ROOT, capture_output=True, text=True, timeout=600)


def _buf() -> Path:
    path = Path(sysconfig.get_path("scripts")) / "buf"
    if not path.is_file():
        pytest.skip("needs buf (extra 'dev')")
    return path


def _git(*arguments: str) -> str | None:
    """Output of a git command in the repository, or None where git refuses."""
    done = _run("git", *arguments)
    return done.stdout.strip() if done.returncode == 0 else None


def _published_contract() -> str:
    """The commit whose contract callers may already use: main as last published, before this working tree.

    A clone that is checked out elsewhere has main as origin/main; one with a lone or detached branch has only
    HEAD. Of a working tree on main this is the last commit, so that uncommitted changes are compared with it;
    the commit itself was compared while it was still uncommitted.
    """
    if shutil.which("git") is None:
        pytest.skip("needs git")
    if _git("rev-parse", "--show-toplevel") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    for name in ("refs/heads/main", "refs/remotes/origin/main", "HEAD"):
        commit = _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if commit is None:
            continue
        if not _git("ls-tree", "-r", "--name-only", commit, "--", "protos/exalign/v1/service.proto"):
            pytest.skip("needs a commit with a contract")
        return commit
    pytest.skip("needs a commit with a contract")


def _breaking(tree: Path, against: Path) -> subprocess.CompletedProcess[str]:
    return _run(_buf(), "breaking", tree, "--against", against)


def _copy_contract(target: Path) -> Path:
    shutil.copytree(ROOT / "protos", target / "protos", ignore=shutil.ignore_patterns("*.py*", "__pycache__"))
    shutil.copy(ROOT / "buf.yaml", target)
    return target


def test_stubs_are_fresh() -> None:
    done = _run(sys.executable, "protos/generate.py", "--check")
    assert done.returncode == 0, done.stderr


def test_lint_passes() -> None:
    done = _run(_buf(), "lint")
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_on_main_is_broken(tmp_path: Path) -> None:
    buf, commit = _buf(), _published_contract()
    archive = tmp_path / "main.tar"
    # An archive rather than buf's own git input: that would clone, and needs more of git than a checkout has.
    packed = _run("git", "archive", f"--output={archive}", commit, "--", "protos", "buf.yaml")
    assert packed.returncode == 0, packed.stderr
    done = _run(buf, "breaking", "--against", archive)
    assert done.returncode == 0, f"against {commit}:\n{done.stdout}{done.stderr}"


def test_the_breaking_rule_sees_a_removed_field(tmp_path: Path) -> None:
    before, after = _copy_contract(tmp_path / "before"), _copy_contract(tmp_path / "after")
    same = _breaking(after, before)
    assert same.returncode == 0, same.stdout + same.stderr
    face = after / "protos/exalign/v1/face.proto"
    text = face.read_text(encoding="utf-8")
    assert text.count("  optional float presence = 5;") == 1
    face.write_text(text.replace("  optional float presence = 5;", ""), encoding="utf-8")
    done = _breaking(after, before)
    assert done.returncode != 0
    assert "presence" in done.stdout


def test_every_rpc_is_there_with_its_kind_of_streaming() -> None:
    found = {m.name: (m.client_streaming, m.server_streaming) for m in SERVICE.methods}
    assert found == RPCS


@pytest.mark.parametrize("method", list(SERVICE.methods), ids=lambda m: m.name)
def test_every_method_has_messages_of_its_own(method: MethodDescriptor) -> None:
    assert method.input_type.name == f"{method.name}Request"
    assert method.output_type.name == f"{method.name}Response"


@pytest.mark.parametrize("method", [m for m in SERVICE.methods if m.name != "TrackVideo"], ids=lambda m: m.name)
def test_every_unary_response_says_which_bundle_answered(method: MethodDescriptor) -> None:
    assert method.output_type.fields_by_name["bundle_id"].type == FieldDescriptor.TYPE_STRING


def test_a_stream_says_which_bundle_answers_when_it_opens() -> None:
    opened = service_pb2.TrackVideoResponse.DESCRIPTOR.fields_by_name["opened"].message_type
    assert opened is not None
    assert "bundle_id" in opened.fields_by_name


def test_a_swap_says_which_bundle_answers() -> None:
    (method,) = admin_pb2.DESCRIPTOR.services_by_name["ModelAdminService"].methods
    assert (method.name, method.client_streaming, method.server_streaming) == ("SwapModel", False, False)
    assert (method.input_type.name, method.output_type.name) == ("SwapModelRequest", "SwapModelResponse")
    assert "bundle_id" in method.output_type.fields_by_name


def test_the_grpc_stub_offers_every_rpc() -> None:
    for name in RPCS:
        assert callable(getattr(service_pb2_grpc.FaceAlignmentServiceServicer, name))


def test_a_landmark_zero_that_was_given_differs_from_none() -> None:
    assert not evidence_pb2.Click().HasField("landmark")
    assert evidence_pb2.Click(landmark=0).HasField("landmark")


def test_a_face_without_presence_differs_from_presence_zero() -> None:
    assert not face_pb2.Face().HasField("presence")
    assert face_pb2.Face(presence=0.0).HasField("presence")


def test_the_open_inference_protocol_is_that_of_its_clients() -> None:
    """Numbers that other people's clients send, some of each message; `benchmarks.open_inference` compares them all."""
    service = inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert service.full_name == "inference.GRPCInferenceService"
    assert not any(m.client_streaming or m.server_streaming for m in service.methods)
    request = inference_pb2.ModelInferRequest.DESCRIPTOR
    assert {f.name: f.number for f in request.fields} == {
        "model_name": 1,
        "model_version": 2,
        "id": 3,
        "parameters": 4,
        "inputs": 5,
        "outputs": 6,
        "raw_input_contents": 7,
    }
    sent = inference_pb2.ModelInferRequest(model_name="m", raw_input_contents=[b"ab"])
    sent.inputs.add(name="i", datatype="UINT8", shape=[2])
    assert sent.SerializeToString().hex() == "0a016d" + "2a0d" + "0a0169120555494e543" + "81a0102" + "3a026162"
