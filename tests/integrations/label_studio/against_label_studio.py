"""`make label-studio`: the real Label Studio asks our backend, and a point is moved through its own API.

    python tests/integrations/label_studio/against_label_studio.py [--dir DIR] [--out docs/label-studio.json]

Label Studio is installed into an environment of its own, below --dir (kept there) or in a temporary folder, and started
with SQLite on a free port of this machine. What it stores and answers must be what our client says.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

ROOT = Path(__file__).parents[3]
ROOMS = [str(ROOT / room) for room in ("protos", "engine", "service", "clients", "integrations/label_studio")]
sys.path[:0] = ROOMS

import cv2

from exalign_client import Click, Client, Face, local_server
from exalign_client.formats import FORMATS, labeling_config
from exalign_client.landmarks import NAMES

RELEASE = "label-studio==1.23.2"

#: Seconds: a first start makes the database, which takes minutes on a busy machine.
START_SECONDS = 1800.0

#: Pixels by which stored points may differ: what Label Studio's numbers lose.
MOST = 0.01


class WrongError(Exception):
    """Label Studio saw something else than our client."""


def environment(place: Path) -> Path:
    """The interpreter of Label Studio's environment; it is made where it is not there."""
    python = place / "bin" / "python"
    if not (place / "bin" / "label-studio").exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", RELEASE]
        subprocess.run(pip, check=True)
    return python


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def process(command: list[str], log: Path, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended with the block."""
    with log.open("w") as errors:
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, **more)
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(60)
            except subprocess.TimeoutExpired:
                running.kill()
            if running.stdout is not None:
                running.stdout.close()


@contextmanager
def label_studio(python: Path, folder: Path) -> Iterator[httpx.Client]:
    """Label Studio with an empty database, and calls of its API.

    Raises:
        WrongError: it did not start.
    """
    port, token = free_port(), secrets.token_hex(20)
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "HOST", "PORT")}
    environ |= {"HOME": str(folder), "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true"}
    # It asks no backend on its own machine otherwise, and tells none of events.
    environ |= {"ML_BLOCK_LOCAL_IP": "false", "SSRF_PROTECTION_ENABLED": "false"}
    environ |= {"COLLECT_ANALYTICS": "false", "LATEST_VERSION_CHECK": "false", "SENTRY_DSN": ""}
    log = folder / "label-studio.log"
    command = [str(python.parent / "label-studio"), "start", "--no-browser", "--internal-host", "127.0.0.1"]
    command += ["--port", str(port), "--data-dir", str(folder / "data"), "--enable-legacy-api-token"]
    command += ["--username", "a@example.com", "--password", secrets.token_hex(12), "--user-token", token]
    with log.open("w") as said:
        running = subprocess.Popen(command, stdout=said, stderr=said, env=environ, cwd=folder)
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(
            base_url=url, headers={"authorization": f"Token {token}"}, timeout=300, trust_env=False
        ) as client:
            until, up = time.monotonic() + START_SECONDS, False
            while not up:
                if running.poll() is not None or time.monotonic() > until:
                    raise WrongError(f"Label Studio did not start: {log.read_text()[-600:]}")
                time.sleep(1)
                try:
                    up = client.get("/health").status_code == 200
                except httpx.TransportError:
                    continue
            yield client
    finally:
        running.terminate()
        try:
            running.wait(60)
        except subprocess.TimeoutExpired:
            running.kill()


def said(answer: httpx.Response) -> Any:
    """What the API answered.

    Raises:
        WrongError: it refused.
    """
    if answer.status_code >= 300:
        raise WrongError(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:400]}")
    return answer.json() if answer.content else None


@contextmanager
def our_backend(server: str, studio: httpx.Client, folder: Path) -> Iterator[str]:
    """Our backend with a personal access token of Label Studio's; its address."""
    token = folder / "token.txt"
    token.write_text(said(studio.post("/api/token/", json={}))["token"])
    command = [sys.executable, "-m", "exalign_label_studio.command", "--server", server, "--port", "0"]
    command += ["--label-studio", str(studio.base_url), "--label-studio-token-file", str(token)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOMS)}
    with process(command, folder / "backend.log", env=environ) as running:
        assert running.stdout is not None
        yield "http://" + json.loads(running.stdout.readline())["address"]


def points_of(result: list[dict[str, Any]], folder: Path) -> Any:
    """(68, 2) what a result says of its one face, by our own reader."""
    path = folder / "result.json"
    path.write_text(json.dumps([{"data": {"image": "x"}, "annotations": [{"result": result}]}]))
    (face,) = FORMATS["label-studio"].read(path)[0].faces
    return face.points


def apart(what: str, ours: Any, theirs: Any) -> float:
    """The largest distance, pixels.

    Raises:
        WrongError: it is more than `MOST`.
    """
    worst = float(np.abs(np.asarray(ours) - np.asarray(theirs)).max())
    if worst > MOST:
        raise WrongError(f"{what}: {worst:.3f} px apart")
    return round(worst, 5)


def moved_point(result: list[dict[str, Any]], name: str, by: tuple[float, float], size: tuple[int, int]) -> Any:
    """The region of a landmark after a person has moved it, as Label Studio's page sends it."""
    (region,) = [one for one in result if one["value"].get("keypointlabels") == [name]]
    x, y = region["value"]["x"] + 100 * by[0] / size[0], region["value"]["y"] + 100 * by[1] / size[1]
    return {**region, "value": {**region["value"], "x": x, "y": y}, "origin": "prediction-changed"}


