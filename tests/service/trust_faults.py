"""Whatever fails in a server: its callers are told, it says so within ten seconds, it recovers, and it ends.

    python tests/service/trust_faults.py [--only "engine hangs"]

Rows are faults in a real process of ``exalign-server`` (`faulty_server`), whose settings are the defaults but for a
grace of one second. Columns are what callers get; what /readyz says meanwhile; after how many seconds the log says so;
which metric shows it; after how many seconds all is well again once the fault is over; and how the process ends where
SIGTERM comes during the fault. Each cell is compared with what the documentation promises.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from dataclasses import dataclass, field

import faulty_server as does
from faulty_process import PATIENCE, ServerUnderFault, faulty_server, seconds_of
from injected_faults import (
    DecoderKilled,
    Fault,
    FewDescriptors,
    LittleMemory,
    OneCore,
    ProcessLost,
    ProcessStopped,
    Promise,
)
from service_fakes import GOOD_BOX, request

#: What is promised: it is known within so many seconds, and the process is gone so long after its grace, at the latest
#: where one of several does not answer at all.
NOTICED, ENDS_AFTER = 10.0, 10.0

#: The grace, seconds.
GRACE = 1.0

SERVING, TROUBLE = "serving", "not serving"
STUCK = "not serving: a {} has been running for longer than stuck_after = 8 s"
FAILED = "not serving: the network has failed 5 times in a row or more: {}"
RAISED, WRONG = FAILED.format("RuntimeError"), FAILED.format("RuntimeFaultError")
NOT_SERVING, NO_ANSWER = "NOT_SERVING", "no answer"

#: Statuses of calls, one after another.
FIVE, ONCE = ("INTERNAL",) * 5, ("INTERNAL", "OK", "OK", "OK", "OK")
UNAVAILABLE, LATE = ("UNAVAILABLE",), ("DEADLINE_EXCEEDED",)

KINDS = 'exalign_runtime_faults_total{{kind="{}"}}'
STAGE, BATCH = 'exalign_stuck{where="stage"}', 'exalign_stuck{where="batch"}'
DIED, RESTARTS = 'exalign_decoder_failures_total{reason="died"}', "exalign_process_restarts_total"
HANDLED = (
    'grpc_server_handled_total{{grpc_code="{}",grpc_method="PredictLandmarks",'
    'grpc_service="exalign.v1.FaceAlignmentService",grpc_type="unary"}}'
)
NO_MEMORY, ANSWERED = HANDLED.format("ResourceExhausted"), HANDLED.format("OK")
NO_DESCRIPTOR = "exalign_descriptors_exhausted_total"

TWO = ("--processes", "2")
HANGS = Promise(UNAVAILABLE, STUCK.format("batch"), TROUBLE, BATCH, NOT_SERVING, (1,))
STAGE_HANGS = Promise(UNAVAILABLE, STUCK.format("stage"), TROUBLE, STAGE, NOT_SERVING, (1,))
KILLED = Promise(UNAVAILABLE, "", "process ended", RESTARTS, NO_ANSWER, (0, 1), PATIENCE)
STOPPED = Promise(LATE, "", "process not serving", RESTARTS, NO_ANSWER, (1,), PATIENCE)

FAULTS = (
    Fault("engine raises once", does.RAISES_ONCE, Promise(ONCE, SERVING, "handler_failed", KINDS.format("raised"))),
    Fault("engine raises", does.RAISES, Promise(FIVE, RAISED, TROUBLE, KINDS.format("raised"), NOT_SERVING)),
    Fault("engine: NaN", does.NOT_FINITE, Promise(FIVE, WRONG, TROUBLE, KINDS.format("not_finite"), NOT_SERVING)),
    Fault("engine: wrong shapes", does.WRONG_SHAPE, Promise(FIVE, WRONG, TROUBLE, KINDS.format("shape"), NOT_SERVING)),
    Fault("engine hangs", does.HANGS, HANGS),
    Fault("a stage hangs", does.STAGE_HANGS, STAGE_HANGS),
    Fault("all threads are ended", does.THREADS_DIE, Promise(ONCE, SERVING, "handler_failed", KINDS.format("raised"))),
    DecoderKilled("a decoder is killed", "", Promise(("INVALID_ARGUMENT",), SERVING, "a decoder failed", DIED)),
    ProcessLost("one of two processes is killed", "", KILLED, TWO),
    ProcessStopped("one of two processes is stopped", "", STOPPED, TWO),
    LittleMemory(
        "little memory", does.LITTLE_MEMORY, Promise(("RESOURCE_EXHAUSTED",) * 5, SERVING, "out of memory", NO_MEMORY)
    ),
    FewDescriptors("few descriptors", "", Promise(LATE, SERVING, "no descriptor is left", NO_DESCRIPTOR, NO_ANSWER)),
    OneCore("one core", "", Promise(("OK",), SERVING, None, ANSWERED)),
)


@dataclass
class Row:
    """What came of a fault; ``wrong`` is empty where every cell is as promised."""

    fault: str
    callers: str = ""
    state: str = ""
    noticed: str = ""
    metric: str = ""
    recovered: str = ""
    ended: str = ""
    wrong: list[str] = field(default_factory=list)

    def check(self, what: str, found: object, expected: object) -> None:
        """Compare a cell."""
        if found != expected:
            self.wrong.append(f"{what} {found}, must be {expected}")

    def rises(self, it: ServerUnderFault, metric: str, before: float) -> None:
        """Check that a metric shows it."""
        self.metric = re.sub(r",grpc_method.*}", "}", metric)
        value = it.sample(metric)
        if value <= before:
            self.wrong.append(f"{metric} is {value:g}, was {before:g} before")


def row(fault: Fault) -> Row:
    """A server of its own with a fault."""
    out, promise = Row(fault.name), fault.promise
    with faulty_server("--shutdown-grace", str(GRACE), *fault.arguments) as it:
        assert it.call(request(GOOD_BOX)) == "OK"
        began = _meet(fault, it, out)
        _recover(fault, it, out, began)
        fault.begin(it)
        with fault.met(it):
            code, seconds = it.end()
        out.ended = f"{code} after {seconds:.1f} s"
        limit = GRACE + ENDS_AFTER
        if code not in promise.codes or seconds > limit:
            out.wrong.append(f"ended with {code} after {seconds:.1f} s, must be {promise.codes} within {limit:g} s")
    return out


def _meet(fault: Fault, it: ServerUnderFault, out: Row) -> float:
    """Callers, state and metric during the fault; when it began."""
    promise, after, before = fault.promise, len(it.log()), it.sample(fault.promise.metric)
    began = fault.begin(it)
    callers = tuple(fault.call(it) for _ in promise.callers)
    out.callers = ", ".join(dict.fromkeys(callers))
    out.check("callers got", callers, promise.callers)
    state = it.ask("/readyz")
    deadline = time.monotonic() + 2 * NOTICED  # the machine may be busy; the log says when it was
    while state != promise.state and time.monotonic() < deadline:
        time.sleep(0.05)
        state = it.ask("/readyz")
    out.state = state or "no answer"
    out.check("/readyz is", state, promise.state)
    timeout = 1.0 if promise.health == NO_ANSWER else PATIENCE
    out.check("health is", it.health(timeout), promise.health)
    if promise.event is None:
        out.check("not serving", [line for line in it.log()[after:] if line["event"] == "not serving"], [])
    else:
        seconds = seconds_of(it.wait_for_line(promise.event, after)) - fault.onset(it, began, after)
        out.noticed = f"{seconds:.1f} s"
        if seconds > NOTICED:
            out.wrong.append(f"noticed after {seconds:.1f} s, at most {NOTICED:g} s")
    if promise.state:
        out.rises(it, promise.metric, before)
    return began


def _recover(fault: Fault, it: ServerUnderFault, out: Row, began: float) -> None:
    """All is well again without help; counted from the end of the fault, or from its beginning where none ends it."""
    start = time.time() if fault.promise.state else began
    fault.end(it)
    while it.ask("/readyz") != SERVING or it.call(deadline=5.0) != "OK":
        if time.time() - start > PATIENCE:
            out.recovered = "never"
            out.wrong.append("it does not recover")
            return
        time.sleep(0.05)
    seconds = time.time() - start
    out.recovered = f"{seconds:.1f} s"
    if seconds > fault.promise.recovers:
        out.wrong.append(f"recovered after {seconds:.1f} s, at most {fault.promise.recovers:g} s")
    if not fault.promise.state:  # of the process that is there now
        out.rises(it, fault.promise.metric, 0.0)


def main() -> int:
    """Print the table; exit code 1 where something is not as promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="one row", choices=[fault.name for fault in FAULTS], metavar="NAME")
    only = parser.parse_args().only
    titles = ("fault", "callers get", "/readyz", "noticed", "metric", "recovers", "SIGTERM")
    print("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles), flush=True)
    wrong = 0
    for fault in FAULTS:
        if only in (None, fault.name):
            out = row(fault)
            wrong += len(out.wrong)
            cells = (out.fault, out.callers, out.state, out.noticed, out.metric, out.recovered, out.ended)
            print("| " + " | ".join(cells) + " |", *(f"  FAULT: {text}" for text in out.wrong), sep="\n", flush=True)
    print(f"{wrong} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
