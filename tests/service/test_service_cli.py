"""``exalign-server`` as a process: what it prints, when it ends, and with which code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import pytest

from exalign.v1 import service_pb2, service_pb2_grpc
from exalign_service.startup.memory import lack_of_memory

HERE = Path(__file__).parent

#: The command with a model that needs no files; everything else is real.
PROGRAM = """
import sys, tempfile
from pathlib import Path
from exalign_engine import Aligner
from exalign_service import cli, server
from service_fakes import FakeDetector, FakeRuntime, tiny_bundle
folder = Path(tempfile.mkdtemp())
aligner = Aligner(tiny_bundle(folder), FakeRuntime(), {"mtcnn": FakeDetector()})
server.load_model = lambda config: server.LoadedModel(aligner)
sys.exit(cli.main())
"""

#: Finds the fakes as well as what this process finds.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}

FREE = ("--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0")


@contextmanager
def running_program(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of ``serve``; killed at the end where it has not ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, "serve", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    try:
        yield process
    finally:
        process.kill()
        with process:  # closes its pipes
            pass


@contextmanager
def started(*arguments: str, program: str = PROGRAM) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A serving process and what it announced."""
    with running_program(program, *arguments) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield process, json.loads(line)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "exalign_service.cli", *arguments], capture_output=True, text=True, timeout=60
    )


def test_announces_itself_on_standard_output_and_ends_with_0_on_sigterm() -> None:
    with started(*FREE) as (process, said):
        assert set(said) == {"event", "address", "metrics_address"}
        assert said["event"] == "serving"
        with grpc.insecure_channel(said["address"]) as channel:
            stub = service_pb2_grpc.FaceAlignmentServiceStub(channel)
            model = stub.GetModel(service_pb2.GetModelRequest(), timeout=5)
        assert model.bundle_id == "b" * 64
        with urllib.request.urlopen(f"http://{said['metrics_address']}/readyz", timeout=5) as response:
            assert response.status == 200
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out) == (0, "")
        lines = [json.loads(line) for line in err.splitlines()]
        events = [line["event"] for line in lines]
        no_default = "the bundle does not know the default detector: another one finds faces"
        ending = ["call", "stopping", "stopped"]
        # The rest is warmed up beside the call, and may be cut short.
        said_in_order = [event for event in events if event not in ("warming up", "warm")]
        assert said_in_order == ["starting", "listening", "loading", no_default, "loaded", "serving", *ending]
        assert events.index("loaded") < events.index("warming up") < events.index("serving")
        serving = lines[events.index("serving")]
        assert (serving["runtime"], serving["bundle"], serving["reason"]) == ("fake", "b" * 12, "for tests")
        assert lines[-2]["reason"] == "SIGTERM"
        assert all({"ts", "level", "event"} <= set(line) for line in lines)


def test_ends_with_its_standard_input_when_told_to() -> None:
    with started(*FREE, "--exit-with-stdin") as (process, _):
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=20) == 0


def test_outlives_its_standard_input_otherwise() -> None:
    with started(*FREE) as (process, said):
        assert process.stdin is not None
        process.stdin.close()
        with grpc.insecure_channel(said["address"]) as channel:
            stub = service_pb2_grpc.FaceAlignmentServiceStub(channel)
            for _ in range(20):
                stub.GetModel(service_pb2.GetModelRequest(), timeout=20)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        err = process.stderr.read()
        (stopping,) = (line for line in map(json.loads, err.splitlines()) if line["event"] == "stopping")
        assert stopping["reason"] == "SIGTERM"


@pytest.mark.parametrize("which", ["address", "metrics_address"])
def test_an_address_in_use_ends_with_1_and_one_line(which: str) -> None:
    with started(*FREE) as (_, said):
        flags = {"--address": "127.0.0.1:0", "--metrics-address": "127.0.0.1:0"}
        flags[f"--{which.replace('_', '-')}"] = said[which]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, "serve", *(word for pair in flags.items() for word in pair)],
            capture_output=True,
            text=True,
            timeout=60,
            env=ENVIRONMENT,
        )
        assert done.returncode == 1
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"exalign-server: {which} is '{said[which]}', cannot be listened on: ")
        assert "address already in use" in line.lower()


