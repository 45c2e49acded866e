"""`make go`: the Go caller of examples/go is generated, compiled, and asks a real server.

    python tests/integrations/go/build_and_call.py [--dir out/go]

Debian's Go, gRPC and generators are downloaded by apt and unpacked below --dir, where nothing is installed. What the
program prints must be what our client says, and a wrong picture the server's own words.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / room) for room in ("protos", "engine", "service", "clients")]

from exalign_client import Client, local_server

#: What Debian has of it: the compiler, the packages that the stubs and gRPC import, and both generators.
PACKAGES = (
    "golang-1.19-go", "golang-1.19-src", "golang-google-grpc-dev", "golang-google-protobuf-dev",
    "golang-google-genproto-dev", "golang-github-golang-protobuf-1-5-dev", "golang-golang-x-net-dev",
    "golang-golang-x-sys-dev", "golang-golang-x-text-dev", "protoc-gen-go", "protoc-gen-go-grpc",
)  # fmt: skip

#: The caller, as Go imports it, and its stubs.
MODULE = "github.com/exalign/exalign/examples/go"
STUBS = f"{MODULE}/exalignv1"

PROTOS = ROOT / "protos"


class FailedError(Exception):
    """Something does not do what it should."""


def unpacked(place: Path) -> Path:
    """Debian's packages below a folder.

    Raises:
        FailedError: there is no apt, or it has no such packages.
    """
    target = place / "debian"
    if (target / "complete").exists():
        return target
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise FailedError("Go is taken from Debian's packages, and here is no apt-get")
    target.mkdir(parents=True, exist_ok=True)
    known = subprocess.run(["apt-cache", "show", *PACKAGES], capture_output=True, check=False)
    if known.returncode:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
    subprocess.run(["apt-get", "download", "-qq", *PACKAGES], cwd=target, check=True)
    for package in sorted(target.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(package), str(target)], check=True)
        package.unlink()
    (target / "complete").touch()
    return target


def generate(debian: Path, into: Path) -> None:
    """The stubs, by Debian's generators and the protoc of grpcio-tools.

    Raises:
        FailedError: protoc fails.
    """
    names = sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / "exalign" / "v1").glob("*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}"]
    command += [f"-I{resources.files('grpc_tools').joinpath('_proto')}"]
    for kind in ("go", "go-grpc"):
        command += [f"--plugin=protoc-gen-{kind}={debian / 'usr/bin' / f'protoc-gen-{kind}'}"]
        command += [f"--{kind}_out={into}", *(f"--{kind}_opt=M{name}={STUBS}" for name in names)]
    done = subprocess.run([*command, *names], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FailedError(f"protoc: {done.stderr.strip()}")


def build(debian: Path, place: Path) -> Path:
    """The compiled program.

    Raises:
        FailedError: it is not formatted as gofmt does, or does not compile.
    """
    sources = place / "work" / "src"
    shutil.rmtree(sources, ignore_errors=True)
    (sources / MODULE).mkdir(parents=True)
    generate(debian, sources)
    root = debian / "usr" / "lib" / "go-1.19"
    for path in (ROOT / "examples" / "go").glob("*.go"):
        shutil.copy(path, sources / MODULE)
        said = subprocess.run([str(root / "bin/gofmt"), "-l", str(path)], capture_output=True, text=True, check=True)
        if said.stdout:
            raise FailedError(f"{path.name} is not formatted: gofmt -w")
    paths = os.pathsep.join([str(place / "work"), str(debian / "usr/share/gocode")])
    environ = {**os.environ, "GOROOT": str(root), "GOPATH": paths, "GOCACHE": str(place / "cache")}
    environ |= {"GO111MODULE": "off", "CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    for what in (["vet"], ["build", "-o", str(place / "predict")]):
        done = subprocess.run(
            [str(root / "bin/go"), *what, MODULE], env=environ, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise FailedError(f"go {what[0]}: {done.stderr.strip()}")
    return place / "predict"


def call(program: Path, place: Path) -> str:
    """What the program prints about a face.

    Raises:
        FailedError: it is not what our client says.
    """
    from skimage import data

    photo = place / "astronaut.jpg"
    cv2.imwrite(str(photo), data.astronaut()[..., ::-1])
    with local_server(tcp=True, startup_timeout=600) as server:
        command = [str(program), "-server", server.address]
        done = subprocess.run([*command, str(photo)], capture_output=True, text=True, timeout=300, check=False)
        wrong = subprocess.run(
            [*command, str(Path(__file__))], capture_output=True, text=True, timeout=300, check=False
        )
        with Client(server.address, timeout=300) as client:
            (face,) = client.predict(photo)
    if done.returncode:
        raise FailedError(f"the program ended with {done.returncode}: {done.stderr}")
    found = re.findall(r"landmark (\d+) at \(([\d.]+), ([\d.]+)\), confidence ([\d.]+)", done.stdout)
    order = [int(n) for n, *_ in found]
    if order != np.argsort(face.confidences, kind="stable")[:5].tolist():
        raise FailedError(f"other landmarks are the least certain: {done.stdout}")
    apart = np.abs(np.array([[float(x), float(y)] for _, x, y, _ in found]) - face.landmarks[order]).max()
    if apart > 0.06:  # one decimal is printed
        raise FailedError(f"{apart:.2f} px from our client: {done.stdout}")
    if wrong.returncode == 0 or "InvalidArgument" not in wrong.stderr or "image" not in wrong.stderr:
        raise FailedError(f"a file that is no picture: {wrong.returncode}, {wrong.stderr}")
    return done.stdout


def main() -> int:
    """Unpack, generate, compile, call; 1 where anything is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=ROOT / "out" / "go", help="folder, kept (default: out/go)")
    place = parser.parse_args().dir.resolve()
    place.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    try:
        debian = unpacked(place)
        unpacking = time.monotonic() - began
        program = build(debian, place)
        building = time.monotonic() - began - unpacking
        print(call(program, place), end="")
    except FailedError as error:
        print(f"WRONG: {error}", file=sys.stderr)
        return 1
    print(f"go: unpacked in {unpacking:.0f} s, built in {building:.0f} s, all {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
