"""`make boards`: alerts caused in real servers, and the board drawn from a real run's queries.

    python tests/boards/campaign.py [--only [STAND ...]] [--json docs/benchmarks/alerts.json] [--picture docs/board.png]

Time passes faster in the rules, mostly 120 times: "for: 5m" is a few seconds. Needs Prometheus and redis-server.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "service"), str(ROOT / "deploy")]

# Callers are refused on purpose, and gRPC would say so of each.
os.environ["GRPC_VERBOSITY"] = "NONE"

import alert_cases
import rules
import stands
from benchmarks.machine import machine
from firing import Fired, fire, watched

#: Why an alert is not caused in a real server: promtool alone fires it.
ONLY_PROMTOOL = {
    "ExalignClockJumped": "nobody but root may set a clock",
    "ExalignMemoryGrows": "it compares with six hours before",
}


def run_stand(name: str) -> list[Fired]:
    """All causes of one stand."""
    found = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        with stands.STANDS[name](folder) as stand, watched(folder, stand) as running:
            for fired in fire(running, stand):
                found.append(fired)
                others = f", also {', '.join(fired.others)}" if fired.others else ""
                print(f"{name}: {fired.cause}: {', '.join(fired.alerts)} after {fired.seconds} s{others}", flush=True)
    return found


def main() -> int:
    """Run; 1 where an alert was neither caused nor excused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=stands.STANDS, nargs="*", default=list(stands.STANDS))
    parser.add_argument("--json", type=Path, help="where the results go")
    parser.add_argument("--picture", type=Path, help="where the board goes; it takes two minutes")
    arguments = parser.parse_args()
    where = machine()
    fired = [one for name in arguments.only for one in run_stand(name)]
    if arguments.picture:
        from picture import draw

        draw(arguments.picture, str(where))
    missing = {rule["alert"] for rule in rules.alerts()} - {alert for one in fired for alert in one.alerts}
    missing -= set(ONLY_PROMTOOL)
    if arguments.json:
        whole = {
            "commit": where.commit,
            "cpu": where.cpu,
            "load": round(where.load, 2),
            "cases_of_promtool": len(alert_cases.CASES),
            "fired": [asdict(one) for one in fired],
            "by_promtool_alone": ONLY_PROMTOOL,
        }
        arguments.json.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    if missing and arguments.only == list(stands.STANDS):
        print(f"not caused: {', '.join(sorted(missing))}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
