"""What fires each alert: the series of a healthy server, and what is otherwise in each case, for promtool.

A case is healthy for ten minutes, and then what causes its alert begins. promtool compares the set of all firing
alerts before and after: the one fires, and every other is quiet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

WHO = 'job="exalign",instance="a:9464"'
PREDICT = 'grpc_type="unary",grpc_service="exalign.v1.FaceAlignmentService",grpc_method="PredictLandmarks"'

#: Minutes of health before what causes an alert.
HEALTHY = 10


@dataclass(frozen=True)
class Gauge:
    """Stays at a value."""

    value: float


@dataclass(frozen=True)
class Counter:
    """Rises by so much a minute."""

    rate: float


Course = Gauge | Counter


def _bound(setting: str, value: float) -> dict[str, Course]:
    return {f'exalign_limit{{setting="{setting}"}}': Gauge(value)}


#: Of a healthy server under load. Labels of job and instance are added.
HEALTH: dict[str, Course] = {
    "up": Gauge(1),
    'exalign_stuck{where="batch"}': Gauge(0),
    'exalign_stuck{where="stage"}': Gauge(0),
    f"grpc_server_started_total{{{PREDICT}}}": Counter(600),
    f'grpc_server_handled_total{{{PREDICT},grpc_code="OK"}}': Counter(590),
    f'grpc_server_handled_total{{{PREDICT},grpc_code="InvalidArgument"}}': Counter(10),
    f'grpc_server_handled_total{{{PREDICT},grpc_code="Internal"}}': Counter(0),
    f'grpc_server_handling_seconds_bucket{{{PREDICT},le="0.1"}}': Counter(599),
    f'grpc_server_handling_seconds_bucket{{{PREDICT},le="2.5"}}': Counter(600),
    f'grpc_server_handling_seconds_bucket{{{PREDICT},le="+Inf"}}': Counter(600),
    'exalign_frame_latency_seconds_bucket{le="0.1"}': Counter(600),
    'exalign_frame_latency_seconds_bucket{le="1"}': Counter(600),
    'exalign_frame_latency_seconds_bucket{le="+Inf"}': Counter(600),
    'exalign_refused_calls_total{reason="time"}': Counter(6),
    "exalign_calls": Gauge(10),
    "exalign_queue_depth": Gauge(4),
    "exalign_request_bytes": Gauge(1e6),
    'exalign_decoded_bytes{state="held"}': Gauge(2e6),
    "exalign_backlog_seconds": Gauge(0.2),
    'exalign_sessions{state="active"}': Gauge(20),
    'exalign_sessions{state="detached"}': Gauge(1),
    **_bound("queue", 128),
    **_bound("max_request_bytes", 268_435_456),
    **_bound("max_decoded_bytes", 268_435_456),
    **_bound("max_wait", 5),
    **_bound("max_sessions", 128),
    **_bound("max_detached", 256),
    "process_open_fds": Gauge(50),
    "process_max_fds": Gauge(1024),
    "process_start_time_seconds": Gauge(-86_400),
    "process_resident_memory_bytes": Gauge(5.5e8),
    'exalign_sessions_dropped_total{reason="no_room"}': Counter(0),
    'exalign_access_denied_total{reason="forged"}': Counter(1),
    'exalign_undecodable_pictures_total{method="PredictLandmarks"}': Counter(10),
    'exalign_stage_seconds_count{stage="decode",method="PredictLandmarks"}': Counter(590),
    'exalign_runtime_faults_total{kind="raised"}': Counter(0),
    'exalign_decoder_failures_total{reason="cpu_time"}': Counter(0.1),
    "exalign_descriptors_exhausted_total": Counter(0),
    'exalign_clock_jumps_total{direction="backward"}': Counter(0),
    "exalign_log_lines_lost_total": Counter(0),
    "exalign_tables_not_kept": Gauge(0),
    'exalign_recordings_stopped_total{reason="disk"}': Counter(0),
    'exalign_recordings_stopped_total{reason="bound"}': Counter(0),
    "exalign_certificate_expires_seconds": Gauge(90 * 86_400),
    "exalign_certificate_expired": Gauge(0),
    'exalign_reloads_total{what="tokens",result="refused"}': Counter(0),
    'exalign_reloads_total{what="tokens",result="used"}': Counter(1),
    'exalign_swaps_total{result="refused"}': Counter(0),
    'exalign_swaps_total{result="used"}': Counter(0.1),
    "exalign_bundle_missing": Gauge(0),
    "exalign_store_up": Gauge(1),
    'exalign_checkpoints_total{outcome="written"}': Counter(600),
    'exalign_checkpoints_total{outcome="failed"}': Counter(0),
    'exalign_checkpoints_total{outcome="fenced"}': Counter(1),
    "exalign_sessions_behind": Gauge(0),
    'exalign_presence_sum{method="PredictLandmarks"}': Counter(570),
    'exalign_presence_count{method="PredictLandmarks"}': Counter(600),
    'exalign_presence_bucket{method="PredictLandmarks",le="0.5"}': Counter(12),
    'exalign_model_coverage_ratio{group="jaw",nominal="0.9"}': Gauge(0.896),
    'exalign_model_pose_coverage_ratio{angle="yaw",nominal="0.9"}': Gauge(0.883),
}


@dataclass(frozen=True)
class Case:
    """One cause.

    Attributes:
        alert: that fires, alone.
        cause: series that go another way after `HEALTHY` minutes.
        within: minutes after which it has fired.
        healthy: minutes before.
        quiet_at: minutes after the cause when it must not have fired yet: its "for" lasts.
    """

    alert: str
    cause: dict[str, Course]
    within: int = 3
    healthy: int = HEALTHY
    quiet_at: tuple[int, ...] = field(default=())


_HANDLED = f"grpc_server_handled_total{{{PREDICT}"
_SECONDS = f"grpc_server_handling_seconds_bucket{{{PREDICT}"

CASES = (
    Case("ExalignDown", {"up": Gauge(0)}),
    Case("ExalignStuck", {'exalign_stuck{where="batch"}': Gauge(1)}),
    Case("ExalignFaults", {_HANDLED + ',grpc_code="Internal"}': Counter(30)}, 8),
    Case("ExalignRefusing", {'exalign_refused_calls_total{reason="time"}': Counter(60)}, 15, quiet_at=(2,)),
    Case("ExalignSlowCalls", {_SECONDS + ',le="0.1"}': Counter(300)}, 20, quiet_at=(5,)),
    Case("ExalignSlowFrames", {'exalign_frame_latency_seconds_bucket{le="0.1"}': Counter(300)}, 20, quiet_at=(5,)),
    Case("ExalignNearBound", {"exalign_calls": Gauge(120)}, 8, quiet_at=(3,)),
    Case("ExalignNearBound", {"exalign_queue_depth": Gauge(120)}, 8),
    Case("ExalignNearBound", {"exalign_request_bytes": Gauge(2.6e8)}, 8),
    Case("ExalignNearBound", {'exalign_decoded_bytes{state="held"}': Gauge(2.6e8)}, 8),
    Case("ExalignNearBound", {"exalign_backlog_seconds": Gauge(4.5)}, 8),
    Case("ExalignNearBound", {'exalign_sessions{state="active"}': Gauge(127)}, 8),
    Case("ExalignNearBound", {'exalign_sessions{state="detached"}': Gauge(250)}, 8),
    Case("ExalignNearBound", {"process_open_fds": Gauge(1000)}, 8),
    Case("ExalignSessionsLost", {'exalign_sessions_dropped_total{reason="no_room"}': Counter(1)}),
    Case("ExalignDenied", {'exalign_access_denied_total{reason="forged"}': Counter(200)}, 14),
    Case(
        "ExalignUndecodable", {'exalign_undecodable_pictures_total{method="PredictLandmarks"}': Counter(300)}, 20,
        quiet_at=(5,)),
    Case("ExalignRuntimeFaults", {'exalign_runtime_faults_total{kind="raised"}': Counter(1)}),
    Case("ExalignDecodersFail", {'exalign_decoder_failures_total{reason="cpu_time"}': Counter(2)}),
    Case("ExalignRestarts", {"process_start_time_seconds": Counter(61)}),
    Case("ExalignMemoryGrows", {"process_resident_memory_bytes": Gauge(9e8)}, 90, healthy=60, quiet_at=(30,)),
    Case("ExalignDescriptorsExhausted", {"exalign_descriptors_exhausted_total": Counter(1)}),
    Case("ExalignClockJumped", {'exalign_clock_jumps_total{direction="backward"}': Counter(1)}),
    Case("ExalignDiskFull", {"exalign_log_lines_lost_total": Counter(1)}),
    Case("ExalignDiskFull", {'exalign_recordings_stopped_total{reason="disk"}': Counter(1)}),
    Case("ExalignDiskFull", {"exalign_tables_not_kept": Gauge(1)}),
    Case("ExalignRecordingsStopped", {'exalign_recordings_stopped_total{reason="bound"}': Counter(1)}),
    Case("ExalignCertificateEnds", {"exalign_certificate_expires_seconds": Gauge(13 * 86_400)}),
    Case("ExalignCertificateEnded", {"exalign_certificate_expired": Gauge(1)}),
    Case("ExalignReloadRefused", {'exalign_reloads_total{what="tokens",result="refused"}': Counter(1)}),
    Case("ExalignSwapRefused", {'exalign_swaps_total{result="refused"}': Counter(1)}),
    Case("ExalignBundleMissing", {"exalign_bundle_missing": Gauge(1)}, 8, quiet_at=(3,)),
    Case("ExalignStoreAway", {"exalign_store_up": Gauge(0)}),
    Case("ExalignCheckpointsFail", {'exalign_checkpoints_total{outcome="failed"}': Counter(1)}, 5),
    Case("ExalignSessionsBehind", {"exalign_sessions_behind": Gauge(3)}, 6),
    Case(
        "ExalignPresenceDrifts", {'exalign_presence_sum{method="PredictLandmarks"}': Counter(300)}, 80, healthy=300,
        quiet_at=(10,)),
    Case("ExalignCoverageOff", {'exalign_model_coverage_ratio{group="jaw",nominal="0.9"}': Gauge(0.8)}),
    Case("ExalignCoverageOff", {'exalign_model_pose_coverage_ratio{angle="yaw",nominal="0.9"}': Gauge(0.99)}),
)  # fmt: skip


def _values(healthy: Course, then: Course, before: int, after: int) -> str:
    """In promtool's notation, one value a minute; ``a+bxn`` are n + 1 of them."""
    if isinstance(healthy, Gauge):
        first, at = f"{healthy.value:.12g}+0x{before}", healthy.value
    else:
        first, at = f"0+{healthy.rate:.12g}x{before}", healthy.rate * before
    if isinstance(then, Gauge):
        return f"{first} {then.value:.12g}+0x{after}"
    return f"{first} {at + then.rate:.12g}+{then.rate:.12g}x{after}"