#: As `PROGRAM`, with a model that is never there.
ENDLESS = PROGRAM.replace("server.LoadedModel(aligner)", "threading.Event().wait()").replace(
    "sys, ", "sys, threading, "
)

#: As `PROGRAM`, with a network that is never warm.
NEVER_WARM = PROGRAM.replace("sys.exit(", "aligner.runtime.gate.clear()\nsys.exit(")


def log_until(process: subprocess.Popen[str], event: str) -> list[dict[str, object]]:
    """Lines of the log up to one of this event."""
    assert process.stderr is not None
    lines: list[dict[str, object]] = []
    while not lines or lines[-1]["event"] != event:
        line = process.stderr.readline()
        assert line, lines
        lines.append(json.loads(line))
    return lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("program", "after"), [(ENDLESS, "listening"), (ENDLESS, "loading"), (NEVER_WARM, "warming up")]
)
def test_a_signal_while_it_starts_ends_it_with_0(program: str, after: str, number: signal.Signals) -> None:
    """No thread is waited for: here one would never end."""
    with running_program(program, *FREE) as process:
        log_until(process, after)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    ending = [json.loads(line) for line in err.splitlines()][-2:]
    assert [line["event"] for line in ending] == ["stopping", "stopped"]
    assert ending[0]["reason"] == number.name


def test_a_signal_while_views_are_warmed_up_ends_it_with_0() -> None:
    """That thread is left behind: nobody asked for what it does."""
    never = "from exalign_service.models import warm_up\nimport threading\n"
    never += "warm_up.warm_up_views = lambda *_: threading.Event().wait()\nsys.exit("
    with started(*FREE, program=PROGRAM.replace("sys.exit(", never)) as (process, _):
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(err.splitlines()[-1])["event"] == "stopped"


def test_sigterm_at_the_first_line_of_the_log_ends_it_with_0() -> None:
    with running_program("import sys; from exalign_service.entry import main; sys.exit(main())", *FREE) as process:
        (first,) = log_until(process, "starting")
        assert first["pid"] == process.pid
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    assert [json.loads(line)["event"] for line in err.splitlines()][-2:] == ["stopping", "stopped"]


def test_sigterm_is_obeyed_before_anything_is_imported() -> None:
    """While the settings are read, with no loop and no log yet; a library that is being imported cannot swallow it."""
    program = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "exalign_service.startup.command":
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except BaseException:
                pass
