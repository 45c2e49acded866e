"""Write the Python stubs of the contract beside its .proto files.

    python protos/generate.py           write what has changed, remove what no longer belongs
    python protos/generate.py --check   write nothing; name the stale files and exit with 1

For every ``x.proto`` there are ``x_pb2.py`` and ``x_pb2.pyi`` (messages and their types); for a file with a
service also ``x_pb2_grpc.py`` and ``x_pb2_grpc.pyi``. The output depends only on the .proto files and on the
versions of grpcio-tools and mypy-protobuf, which pyproject.toml pins.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import sys
import sysconfig
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]  # ships no types

ROOT = Path(__file__).resolve().parent
STUB_PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")
SERVICE = re.compile(r"^service\s+\w+", re.MULTILINE)


class GenerationError(Exception):
    """protoc refused; what it had to say is already on stderr."""


def _plugin(name: str) -> str:
    """The protoc argument for a plugin installed with this interpreter, whatever PATH says."""
    path = Path(sysconfig.get_path("scripts")) / f"{name}{'.exe' if os.name == 'nt' else ''}"
    if not path.is_file():
        raise GenerationError(f"{path} is missing: install the 'dev' extra")
    return f"--plugin={name}={path}"


def _protoc(arguments: list[str]) -> None:
    plugins = [_plugin("protoc-gen-mypy"), _plugin("protoc-gen-mypy_grpc")]
    status = protoc.main(["protoc", *plugins, *arguments])
    if status != 0:
        raise GenerationError(f"protoc ended with status {status}")


def generate(protos: Path = ROOT) -> dict[Path, bytes]:
    """Generate all stubs in memory.

    Args:
        protos: the root of the proto packages.

    Returns:
        The contents of every stub by its path relative to ``protos``.

    Raises:
        GenerationError: protoc or one of its plugins failed.
    """
    files = sorted(protos.rglob("*.proto"))
    sources = [path.relative_to(protos).as_posix() for path in files]
    services = [
        source for source, path in zip(sources, files, strict=True) if SERVICE.search(path.read_text(encoding="utf-8"))
    ]
    include = [f"--proto_path={protos}", f"--proto_path={resources.files('grpc_tools') / '_proto'}"]
    with tempfile.TemporaryDirectory() as scratch:
        _protoc([*include, f"--python_out={scratch}", f"--mypy_out=quiet:{scratch}", *sources])
        # Only files with a service: for the others these plugins write modules without content. "Concrete": a
        # servicer may leave methods out, which then answer UNIMPLEMENTED, as the generated code does.
        typed = f"--mypy_grpc_out=quiet,generate_concrete_servicer_stubs:{scratch}"
        _protoc([*include, f"--grpc_python_out={scratch}", typed, *services])
        found = sorted(path for pattern in STUB_PATTERNS for path in Path(scratch).rglob(pattern))
        return {path.relative_to(scratch): _compact(path) for path in found}


def _compact(path: Path) -> bytes:
    """A stub without the comments of its .proto, which is packed beside it: half of a stub's bytes in the wheel."""
    if path.suffix != ".pyi":
        return path.read_bytes()
    source = path.read_text(encoding="utf-8")
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        texts = [one for one in body if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)]
        for one in texts if len(texts) < len(body) else ():  # a body of its comment alone keeps it
            if isinstance(one.value, ast.Constant) and isinstance(one.value.value, str):
                left_out.update(range(one.lineno, (one.end_lineno or one.lineno) + 1))
    lines = source.splitlines(keepends=True)
    return "".join(line for number, line in enumerate(lines, 1) if number not in left_out).encode("utf-8")


def stale(stubs: dict[Path, bytes], protos: Path = ROOT) -> list[Path]:
    """Stubs on disk that are missing, differ from ``stubs``, or belong to no .proto file any more."""
    on_disk = {path.relative_to(protos) for pattern in STUB_PATTERNS for path in protos.rglob(pattern)}
    wrong = {path for path, content in stubs.items() if path not in on_disk or (protos / path).read_bytes() != content}
    return sorted(wrong | (on_disk - stubs.keys()))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Write the Python stubs of the contract.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    options = parser.parse_args(arguments)
    try:
        stubs = generate()
    except GenerationError as error:
        print(f"generate: {error}", file=sys.stderr)
        return 2
    wrong = stale(stubs)
    if options.check:
        for path in wrong:
            print(f"stale: protos/{path.as_posix()} (run python protos/generate.py)", file=sys.stderr)
        return 1 if wrong else 0
    for path in wrong:
        if path in stubs:
            (ROOT / path).write_bytes(stubs[path])
            print(f"wrote protos/{path.as_posix()}")
        else:
            (ROOT / path).unlink()
            print(f"removed protos/{path.as_posix()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
