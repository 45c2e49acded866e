"""The server's settings as one typed, frozen value. Where they come from is `sources`' concern."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from exalign_engine.detect import DEFAULT_DETECTOR, DETECTORS
from exalign_engine.runtime import PRECISIONS, runtime_names
from exalign_engine.settings import ConfigError, Family, Problem, Rule, check
from exalign_service.config.access import AccessConfig
from exalign_service.config.ports import port_problems
from exalign_service.config.recording import RecordingConfig
from exalign_service.config.stores import StoreConfig
from exalign_service.config.traces import TracesConfig

__all__ = [
    "AccessConfig",
    "BatchingConfig",
    "ConfigError",
    "LimitsConfig",
    "ModelConfig",
    "RecordingConfig",
    "ServerConfig",
    "SessionsConfig",
    "StoreConfig",
    "TracesConfig",
    "WatchingConfig",
]

LOG_LEVELS = ("debug", "info", "warning", "error")

_HOST_PORT = r"(?:\[[0-9A-Fa-f:.%]+\]|[^:/\s]+):(?:\d{1,4}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5])"
_ADDRESS = (rf"unix:/\S+|{_HOST_PORT}", "HOST:PORT (port 0 to 65535; 0 picks one) or unix:/PATH")
_MODEL_NAME = (r"[A-Za-z0-9._-]{1,100}", "1 to 100 letters, digits, points, lines and underscores")
_METRICS_ADDRESS = (_HOST_PORT, "HOST:PORT (port 0 to 65535; 0 picks one)")


def _detector_models() -> Iterator[tuple[str, str, Rule]]:
    """A setting for the model file of each detector that needs one."""
    for spec in DETECTORS:
        if spec.model is not None:
            yield spec.name, spec.model_setting, Rule(spec.model)


@dataclass(frozen=True)
class ModelConfig:
    """Which model answers, and what finds faces for it.

    ``detector_models`` holds model files by name of the detector; each is a setting of its own.
    """

    bundle: Annotated[Path | None, Rule("directory of the bundle; not set: that of exalign-model-143k")] = None
    bundle_directory: Annotated[
        Path | None,
        Rule("directory of bundles; its link `current`, where there is one, names that which answers, also later"),
    ] = None
    max_live_bundles: Annotated[
        int, Rule("bundles in memory at once: one that answers, and others whose sessions go on", least=2, most=256)
    ] = 2
    runtime: Annotated[str, Rule("what executes the network", choices=runtime_names)] = "auto"
    precision: Annotated[
        str,
        Rule(
            "precision of the network; fp32 and fp16 (TensorRT only) of an int8 bundle are derived from its weights",
            choices=PRECISIONS,
        ),
    ] = "auto"
    sums: Annotated[str, Rule("with TensorRT, who sums the moments over the exemplars", choices=("host", "device"))] = (
        "host"
    )
    engine_cache: Annotated[
        Path | None, Rule("directory where TensorRT engines are kept; not set: ~/.cache/exalign/engines")
    ] = None
    detector: Annotated[
        str | None,
        Rule(
            f"detector used when a request names none; not set: {DEFAULT_DETECTOR}, or the first that the bundle knows",
            choices=DETECTORS.names,
        ),
    ] = None
    detector_models: Annotated[Mapping[str, Path], Family(_detector_models)] = field(default_factory=dict)
    model_name: Annotated[str, Rule("name of the model in the Open Inference Protocol", pattern=_MODEL_NAME)] = (
        "exalign"
    )
    presence_threshold: Annotated[
        float | None, Rule("presence from which a face counts as there; not set: the bundle's", least=0.0, most=1.0)
    ] = None

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class BatchingConfig:
    """How the network and the stages around it share the machine."""

    network_calls: Annotated[int, Rule("calls of the network that may run at once", least=1, most=256)] = 2
    threads: Annotated[int, Rule("threads of one call of the network", least=1, most=256)] = 1
    max_batch: Annotated[int, Rule("faces in one call of the network", least=1, most=256)] = 4
    queue: Annotated[int, Rule("calls in progress, and faces that wait for the network", least=1, most=65_536)] = 128
    decode_processes: Annotated[
        int, Rule("processes that decode pictures that take long; one caller has half", least=1, most=64)
    ] = 2
    stage_threads: Annotated[int, Rule("threads that decode, detect, crop and read posteriors", least=1, most=256)] = 2

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class LimitsConfig:
    """What a request may ask for."""

    max_message_bytes: Annotated[int, Rule("largest request message, bytes", least=1024, most=2**31 - 1)] = (
        8 * 1024 * 1024 + 64 * 1024
    )
    max_answer_bytes: Annotated[
        int, Rule("largest answer, bytes; what would be larger is refused before it is computed", 1, 2**31 - 1)
    ] = 64 * 1024 * 1024
    max_encoded_bytes: Annotated[int, Rule("largest encoded image, bytes", least=1, most=2**31 - 1)] = 8 * 1024 * 1024
    max_pixels: Annotated[int, Rule("largest image, width × height", least=1, most=89_478_485)] = 40_000_000
    max_decode_seconds: Annotated[
        float,
        Rule(
            "CPU time of decoding a picture, seconds; estimated from its file, then measured", least=0.001, most=3600.0
        ),
    ] = 5.0
    max_decoded_bytes: Annotated[
        int,
        Rule("memory for decoded pictures of all calls, bytes; one caller has half, but always one picture", 1, 2**40),
    ] = 256 * 1024 * 1024
    max_faces: Annotated[int, Rule("faces in one call, given or detected", least=1, most=1024)] = 64
    max_landmark_groups: Annotated[int, Rule("landmark groups in one call", least=0, most=1024)] = 16
    max_top_exemplars: Annotated[int, Rule("exemplars named in one answer", least=0, most=10_000)] = 100
    max_exemplars: Annotated[int, Rule("class ids in one GetExemplars call", least=1, most=100_000)] = 1000
    max_posteriors: Annotated[int, Rule("posteriors kept behind posterior ids; 0: none", least=0, most=1_000_000)] = 256
    max_posterior_bytes: Annotated[
        int,
        Rule(
            "memory for them, bytes, half of it for those used last, which then need no network; what several share is"
            " counted for each",
            least=1,
            most=2**40,
        ),
    ] = 12 * 1024 * 1024
    max_request_bytes: Annotated[
        int, Rule("requests of the calls in progress together, bytes; shared between callers", 1024, 2**40)
    ] = 256 * 1024 * 1024
    max_wait: Annotated[
        float, Rule("a call that would be answered later than so is refused at once, seconds", 0.001, 3600.0)
    ] = 5.0
    max_deadline: Annotated[float, Rule("longest time of a unary call, seconds", least=0.001, most=3600.0)] = 30.0

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class SessionsConfig:
    """How many video sessions there may be, how long each may last, and what is kept of broken ones."""

    max_sessions: Annotated[int, Rule("video sessions at once", least=0, most=65_536)] = 128
    caller_share: Annotated[
        float, Rule("share of max_sessions, and of max_detached_bytes, that one caller may have", above=0.0, most=1.0)
    ] = 0.5
    max_unacked_frames: Annotated[
        int, Rule("results kept for a client that does not acknowledge; then no more frames are taken", 1, 1024)
    ] = 64
    max_unacked_bytes: Annotated[
        int, Rule("bytes of such results from which no more frames are taken; the last may pass it", 1, 2**40)
    ] = 16 * 1024 * 1024
    max_unacked_bytes_per_caller: Annotated[
        int, Rule("the same of all streams of one caller together, where more than one of them keeps any", 1, 2**40)
    ] = 256 * 1024 * 1024
    max_message_rate: Annotated[
        float, Rule("messages of one stream that are read in a second, after a burst", least=0.1, most=1_000_000.0)
    ] = 250.0
    message_burst: Annotated[
        int, Rule("messages of one stream that are read as fast as they come", least=1, most=1_000_000)
    ] = 500
    session_idle_timeout: Annotated[
        float, Rule("a session that sends nothing for so long is ended, seconds", least=0.01, most=86_400.0)
    ] = 60.0
    session_max_age: Annotated[
        float, Rule("a stream is told to move on after so long, seconds", least=0.01, most=2_592_000.0)
    ] = 3600.0
    session_grace: Annotated[
        float, Rule("time that a stream has to move on when its age is reached, seconds", least=0.0, most=3600.0)
    ] = 10.0
    session_retention: Annotated[
        float, Rule("how long the state of a broken stream is kept to be resumed, seconds", least=0.0, most=86_400.0)
    ] = 60.0
    max_detached: Annotated[int, Rule("broken streams of which the state is kept", least=0, most=1_000_000)] = 256
    max_detached_bytes: Annotated[int, Rule("memory for the states of broken streams, bytes", least=0, most=2**40)] = (
        256 * 1024 * 1024
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def max_sessions_per_caller(self) -> int:
        """Video sessions that one caller may have at once."""
        return min(max(1, int(self.caller_share * self.max_sessions)), self.max_sessions)

    @property
    def max_resumable_bytes(self) -> int:
        """Largest state of a broken stream that is kept, bytes."""
        return int(self.caller_share * self.max_detached_bytes)


@dataclass(frozen=True)
class WatchingConfig:
    """How the server watches itself."""

    stuck_after: Annotated[
        float,
        Rule("a stage or a batch that runs for so long is stuck: NOT_SERVING until it ends, seconds", 0.01, 3600.0),
    ] = 8.0
    max_runtime_faults: Annotated[
        int, Rule("failures of the network in a row after which a crop of the server's own decides", 1, 10_000)
    ] = 5
    restart_after: Annotated[
        float, Rule("with several processes, one that is not serving for so long is replaced, seconds", 0.1, 86_400.0)
    ] = 20.0

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class ServerConfig:
    """Everything that can be set about a server.

    Raises:
        ConfigError: names every setting that is wrong, with its value and the limit.
    """

    address: Annotated[str, Rule("where gRPC is served", pattern=_ADDRESS)] = "127.0.0.1:50051"
    metrics_address: Annotated[
        str, Rule("where /metrics, /healthz and /readyz are served", pattern=_METRICS_ADDRESS)
    ] = "127.0.0.1:9464"
    processes: Annotated[
        int, Rule("server processes; each has the next port up of address and of metrics_address", least=1, most=256)
    ] = 1
    log_level: Annotated[str, Rule("least severe log lines that are written", choices=LOG_LEVELS)] = "info"
    shutdown_grace: Annotated[
        float, Rule("time that running calls have to finish after SIGTERM, seconds", least=0.0, most=3600.0)
    ] = 10.0
    model: ModelConfig = field(default_factory=ModelConfig)
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    sessions: SessionsConfig = field(default_factory=SessionsConfig)
    watching: WatchingConfig = field(default_factory=WatchingConfig)
    access: AccessConfig = field(default_factory=AccessConfig)
    traces: TracesConfig = field(default_factory=TracesConfig)
    recording: RecordingConfig = field(default_factory=RecordingConfig)
    stores: StoreConfig = field(default_factory=StoreConfig)

    def __post_init__(self) -> None:
        check(self)
        problems: list[Problem] = []
        if self.batching.queue < self.limits.max_faces:
            text = f"queue is {self.batching.queue}, must be at least max_faces = {self.limits.max_faces}"
            problems.append(Problem(("queue", "max_faces"), text))
        if self.limits.max_message_bytes < self.limits.max_encoded_bytes:
            text = (
                f"max_message_bytes is {self.limits.max_message_bytes}, "
                f"must be at least max_encoded_bytes = {self.limits.max_encoded_bytes}"
            )
            problems.append(Problem(("max_message_bytes", "max_encoded_bytes"), text))
        spec = None if self.model.detector is None else DETECTORS.get(self.model.detector)
        if spec is not None and spec.model is not None and spec.name not in self.model.detector_models:
            text = f"detector is {spec.name!r}, must not be without {spec.model_setting}"
            problems.append(Problem(("detector", spec.model_setting), text))
        if self.stores.store is not None and self.access.resume_keys is None:
            text = "store is set, must not be without resume_keys: servers must take each other's tokens"
            problems.append(Problem(("store", "resume_keys"), text))
        problems += port_problems(self.address, self.metrics_address, self.processes)
        if problems:
            raise ConfigError(problems)
