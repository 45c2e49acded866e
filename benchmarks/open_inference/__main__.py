"""Ask our server by tritonclient, then load it with perf_analyzer; see `benchmarks.open_inference`."""

from __future__ import annotations

import argparse
import base64
import csv
import json
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.machine import machine
from benchmarks.open_inference import __doc__ as about
from benchmarks.open_inference.environments import CLIENT, HERE, perf_analyzer
from benchmarks.server_process import ServerProcess, server_process
from benchmarks.serving import BOX, photograph
from google.protobuf.descriptor import Descriptor

from exalign.open_inference import inference_pb2
from exalign_client import Client

#: perf_analyzer looks at so many windows at least, and no more here; a minute is divided among them.
WINDOWS = 3

#: What is in KServe's contract and not in tritonclient's: a field, and the message that a map is made of.
ONLY_KSERVE = ("inference.ModelMetadataResponse.properties", "inference.ModelMetadataResponse.PropertiesEntry.")


class WrongError(Exception):
    """A client was not answered as it must be."""


@dataclass(frozen=True)
class Load:
    """What perf_analyzer did.

    Attributes:
        seconds: that it loaded the server for, at least.
        concurrency: calls at once.
        answered: calls that the server has answered.
        failed: calls that it has ended with another status, whatever it was.
        calls_per_second: as perf_analyzer says.
        p50_ms: likewise.
        p99_ms: likewise.
        cpu_ms: of the server, a call, from the start of perf_analyzer to its end.
    """

    seconds: float
    concurrency: int
    answered: int
    failed: int
    calls_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


def infer(server: ServerProcess, picture: bytes, folder: Path) -> dict[str, Any]:
    """Ask by tritonclient, and compare.

    Raises:
        WrongError: something is not as our own client sees it.
    """
    file = folder / "photo.jpg"
    file.write_bytes(picture)
    command = [str(CLIENT.ready()), str(HERE / "client_worker.py"), server.address, str(file), *map(str, BOX)]
    said: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=120).stdout)
    with Client(server.address) as client:
        (face,), bundle = client.predict(picture, [BOX]), client.model().bundle_id
    if not (said["live"] and said["ready"] and said["model_ready"]) or said["version"] != bundle:
        raise WrongError(f"the server says of itself {said}")
    for name, own in (("landmarks", face.landmarks), ("covariances", face.covariances)):
        if not np.array_equal(np.float32(said["outputs"][name][0]), np.float32(own)):
            raise WrongError(f"{name} differ from those of our own client")
    wrong = strangers(said.pop("messages"))
    if wrong:
        raise WrongError(f"fields that tritonclient does not know so: {', '.join(wrong)}")
    return {key: said[key] for key in ("version", "shapes", "detected", "nobody")}


def strangers(theirs: dict[str, list[list[Any]]]) -> list[str]:
    """Fields of our contract that tritonclient's messages have not, or have otherwise."""
    wrong = []
    for name, ours in own_messages().items():
        found = {tuple(field) for field in theirs.get(name, [])}
        wrong += [f"{name}.{field[0]}" for field in ours if field not in found]
    return [name for name in wrong if not name.startswith(ONLY_KSERVE)]


def own_messages() -> dict[str, list[tuple[str, int, int, bool]]]:
    """The fields of each message of our contract: name, number, type, whether repeated."""
    found: dict[str, list[tuple[str, int, int, bool]]] = {}
    for message in inference_pb2.DESCRIPTOR.message_types_by_name.values():
        found |= _fields(message)
    return found


def _fields(message: Descriptor) -> dict[str, list[tuple[str, int, int, bool]]]:
    found = {message.full_name: [(f.name, f.number, f.type, f.is_repeated) for f in message.fields]}
    for nested in message.nested_types:
        found |= _fields(nested)
    return found


def load(server: ServerProcess, picture: bytes, seconds: float, concurrency: int, folder: Path) -> tuple[Load, str]:
    """Have perf_analyzer load the server; what it wrote comes second.

    Raises:
        WrongError: it ended with an error, or the server counted one.
    """
    values = base64.b64encode(len(picture).to_bytes(4, "little") + picture).decode()
    inputs, table = folder / "inputs.json", folder / "table.csv"
    boxes = {"content": list(BOX), "shape": [1, 4]}
    inputs.write_text(json.dumps({"data": [{"image": {"b64": values}, "boxes": boxes}]}))
    program, environment = perf_analyzer()
    window = str(round(1000 * seconds / WINDOWS))
    command = [str(program), "-m", "exalign", "-i", "grpc", "-u", server.address, "--input-data", str(inputs)]
    command += ["--concurrency-range", str(concurrency), "--measurement-interval", window, "-f", str(table)]
    # Whether figures are stable is for the reader: on a busy machine they never are.
    command += ["--max-trials", str(WINDOWS), "--stability-percentage", "999"]
    before, cpu = handled(server), server.cpu_seconds()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10 * seconds + 60)
    cpu, after = server.cpu_seconds() - cpu, handled(server)
    ended = {code: count - before.get(code, 0) for code, count in after.items()}
    failed = sum(count for code, count in ended.items() if code != "OK")
    if done.returncode or failed:
        raise WrongError(
            f"perf_analyzer ended with {done.returncode}, {failed} calls failed:\n{done.stdout}{done.stderr}"
        )
    with table.open(newline="") as f:
        (row,) = csv.DictReader(f)
    figures = (float(row["Inferences/Second"]), float(row["p50 latency"]) / 1e3, float(row["p99 latency"]) / 1e3)
    return Load(seconds, concurrency, ended["OK"], failed, *figures, 1e3 * cpu / ended["OK"]), done.stdout


def handled(server: ServerProcess) -> dict[str, int]:
    """Calls of ModelInfer that have ended, by status."""
    with urllib.request.urlopen(f"http://{server.metrics_address}/metrics", timeout=60) as page:
        lines = page.read().decode().splitlines()
    found = {}
    for line in lines:
        if line.startswith("grpc_server_handled_total{") and 'grpc_method="ModelInfer"' in line:
            labels, _, count = line.rpartition(" ")
            found[labels.partition('grpc_code="')[2].partition('"')[0]] = round(float(count))
    return found


def main() -> int:
    """Write the result; 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of perf_analyzer (default: %(default)g)")
    parser.add_argument("--concurrency", type=int, default=2, help="its calls at once (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="STEM", help="of .json and .txt; not set: nothing is written")
    args = parser.parse_args()
    where, picture = machine(), photograph()
    print(where)
    with tempfile.TemporaryDirectory() as temporary, server_process(tcp=True) as server:
        folder = Path(temporary)
        try:
            inferred = infer(server, picture, folder)
            print(f"tritonclient: {inferred}", flush=True)
            loaded, output = load(server, picture, args.seconds, args.concurrency, folder)
        except WrongError as e:
            print(e, file=sys.stderr)
            return 1
    print(output, loaded, sep="\n")
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        result = {
            "machine": {**asdict(where), "quiet": where.quiet},
            "tritonclient": inferred,
            "perf_analyzer": asdict(loaded),
        }
        args.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
        args.out.with_suffix(".txt").write_text(f"{where}\n{output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
