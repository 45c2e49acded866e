"""``exalign-server``: serve until a signal.

Exit codes: 0 stopped by a signal, at whatever time it comes; 1 cannot start, the GPU was lost, or something was still
running when the time to stop was over; 2 wrong arguments or settings; 130 interrupted from the keyboard before the log
begins. The log says from the first line on what the server is doing. When the server answers requests, it writes one
line to standard output, for the program that started it:

    {"event": "serving", "address": "127.0.0.1:50051", "metrics_address": "127.0.0.1:9464"}

``address`` is what a gRPC client connects to (HOST:PORT or unix:/PATH). Where there are several processes, their parent
writes one line when all of them answer, with both addresses of each under ``processes``. Nothing else is written there;
logs go to standard error.

Nothing heavy is imported before SIGTERM is obeyed, nor before the ports are known to be free.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from exalign.cli_support import DONE, FAILED, WRONG_USAGE, OneLineParser, report, run_command
from exalign_engine.errors import ExalignError
from exalign_service.observability import logs
from exalign_service.observability.native_stderr import captured_stderr
from exalign_service.startup import token_command
from exalign_service.startup.arenas import keep_few_arenas
from exalign_service.startup.early_exit import leave, leave_unfinished, log_to
from exalign_service.startup.garbage import collect_rarely
from exalign_service.startup.memory import hopeless_limit, lack_of_memory
from exalign_service.startup.signals import EndGuard, signals_caught

if TYPE_CHECKING:
    import asyncio

    from exalign_engine.settings import Schema
    from exalign_service.config.schema import ServerConfig
    from exalign_service.server import Server

_log = logging.getLogger("exalign_service")

PROGRAM = "exalign-server"

#: Python's own is ten times as long. Beside busy streams, the slowest hundredth of another caller's calls took half as
#: long with this one (docs/decisions/overload.md), seconds.
_SWITCH_INTERVAL = 0.0005

#: Longest time for closing the ports while the model is still being loaded, seconds.
_CLOSING = 0.5

#: So long after the grace the parent of several processes has ended, whatever hangs, seconds.
_FAMILY_ENDS = 15.0


class _CannotServeError(Exception):
    """What ended the server, in one line."""


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments after the program's name; None reads the command line.

    Returns:
        The exit code; see `exalign.cli_support`. Wrong usage exits with it.
    """
    return run_command(PROGRAM, lambda: _explained(argv), failures=(ExalignError, _CannotServeError), extra="serve")


def _explained(argv: Sequence[str] | None) -> int:
    """`_run`; where there is too little memory, its error says so."""
    hopeless = hopeless_limit()
    if hopeless is not None:
        raise _CannotServeError(hopeless)
    try:
        return _run(argv)
    except (_CannotServeError, ModuleNotFoundError, BrokenPipeError):
        raise
    except Exception as e:
        lack = lack_of_memory(e)
        if lack is None:
            raise
        raise _CannotServeError(lack) from e


def _run(argv: Sequence[str] | None) -> int:
    from exalign_service.config.schema import ConfigError
    from exalign_service.config.sources import SCHEMA

    args = _parser(SCHEMA).parse_args(argv)
    if args.command == "token":
        return token_command.run(args)
    try:
        loaded = SCHEMA.load(vars(args), os.environ, args.config)
    except ConfigError as e:
        for line in str(e).splitlines():
            report(f"{PROGRAM}: {line}")
        return WRONG_USAGE
    for unknown in SCHEMA.unknown_variables(os.environ):  # those that are misspelt have ended the program
        report(f"{PROGRAM}: {unknown.name} is not a setting and is left alone; the nearest is {unknown.nearest}")
    if args.command == "serve" and args.print_config:
        print(loaded.to_toml(), end="")
        return DONE
    if args.command == "replay":
        from exalign_service.startup import replay_command

        return replay_command.run(args.file, loaded.config)
    if loaded.config.processes > 1:
        return _supervise(loaded.config, argv, exit_with_stdin=args.exit_with_stdin)
    _serve(loaded.config, args)
    return DONE


