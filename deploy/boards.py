"""The board of an operator: rows of panels, each a title, a unit and its queries, written as Grafana reads them.

python deploy/boards.py            check; exit 1 where deploy/grafana/exalign.json is another
python deploy/boards.py --write    write it

tests/boards asks the real Prometheus every query of it, and `make boards` draws them as docs/board.png.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BOARD = Path(__file__).parent / "grafana" / "exalign.json"

#: What every query is narrowed to: the board's own choices.
CHOSEN = 'job=~"$job",instance=~"$instance"'

#: Methods about faces and models; health and reflection are asked by machines.
OURS = 'grpc_service=~"exalign[.].*|inference[.].*"'

#: Shares that regions state to hold.
NOMINAL = ("0.5", "0.9")

#: Grafana's width, in columns; a panel's size.
COLUMNS, WIDTH, HEIGHT = 24, 8, 7


@dataclass(frozen=True)
class Query:
    """One line of a panel, or several.

    Attributes:
        expr: PromQL; ``%`` stands for what the board is narrowed to.
        legend: of its series.
        needs: the setting without which a server has no such metric; empty: always there.
    """

    expr: str
    legend: str = ""
    needs: str = ""

    @property
    def text(self) -> str:
        """As Grafana sends it, but for its variables."""
        return self.expr.replace("%", CHOSEN)


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: what it shows.
        unit: Grafana's name of it.
        queries: of its lines.
        why: what to read from it.
    """

    title: str
    unit: str
    queries: tuple[Query, ...]
    why: str = ""


def rate(metric: str, by: str, labels: str = "") -> str:
    """Of a counter, a second."""
    inside = ",".join(part for part in ("%", labels) if part)
    return f"sum by ({by}) (rate({metric}{{{inside}}}[$__rate_interval]))"


def quantile(q: float, metric: str, by: str = "", labels: str = "") -> str:
    """Of a histogram."""
    return f"histogram_quantile({q:g}, {rate(f'{metric}_bucket', f'le, {by}' if by else 'le', labels)})"


def both(metric: str, by: str = "", labels: str = "", needs: str = "") -> tuple[Query, ...]:
    """The median and the 99th percentile of a histogram."""
    name = f"{{{{{by}}}}} " if by else ""
    return tuple(Query(quantile(q, metric, by, labels), f"{name}p{q * 100:g}", needs) for q in (0.5, 0.99))


def one(expr: str, legend: str = "", needs: str = "") -> tuple[Query, ...]:
    """A panel of one query."""
    return (Query(expr, legend, needs),)


LATENCY = (
    Panel("Calls, by method", "reqps", one(rate("grpc_server_started_total", "grpc_method", OURS), "{{grpc_method}}")),
    Panel(
        "Latency of unary calls, by method",
        "s",
        both("grpc_server_handling_seconds", "grpc_method", f'{OURS},grpc_type="unary"'),
        "From the first byte of the request to the answer. Streams are not in it: see the frames.",
    ),
    Panel("Calls that ended without OK", "reqps", one(
        rate("grpc_server_handled_total", "grpc_code", f'{OURS},grpc_code!="OK"'), "{{grpc_code}}")),
    Panel("Time of a stage, 99th percentile", "s", one(quantile(0.99, "exalign_stage_seconds", "stage"), "{{stage}}"),
          "Of a call with all its faces. `queue` is the wait for the network."),
    Panel("Where a second of work goes", "percentunit", one(
        rate("exalign_stage_seconds_sum", "stage"), "{{stage}}"), "Seconds of each stage in a second."),
    Panel("Messages of calls and streams", "cps", (
        Query(rate("grpc_server_msg_received_total", "grpc_method", OURS), "{{grpc_method}} in"),
        Query(rate("grpc_server_msg_sent_total", "grpc_method", OURS), "{{grpc_method}} out"))),
)  # fmt: skip

VIDEO = (
    Panel("Frames, by outcome", "cps", one(rate("exalign_frames_total", "outcome"), "{{outcome}}")),
    Panel("Latency of a frame", "s", both("exalign_frame_latency_seconds"), "From its arrival to its result."),
    Panel("Video sessions", "short", (
        Query("sum by (state) (exalign_sessions{%})", "{{state}}"),
        Query('sum(exalign_limit{%,setting="max_sessions"})', "bound"))),
    Panel("States of broken streams given up early", "cps",
          one(rate("exalign_sessions_dropped_total", "reason"), "{{reason}}"), "Their sessions begin anew."),
    Panel("Sessions of each bundle", "short", one("sum by (bundle) (exalign_bundle_sessions{%})", "{{bundle}}")),
    Panel("Recorded", "Bps", (
        Query(rate("exalign_recorded_bytes_total", "instance"), "{{instance}}", "record_sessions"),
        Query(rate("exalign_recordings_stopped_total", "reason"), "stopped: {{reason}}", "record_sessions"))),
)  # fmt: skip