sys.meta_path.insert(0, Finder())
from exalign_service.entry import main
sys.exit(main())
"""
    with running_program(program, *FREE) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    lines = [json.loads(line) for line in err.splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [("stopping", "info"), ("stopped", "info")]


def test_little_is_imported_before_sigterm_is_obeyed() -> None:
    code = "import sys; import exalign_service.entry; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"argparse", "asyncio", "cv2", "grpc", "logging", "numba", "numpy", "google.protobuf"}
    assert not heavy & set(loaded)


def test_the_ports_are_open_before_numba_is_imported() -> None:
    code = "import sys; import exalign_service.server; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"numba", "scipy", "onnx", "onnxruntime", "openvino", "exalign_engine.face.aligner"}
    assert not heavy & set(loaded)


def test_a_model_that_cannot_be_loaded_closes_the_ports_with_a_reason() -> None:
    program = PROGRAM.replace("server.LoadedModel(aligner)", "1 / 0 if False else load()").replace(
        "sys.exit", "def load():\n    raise MemoryError('no 3 GiB here')\nsys.exit"
    )
    with running_program(program, *FREE) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    *log, last = err.splitlines()
    assert last == "exalign-server: there is too little memory: no 3 GiB here"
    assert json.loads(log[-1])["event"] == "cannot start"
    assert json.loads(log[-1])["error"] == "no 3 GiB here"


@pytest.mark.parametrize("megabytes", [300, 900])
def test_too_little_memory_is_one_line(megabytes: int) -> None:
    program = f"import resource, sys; resource.setrlimit(resource.RLIMIT_AS, ({megabytes}_000_000,) * 2)\n"
    program += "from exalign_service.entry import main; sys.exit(main())"
    with running_program(program, *FREE) as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith(f"exalign-server: there is too little memory: {megabytes},000,000 bytes of address space")


def test_what_libraries_say_without_memory_is_understood() -> None:
    assert lack_of_memory(MemoryError()) == "there is too little memory"
    linker = ImportError("libx.so: failed to map segment from shared object\nand more")
    assert lack_of_memory(linker) == "there is too little memory: libx.so: failed to map segment from shared object"
    for error in (RuntimeError("can't start new thread"), RuntimeError("Exception: std::bad_alloc")):
        assert lack_of_memory(error) == f"there is too little memory: {error}"
    assert lack_of_memory(ValueError("something else")) is None


def test_one_port_for_both_is_refused() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = f"127.0.0.1:{free.getsockname()[1]}"
    done = command("serve", "--address", port, "--metrics-address", port)
    assert done.returncode == 1
    assert done.stderr.startswith(f"exalign-server: metrics_address is '{port}', cannot be listened on: ")


def test_a_socket_in_use_or_impossible_is_one_line() -> None:
    # Not tmp_path, whose own length would be too much for a socket's path.
    with TemporaryDirectory(dir="/tmp") as name, socket.socket(socket.AF_UNIX) as taken:
        folder = Path(name)
        taken.bind(str(folder / "s"))
        taken.listen()
        reasons = {
            folder / "s": "another server listens there",
            folder / "nowhere" / "s": f"there is no directory {folder / 'nowhere'}",
            folder / ("s" * 120): "AF_UNIX path too long",
        }
        for path, reason in reasons.items():
            done = command("serve", "--address", f"unix:{path}", "--metrics-address", "127.0.0.1:0")
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr == f"exalign-server: address is 'unix:{path}', cannot be listened on: {reason}\n"


def test_what_libraries_write_to_stderr_is_in_the_log() -> None:
    program = PROGRAM.replace(
        "server.load_model = lambda config: server.LoadedModel(aligner)",
        "def load(config):\n"
        "    import atexit, gc, logging, os, threading, warnings\n"
        "    failing = threading.Thread(target=lambda: 1 / 0, name='unlucky')\n"
        "    failing.start(), failing.join()\n"
        "    class Lost:\n"
        "        def __del__(self):\n"
        "            raise ValueError\n"
        "    Lost(), gc.collect()\n"
        "    logging.getLogger('asyncio').error('two\\nlines')\n"
        "    atexit.register(lambda: os.write(2, b'at the end\\n'))\n"
        "    os.write(2, b'[ WARN:0@0.1] a library \\xff\\n\\nno line end')\n"
        "    warnings.warn('of Python', stacklevel=1)\n"
        "    return server.LoadedModel(aligner)\n"
        "server.load_model = load",
    )
    with running_program(program, *FREE) as process:
        log = log_until(process, "serving")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    # All of it is JSON; the last words too, which come after those of the server.
    before = [line["event"] for line in log]
    after = [json.loads(line)["event"] for line in err.splitlines()]
    assert {"a thread failed", "exception ignored", "two\nlines", "[ WARN:0@0.1] a library \\xff"} <= set(before)
    assert after[-2:] == ["stopped", "no line endat the end"]


def test_a_missing_bundle_ends_with_1_and_one_line(tmp_path: Path) -> None:
    done = command("serve", "--bundle", str(tmp_path / "nothing"), *FREE)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert str(tmp_path / "nothing") in line


def test_wrong_arguments_end_with_2() -> None:
    assert command("serve", "--no-such-flag").returncode == 2
    assert command().returncode == 2
    assert command("serve", "--queue", "0").returncode == 2


def test_says_its_version() -> None:
    done = command("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("exalign-server ")


def test_exports_the_server_and_its_config_only() -> None:
    import exalign_service

    assert exalign_service.__all__ == ["Server", "ServerConfig"]