def _named(series: str) -> str:
    name, _, labels = series.rstrip("}").partition("{")
    return f"{name}{{{','.join(filter(None, (WHO, labels)))}}}"


def _looked_at(minute: int, *alerts: str) -> dict[str, Any]:
    fire = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in alerts]
    expr = 'group by (alertname) (ALERTS{alertstate="firing"})'
    return {"expr": expr, "eval_time": f"{minute}m", "exp_samples": fire}


def _test(case: Case) -> dict[str, Any]:
    series = []
    for name, healthy in HEALTH.items():
        then = case.cause.get(name, healthy)
        series.append({"series": _named(name), "values": _values(healthy, then, case.healthy, case.within + 1)})
    quiet = (case.healthy, *(case.healthy + minute for minute in case.quiet_at))
    looks = [_looked_at(minute) for minute in quiet] + [_looked_at(case.healthy + case.within, case.alert)]
    return {"interval": "1m", "name": case.alert, "input_series": series, "promql_expr_test": looks}


def promtool_file(rules: str) -> str:
    """What ``promtool test rules`` reads.

    Args:
        rules: path of the rules.
    """
    for case in CASES:
        assert set(case.cause) <= set(HEALTH), case
    whole = {"rule_files": [rules], "evaluation_interval": "1m", "tests": [_test(case) for case in CASES]}
    return yaml.safe_dump(whole, sort_keys=False, width=200)