QUEUES = (
    Panel("Use of each bound", "percentunit", one('max by (bound) (instance:exalign_bound:use_ratio{%})', "{{bound}}"),
          "Of the instance that is fullest; a recording rule. At 1 the next caller is refused."),
    Panel("Unary calls in progress", "short", (
        Query("sum(exalign_calls{%})", "calls"), Query('sum(exalign_limit{%,setting="queue"})', "bound"))),
    Panel("Faces that wait for the network, stages that wait for a thread", "short", (
        Query("sum(exalign_queue_depth{%})", "faces"), Query("sum(exalign_stage_queue_depth{%})", "stages"))),
    Panel("Backlog", "s", (
        Query("max(exalign_backlog_seconds{%})", "expected"),
        Query('max(exalign_limit{%,setting="max_wait"})', "longest wait")),
        "When the calls in progress will have been answered."),
    Panel("Faces in a batch", "short", (
        Query(f"{rate('exalign_batch_size_sum', 'instance')} / {rate('exalign_batch_size_count', 'instance')}",
              "mean, {{instance}}"),
        Query('max(exalign_limit{%,setting="max_batch"})', "largest"))),
    Panel("Memory of requests and of decoded pictures", "bytes", (
        Query("sum(exalign_request_bytes{%})", "requests"),
        Query("sum by (state) (exalign_decoded_bytes{%})", "pictures {{state}}"))),
    Panel("Pictures that take long to decode", "short", (
        Query("sum by (state) (exalign_decode_jobs{%})", "{{state}}"), Query("sum(exalign_decoders{%})", "processes"),
        Query(rate("exalign_decoder_failures_total", "reason"), "failures: {{reason}}"))),
    Panel("Posteriors kept", "short", (
        Query("sum(exalign_posteriors{%})", "kept"),
        Query(rate("exalign_posterior_lookups_total", "result"), "{{result}} a second"),
        Query(rate("exalign_posteriors_evicted_total", "instance"), "evicted a second")),
        "A miss costs its caller another picture."),
    Panel("Longest running work", "s", (
        Query("max(exalign_oldest_stage_seconds{%})", "stage"), Query("max(exalign_oldest_batch_seconds{%})", "batch"),
        Query('max(exalign_limit{%,setting="stuck_after"})', "stuck after"))),
)  # fmt: skip

REFUSALS = (
    Panel("Calls refused before any work", "reqps", one(rate("exalign_refused_calls_total", "reason"), "{{reason}}")),
    Panel("Calls denied", "reqps", one(rate("exalign_access_denied_total", "reason"), "{{reason}}")),
    Panel("Beyond a caller's quota", "reqps", one(rate("exalign_quota_exceeded_total", "quota"), "{{quota}}")),
    Panel("Pictures that could not be decoded", "cps",
          one(rate("exalign_undecodable_pictures_total", "method"), "{{method}}")),
    Panel("Failures of the network", "cps", one(rate("exalign_runtime_faults_total", "kind"), "{{kind}}")),
    Panel("Stuck", "short", one("max by (where) (exalign_stuck{%})", "{{where}}"), "1: NOT_SERVING until it ends."),
)  # fmt: skip

FACES = (
    Panel("Faces answered, by method", "cps", one(rate("exalign_faces_total", "method"), "{{method}}")),
    Panel("Faces in a picture searched", "short", one(
        f"{rate('exalign_detections_total', 'detector')} / {rate('exalign_detector_runs_total', 'detector')}",
        "{{detector}}")),
    Panel("Presence, mean", "percentunit", (
        Query('avg by (method) (job_method:exalign_presence:mean_rate1h{job=~"$job"})', "{{method}}, an hour"),
        Query('avg by (method) (avg_over_time(job_method:exalign_presence:mean_rate1h{job=~"$job"}[1d]))',
              "{{method}}, a day")),
        "How likely the answered faces are faces at all. An hour that leaves its day: other pictures are sent."),
    Panel("Faces with a presence below one half", "percentunit", one(
        'avg by (method) (job_method:exalign_presence_low:ratio_rate1h{job=~"$job"})', "{{method}}"),
        "They are covered, or no faces."),
    Panel("Coverage less what is stated", "percentunit", (
        *(Query(f'max(exalign_model_coverage_ratio{{%,group="all",nominal="{n}"}}) - {n}', f"landmarks, {n}")
          for n in NOMINAL),
        *(Query(f'max by (angle) (exalign_model_pose_coverage_ratio{{%,nominal="{n}"}}) - {n}', f"{{{{angle}}}}, {n}")
          for n in NOMINAL)),
        "Of the bundle, on its `val`; live traffic has no truth. It changes with the bundle."),
    Panel("The runtime's distance from the reference", "short", (
        Query("max by (measure) (exalign_engine_divergence{%})", "{{measure}}"),
        Query("max by (split) (exalign_model_nll{%})", "nll on {{split}}"))),
)  # fmt: skip