def _supervise(config: ServerConfig, argv: Sequence[str] | None, *, exit_with_stdin: bool) -> int:
    """Be the parent of several processes that serve.

    Raises:
        _CannotServeError: an address cannot be listened on, or a process could not start.
    """
    from exalign_service.access.start_checks import check_access
    from exalign_service.config.start_checks import StartError, check_start
    from exalign_service.startup.supervisor import ProcessFailedError, Supervisor, command_of

    try:
        check_start(config)
        check_access(config.access)
    except StartError as e:
        raise _CannotServeError(str(e)) from e
    logs.configure(config.log_level)
    log_to(sys.stderr.fileno(), info=_log.isEnabledFor(logging.INFO))
    supervisor = Supervisor(config, command_of(argv), sys.stderr.buffer)
    guard = EndGuard(leave_unfinished)
    guard.still_running = supervisor.still_running

    def stop(reason: str) -> None:
        """From any thread."""
        guard.arm(config.shutdown_grace + _FAMILY_ENDS)
        supervisor.stop(reason)

    if exit_with_stdin:
        _watch_stdin(lambda: stop("stdin closed"))
    try:
        with signals_caught(stop):
            _log.info("starting", extra={"fields": {"version": version("exalign"), "pid": os.getpid()}})
            return DONE if supervisor.run() else FAILED
    except ProcessFailedError as e:
        raise _CannotServeError(str(e)) from e
    finally:
        guard.disarm()


def _serve(config: ServerConfig, args: argparse.Namespace) -> None:
    """Serve until a signal, the end of standard input or a lost device.

    Raises:
        _CannotServeError: an address cannot be listened on, a file of `AccessConfig` cannot be used, or the bundle does
            not know the detector.
        ExalignError: the model cannot be loaded, or its device was lost.
    """
    from exalign_service.access.start_checks import check_access
    from exalign_service.config.start_checks import StartError, check_start

    process: int | None = args.process_index
    keep_few_arenas()  # first: whatever starts a thread gives it one
    try:
        check_start(config)
        check_access(config.access)
        with captured_stderr() as log_stream:
            logs.configure(config.log_level, log_stream, process)
            fields = {} if process is None else {"process": process}
            log_to(log_stream.fileno(), info=_log.isEnabledFor(logging.INFO), fields=fields)
            _log.info("starting", extra={"fields": {"version": version("exalign"), "pid": os.getpid()}})
            # A thread that computes in Python gives way to the event loop sooner than by itself.
            sys.setswitchinterval(_SWITCH_INTERVAL)
            collected = gc.get_threshold()
            collect_rarely()
            # Not on the event loop, which could obey nothing meanwhile: until it runs, our own handler does.
            import asyncio

            import exalign_service.server  # noqa: F401

            guard = EndGuard(leave_unfinished)
            try:
                asyncio.run(_until_stopped(config, guard, args, collected))
            finally:
                guard.disarm()
    except StartError as e:
        raise _CannotServeError(str(e)) from e


def _parser(schema: Schema[ServerConfig]) -> argparse.ArgumentParser:
    parser = OneLineParser(prog=PROGRAM, description="Face alignment that answers with a distribution, over gRPC.")
    parser.add_version()
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser(
        "serve",
        help="serve until SIGTERM",
        description="Serve until SIGTERM or SIGINT. Settings: flags, then EXALIGN_* variables, then --config, "
        "then defaults.",
    )
    serve.add_argument("--print-config", action="store_true", help="print the effective settings as TOML and exit")
    serve.add_argument(
        "--exit-with-stdin",
        action="store_true",
        help="also stop when standard input is closed, so that the server does not outlive who started it",
    )
    # Given by the parent of several processes.
    serve.add_argument("--process-index", type=int, help=argparse.SUPPRESS)
    serve.add_argument("--process-restarts", type=int, default=0, help=argparse.SUPPRESS)
    schema.add_flags(serve)
    token_command.add_to(commands)
    replay = commands.add_parser(
        "replay",
        help="run a recorded session again",
        description="Run a recorded session again, with the settings of the server that recorded it, and compare its "
        "answers bit for bit. The first that differs is named; the exit code is 1 then.",
    )
    replay.add_argument("file", type=Path, metavar="FILE", help="what --record-sessions has written")
    schema.add_flags(replay)
    return parser