def asked(studio: httpx.Client, backend: str, direct: Client, photo: Path, folder: Path) -> dict[str, Any]:
    """A project, its predictions, a correction and an export; what was seen of each.

    Raises:
        WrongError: Label Studio saw something else than our client.
    """
    project = said(studio.post("/api/projects", json={"title": "faces", "label_config": labeling_config(68)}))["id"]
    with photo.open("rb") as file:
        said(studio.post(f"/api/projects/{project}/import", files={"file": (photo.name, file, "image/png")}))
    connected = {"url": backend, "project": project, "title": "exalign", "is_interactive": True}
    connection = said(studio.post("/api/ml", json=connected))
    state = said(studio.get(f"/api/ml/{connection['id']}"))
    everything = {"selectedItems": {"all": True, "excluded": []}}
    action = {"id": "retrieve_tasks_predictions", "project": project}
    said(studio.post("/api/dm/actions", params=action, json=everything))
    (task,) = said(studio.get("/api/tasks", params={"project": project}))["tasks"]
    (prediction,) = said(studio.get("/api/predictions", params={"task": task["id"]}))
    found = direct.predict(photo)
    (face,) = found
    stored = apart("prediction", face.landmarks, points_of(prediction["result"], folder))

    region = moved_point(prediction["result"], "nose_tip", (9.0, -4.0), found.image_size)
    context = {"task": task["id"], "context": {"result": [region]}}
    corrected = said(studio.post(f"/api/ml/{connection['id']}/interactive-annotating", json=context))
    if corrected.get("errors"):
        raise WrongError(f"interactive annotating: {corrected['errors']}")
    given, interactive = (
        points_of(corrected["data"]["result"], folder),
        compared(direct, face, region, found.image_size),
    )
    others = np.arange(68) != NAMES.index("nose_tip")
    return {
        "connected": {"state": state["readable_state"], "model_version": state["model_version"]},
        "prediction": {
            "regions": len(prediction["result"]),
            "score": prediction["score"],
            "model_version_is_that_of_the_connection": prediction["model_version"] == state["model_version"],
            "worst_px_from_our_client": stored,
        },
        "correction": {
            "moved_px": [9.0, -4.0],
            "regions": len(corrected["data"]["result"]),
            "worst_px_from_our_client": apart("correction", interactive[others], given[others]),
            "moved_point_stayed_px": apart("moved point", interactive[~others], given[~others]),
            "others_moved_px": {
                "mean": round(float(np.linalg.norm(given - face.landmarks, axis=1)[others].mean()), 3),
                "most": round(float(np.linalg.norm(given - face.landmarks, axis=1)[others].max()), 3),
            },
        },
        "export": exported(studio, project, task["id"], corrected["data"]["result"], given, folder),
    }


def compared(direct: Client, face: Face, region: dict[str, Any], size: tuple[int, int]) -> Any:
    """(68, 2) what our client says of the same click, the clicked point where it was put."""
    place = np.array([region["value"]["x"], region["value"]["y"]]) * size / 100 - 0.5
    after = direct.condition(evidence=Click("nose_tip", *place.tolist()), posterior_id=face.posterior_id)
    points = after.face.landmarks.astype(np.float64)
    points[NAMES.index("nose_tip")] = place
    return points


def exported(
    studio: httpx.Client, project: int, task: int, result: list[dict[str, Any]], given: Any, folder: Path
) -> dict[str, Any]:
    """The correction saved as an annotation, and Label Studio's export of it by our reader."""
    said(studio.post(f"/api/tasks/{task}/annotations/", json={"result": result}))
    path = folder / "export.json"
    answer = studio.get(f"/api/projects/{project}/export", params={"exportType": "JSON"})
    said(answer)
    path.write_bytes(answer.content)
    (picture,) = FORMATS["label-studio"].read(path)
    return {
        "faces": len(picture.faces),
        "worst_px_from_the_correction": apart("export", given, picture.faces[0].points),
        "visibility_kept": bool((picture.faces[0].visibility > 0).all()),
    }


def main() -> int:
    """Set up, ask, compare; 1 where Label Studio saw something else."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, help="Label Studio's environment, kept (default: a temporary one)")
    parser.add_argument("--out", type=Path, metavar="JSON", help="where it is written (default: standard output)")
    arguments = parser.parse_args()
    from skimage import data

    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        photo = folder / "astronaut.png"
        cv2.imwrite(str(photo), data.astronaut()[..., ::-1])
        python = environment((arguments.dir or folder / "environment").resolve())
        show = [str(python), "-c", "from importlib.metadata import version as v; print(v('label-studio'))"]
        version = subprocess.run(show, capture_output=True, text=True, check=True).stdout.strip()
        server = stack.enter_context(local_server(startup_timeout=600))
        direct = stack.enter_context(Client(server.address, timeout=300))
        try:
            studio = stack.enter_context(label_studio(python, folder))
            backend = stack.enter_context(our_backend(server.address, studio, folder))
            seen = asked(studio, backend, direct, photo, folder)
        except WrongError as error:
            logs = [folder / name for name in ("label-studio.log", "backend.log") if (folder / name).exists()]
            lines = [line for log in logs for line in log.read_text("utf-8", "replace").splitlines()[-20:]]
            print("\n".join([*lines, f"WRONG: {error}"]), file=sys.stderr)
            return 1
    versions = {"label-studio": version, "python": ".".join(map(str, sys.version_info[:2])), "database": "SQLite"}
    text = json.dumps({"versions": versions, "picture": "scikit-image's astronaut", **seen}, indent=1) + "\n"
    print(text, end="")
    if arguments.out is not None:
        arguments.out.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