FLEET = (
    Panel("Servers that are scraped", "short", one('sum(up{%})', "up")),
    Panel("What answers", "short", one(
        "count by (version, bundle, runtime, precision) (exalign_build_info{%})",
        "{{bundle}} {{runtime}} {{version}}")),
    Panel("Swaps of the bundle, files read again", "cps", (
        Query(rate("exalign_swaps_total", "result"), "bundle {{result}}"),
        Query(rate("exalign_reloads_total", "what, result"), "{{what}} {{result}}"))),
    Panel("Store of sessions", "short", (
        Query("min(exalign_store_up{%})", "answers", "store"),
        Query("sum(exalign_sessions_behind{%})", "sessions behind", "store"),
        Query(rate("exalign_store_failures_total", "reason"), "{{reason}}", "store"))),
    Panel("Checkpoints", "cps", one(rate("exalign_checkpoints_total", "outcome"), "{{outcome}}", "store")),
    Panel("Time of a checkpoint", "s", both("exalign_checkpoint_seconds", needs="store")),
    Panel("Bytes of a checkpoint", "bytes", both("exalign_checkpoint_bytes", needs="store")),
)  # fmt: skip

PROCESS = (
    Panel("Processors in use", "short", one("rate(process_cpu_seconds_total{%}[$__rate_interval])", "{{instance}}")),
    Panel("Memory", "bytes", one("process_resident_memory_bytes{%}", "{{instance}}")),
    Panel("Files and sockets", "percentunit", (
        Query("process_open_fds{%} / process_max_fds{%}", "{{instance}}"),
        Query(rate("exalign_descriptors_exhausted_total", "instance"), "refused a second, {{instance}}"))),
    Panel("Age of the process", "s", (
        Query("time() - process_start_time_seconds{%}", "{{instance}}"),
        Query("exalign_process_restarts_total{%}", "restarts before it, {{instance}}"),
        Query("count by (index) (exalign_process{%})", "process {{index}}"))),
    Panel("Tasks of the event loop", "short", one("exalign_tasks{%}", "{{instance}}")),
    Panel("What is wrong around it", "short", (
        Query("max(exalign_certificate_expired{%})", "certificate ended"),
        Query("max(exalign_bundle_missing{%})", "bundle missing"),
        Query("max(exalign_tables_not_kept{%})", "tables not kept"),
        Query("sum(increase(exalign_clock_jumps_total{%}[$__rate_interval]))", "clock jumps"),
        Query("sum(increase(exalign_log_lines_lost_total{%}[$__rate_interval]))", "log lines lost"))),
    Panel("Certificate ends in", "s", one(
        "clamp_min(exalign_certificate_expires_seconds{%} - time(), 0)", "{{instance}}"),
          "0: it has ended, or there is none."),
)  # fmt: skip

ROWS: dict[str, tuple[Panel, ...]] = {
    "Calls": LATENCY,
    "Video": VIDEO,
    "Queues against their bounds": QUEUES,
    "Refusals and faults": REFUSALS,
    "Faces: presence and coverage": FACES,
    "Fleet": FLEET,
    "Process": PROCESS,
}


def queries() -> list[Query]:
    """Of all panels."""
    return [query for panels in ROWS.values() for panel in panels for query in panel.queries]


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.why,
        "datasource": source,
        "gridPos": {"x": x, "y": y, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": None, "custom": {"fillOpacity": 5}}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": source, "expr": query.text, "legendFormat": query.legend}
            for i, query in enumerate(panel.queries)
        ],
    }


def _variables() -> list[dict[str, Any]]:
    def of_label(name: str, query: str, **more: Any) -> dict[str, Any]:
        return {
            "name": name,
            "type": "query",
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "includeAll": True,
            "multi": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
            **more,
        }

    return [
        {"name": "datasource", "type": "datasource", "query": "prometheus", "current": {}},
        of_label("job", "label_values(exalign_calls, job)"),
        of_label("instance", 'label_values(exalign_calls{job=~"$job"}, instance)'),
    ]


def board() -> str:
    """The file."""
    panels: list[dict[str, Any]] = []
    number, y = 1, 0
    for title, row in ROWS.items():
        panels.append({"id": number, "type": "row", "title": title, "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}})  # fmt: skip
        number, y = number + 1, y + 1
        for i, panel in enumerate(row):
            place = divmod(i, COLUMNS // WIDTH)
            panels.append(_panel(panel, number, place[1] * WIDTH, y + place[0] * HEIGHT))
            number += 1
        y += -(-len(row) * WIDTH // COLUMNS) * HEIGHT
    whole = {
        "uid": "exalign",
        "title": "Exalign",
        "description": "Made by deploy/boards.py --write. Alerts: deploy/prometheus/rules.yaml, docs/operations.md.",
        "tags": ["exalign", "grpc"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "panels": panels,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Check, or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write deploy/grafana/exalign.json")
    if parser.parse_args().write:
        BOARD.write_text(board(), "utf-8")
        return 0
    if not BOARD.is_file() or BOARD.read_text("utf-8") != board():
        print(f"{BOARD.name} is not what this makes: python deploy/boards.py --write", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