async def _until_stopped(
    config: ServerConfig, guard: EndGuard, args: argparse.Namespace, collected: tuple[int, int, int]
) -> None:
    import asyncio

    from exalign_service.rpc.clock import LoopClock
    from exalign_service.rpc.lifecycle import GONE_AFTER, Phase
    from exalign_service.server import Server
    from exalign_service.startup.settling import settle

    loop, stops = asyncio.get_running_loop(), asyncio.Queue[str]()
    server = Server(config, on_failure=lambda: stop("failure"))
    server.metrics.export_process(args.process_index or 0, args.process_restarts)
    guard.still_running = server.still_running
    stopping = False

    def stop(reason: str) -> None:
        """From any thread."""
        nonlocal stopping
        nothing_to_finish = stopping or server.lifecycle.phase is Phase.STARTING
        stopping = True
        guard.arm((0.0 if nothing_to_finish else config.shutdown_grace) + GONE_AFTER)
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(stops.put_nowait, reason)

    if args.exit_with_stdin:
        _watch_stdin(lambda: stop("stdin closed"))
    settling = asyncio.create_task(settle(server, collected, LoopClock()))
    with signals_caught(stop):
        await _serve_until(stops, server)
    settling.cancel()


async def _serve_until(stops: asyncio.Queue[str], server: Server) -> None:
    """Serve until there is a reason to stop."""
    import asyncio

    starting, stop = asyncio.create_task(server.start()), asyncio.create_task(stops.get())
    try:
        await asyncio.wait((starting, stop), return_when=asyncio.FIRST_COMPLETED)
        if not stop.done():
            await _started(starting)
            _announce(server)
        grace = server.config.shutdown_grace
        _log.info("stopping", extra={"fields": {"reason": await stop, "grace_seconds": grace}})
        if not starting.done():
            await _abandon(server)
    finally:
        stop.cancel()
        starting.cancel()
        second_stop = asyncio.create_task(stops.get())
        second_stop.add_done_callback(lambda _: server.end_grace())
        await server.stop()
        second_stop.cancel()
        if still_running := server.still_running():
            leave_unfinished(still_running)
        # Its error, if any, has been raised above, unless a stop came first: then it does not matter.
        await asyncio.gather(starting, return_exceptions=True)
    _log.info("stopped")
    if server.failure is not None:
        raise server.failure
    if server.warming_up:
        leave(DONE)


async def _started(starting: asyncio.Task[None]) -> None:
    """Wait for the start; the log says why the ports are closed where it fails."""
    try:
        await starting
    except Exception as e:
        _log.error("cannot start", extra={"fields": {"error": str(e) or type(e).__name__}})
        raise


async def _abandon(server: Server) -> None:
    """End the process in the middle of loading or warming up, for which a thread would have to be waited for."""
    import asyncio

    await asyncio.wait([asyncio.create_task(server.close_ports(0.0))], timeout=_CLOSING)
    _log.info("stopped")
    leave(DONE)


def _announce(server: Server) -> None:
    """Report where the server is: in the log for people, on standard output for programs."""
    runtime = server.aligner.runtime
    where = {"address": server.address, "metrics_address": server.metrics_address}
    fields = {
        **where,
        "bundle": server.aligner.bundle.id[:12],
        "runtime": runtime.name,
        "precision": runtime.precision,
        "reason": runtime.reason,
        "version": version("exalign"),
    }
    _log.info("serving", extra={"fields": fields})
    print(json.dumps({"event": "serving", **where}), flush=True)


def _watch_stdin(closed: Callable[[], object]) -> None:
    """Call ``closed`` when standard input ends."""

    def wait() -> None:
        # os.read, not sys.stdin: its lock would be held while the interpreter shuts down.
        while os.read(0, 4096):
            pass
        closed()

    threading.Thread(target=wait, name="stdin", daemon=True).start()
