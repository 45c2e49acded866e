"""``exalign-server``: serve until a signal.

Exit codes: 0 stopped by a signal, 1 cannot start or the GPU was lost, 2 wrong arguments or settings, 130 interrupted
before serving. When the server answers requests, it writes one line to standard output, for the program that started
it:

    {"event": "serving", "address": "127.0.0.1:50051", "metrics_address": "127.0.0.1:9464"}

``address`` is what a gRPC client connects to (HOST:PORT or unix:/PATH). Nothing else is written there; logs go
to standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version

from exalign.cli_support import DONE, WRONG_USAGE, OneLineParser, report, run_command
from exalign_engine.errors import ExalignError
from exalign_service.config.schema import ConfigError, ServerConfig
from exalign_service.config.sources import SCHEMA
from exalign_service.observability import logs
from exalign_service.server import Server, StartError

_log = logging.getLogger("exalign_service")

PROGRAM = "exalign-server"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments; default those of the process.

    Returns:
        The exit code; see `exalign.cli_support`. Wrong usage exits with it.
    """
    failures = (ExalignError, StartError)
    return run_command(PROGRAM, lambda: _run(_parser().parse_args(argv)), failures=failures, extra="serve")


def _run(args: argparse.Namespace) -> int:
    try:
        loaded = SCHEMA.load(vars(args), os.environ, args.config)
    except ConfigError as e:
        for line in str(e).splitlines():
            report(f"{PROGRAM}: {line}")
        return WRONG_USAGE
    if args.print_config:
        print(loaded.to_toml(), end="")
        return DONE
    logs.configure(loaded.config.log_level)
    asyncio.run(_serve(loaded.config, exit_with_stdin=args.exit_with_stdin))
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog=PROGRAM, description="Face alignment that answers with a distribution, over gRPC.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {version('exalign')}")
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
    SCHEMA.add_flags(serve)
    return parser


async def _serve(config: ServerConfig, *, exit_with_stdin: bool) -> None:
    """Serve until a signal, the end of standard input or a lost device."""
    loop, stops = asyncio.get_running_loop(), asyncio.Queue[str]()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stops.put_nowait, number.name)
    if exit_with_stdin:
        _watch_stdin(lambda: loop.call_soon_threadsafe(stops.put_nowait, "stdin closed"))
    server = Server(config, on_failure=lambda: stops.put_nowait("failure"))
    starting, stop = asyncio.create_task(server.start()), asyncio.create_task(stops.get())
    try:
        await asyncio.wait((starting, stop), return_when=asyncio.FIRST_COMPLETED)
        if not stop.done():
            await starting
            _announce(server)
        _log.info("stopping", extra={"fields": {"reason": await stop, "grace_seconds": config.shutdown_grace}})
    finally:
        stop.cancel()
        starting.cancel()
        second_stop = asyncio.create_task(stops.get())
        second_stop.add_done_callback(lambda _: server.end_grace())
        await server.stop()
        second_stop.cancel()
        # Its error, if any, has been raised above, unless a stop came first: then it does not matter.
        await asyncio.gather(starting, return_exceptions=True)
    _log.info("stopped")
    if server.failure is not None:
        raise server.failure


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


if __name__ == "__main__":
    sys.exit(main())
