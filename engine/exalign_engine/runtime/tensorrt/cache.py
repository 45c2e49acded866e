"""Engines on disk, by everything that they depend on.

An engine holds for one network, GPU model, TensorRT version and set of options. Its file states all of them and its
own SHA-256, and is read back only if every word is right; anything else is built anew. Plans are not the same bytes
twice, so that the key is made of what goes in.

    EXALIGN-ENGINE 1 ⏎ {"key": {…}, "sha256": "…", "size": n} ⏎ plan
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from exalign.output_files import replacing
from exalign_engine.runtime.tensorrt.errors import EngineFileError

_log = logging.getLogger(__name__)

_MAGIC = b"EXALIGN-ENGINE 1\n"

#: A header is a few hundred bytes; a file without a line break must not be read whole to find that out.
_MAX_HEADER = 16 * 1024


@dataclass(frozen=True)
class EngineKey:
    """What an engine depends on.

    Attributes:
        bundle: id of the bundle, or empty for a network by itself.
        onnx: SHA-256 of the ONNX that was given to TensorRT.
        module: "tensorrt" or "tensorrt_rtx".
        version: of it.
        gpu: name of the model; empty for an engine that is not bound to one.
        compute_capability: such as "9.0"; empty likewise.
        precision: one of `precisions.PRECISIONS`.
        max_batch: of the profile.
        opt_batch: of the profile.
        workspace: bytes.
        optimization_level: of the builder.
        hardware_compatible: for every GPU from Ampere on.
        compute_capabilities: that TensorRT-RTX compiled for, with commas.
    """

    bundle: str
    onnx: str
    module: str
    version: str
    gpu: str
    compute_capability: str
    precision: str
    max_batch: int
    opt_batch: int
    workspace: int
    optimization_level: int
    hardware_compatible: bool
    compute_capabilities: str

    @property
    def file_name(self) -> str:
        """Name of the engine's file: a few words for people, and a digest of the whole key."""
        text = json.dumps(asdict(self), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        return f"{self.module}-{self.precision}-b{self.max_batch}-{digest}.engine"


class EngineCache:
    """A directory of engines, which several processes may share.

    Args:
        directory: made when something is stored.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, key: EngineKey) -> Path:
        """Where the engine of a key is, if it is."""
        return self.directory / key.file_name

    def load(self, key: EngineKey) -> bytes | None:
        """The engine's plan; None if there is none, or none that can be trusted (the log says why)."""
        path = self.path(key)
        if not path.exists():
            return None
        try:
            return read_engine(path, key)
        except EngineFileError as e:
            _log.warning("%s; it is built anew", e)
            return None

    def store(self, key: EngineKey, plan: bytes) -> Path:
        """Write an engine, whole or not at all.

        Raises:
            EngineFileError: the directory cannot be written.
        """
        path = self.path(key)
        write_engine(path, key, plan)
        return path

    def timing_cache(self, key: EngineKey) -> Path:
        """Where TensorRT's measurements on this GPU are kept, between engines of one version."""
        kind = hashlib.sha256(f"{key.module} {key.version} {key.gpu} {key.compute_capability}".encode()).hexdigest()
        return self.directory / f"timing-{kind[:16]}.cache"

    @contextlib.contextmanager
    def lock(self, key: EngineKey) -> Iterator[None]:
        """Hold the right to build this engine; another process that wants it waits, and then finds it built.

        Raises:
            EngineFileError: the directory cannot be written.
        """
        path = self.path(key).with_suffix(".lock")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            handle = path.open("wb")
        except OSError as e:
            raise EngineFileError(f"its directory cannot be written: {e.strerror}", self.directory) from e
        # The lock goes with the process that holds it, however it ends. The file stays: removing it would let a
        # waiting process and a new one each hold a lock of their own.
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def write_engine(path: Path, key: EngineKey, plan: bytes) -> None:
    """Write an engine's file, whole or not at all.

    Raises:
        EngineFileError: it cannot be written.
    """
    header = {"key": asdict(key), "sha256": hashlib.sha256(plan).hexdigest(), "size": len(plan)}
    write_whole(path, _MAGIC + json.dumps(header, sort_keys=True).encode() + b"\n" + plan)


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file in one step.

    Raises:
        EngineFileError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, partial.open("wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
    except OSError as e:
        raise EngineFileError(f"cannot be written: {e.strerror}", path) from e


def read_engine(path: Path, key: EngineKey) -> bytes:
    """Read an engine's file and check every word of it.

    Raises:
        EngineFileError: it cannot be read, is damaged, or was built for something else (the message says what).
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise EngineFileError(f"cannot be read: {e.strerror}", path) from e
    end = data.find(b"\n", len(_MAGIC), len(_MAGIC) + _MAX_HEADER)
    if not data.startswith(_MAGIC) or end < 0:
        raise EngineFileError("is no engine of this version", path)
    try:
        header = json.loads(data[len(_MAGIC) : end])
        found, digest, size = header["key"], header["sha256"], header["size"]
    except (ValueError, KeyError, TypeError) as e:
        raise EngineFileError("has a damaged header", path) from e
    wanted = asdict(key)
    if found != wanted:
        differing = [name for name in wanted if not isinstance(found, dict) or found.get(name) != wanted[name]]
        raise EngineFileError(f"was built for another {' and '.join(differing) or 'kind of engine'}", path)
    plan = data[end + 1 :]
    if len(plan) != size:
        raise EngineFileError(f"has {len(plan)} bytes of plan, its header says {size}: it was cut off", path)
    if hashlib.sha256(plan).hexdigest() != digest:
        raise EngineFileError("does not have the SHA-256 that its header states", path)
    return plan
