"""The processes of one training run, as torchrun starts them, forked from one that has imported torch already.

A launcher and ranks that each import torch cost ten CPU-seconds a run; the tests start many. One of them starts
torchrun itself.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import torch.distributed as dist

#: Seconds for a run.
TIMEOUT = 840

_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["exalign_engine.train.run", "exalign_engine.commands.train"])


def train_command(words: Sequence[str]) -> int:
    """``exalign-model`` in this process; returns its exit code."""
    code: int = importlib.import_module("exalign_engine.cli").main(words)
    return code


def run_ranks(size: int, work: Callable[..., int], *arguments: object, errors: Path) -> list[int]:
    """Run ``work`` in so many processes at once.

    Args:
        size: how many; one alone is told of no others.
        work: of a module; its result is the exit code.
        arguments: for it.
        errors: a folder for standard error, a file a process: ``0.txt`` and so on.

    Returns:
        The exit codes. One that did not end in time was killed.
    """
    errors.mkdir(parents=True, exist_ok=True)
    # The port is the store's own: none is chosen beforehand that another process could take.
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False) if size > 1 else None
    port = 0 if store is None else store.port
    ranks = [
        _FORKED.Process(target=_rank, args=(rank, size, port, str(errors / f"{rank}.txt"), work, arguments))
        for rank in range(size)
    ]
    for one in ranks:
        one.start()
    for one in ranks:
        one.join(TIMEOUT)
        if one.is_alive():
            one.kill()
            one.join()
    return [one.exitcode or 0 for one in ranks]


def _rank(
    rank: int, size: int, port: int, errors: str, work: Callable[..., int], arguments: tuple[object, ...]
) -> None:
    written = os.open(errors, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(written, 2)
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - the process's own
    if size > 1:
        of_torchrun = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": size,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "TORCHELASTIC_USE_AGENT_STORE": True,
        }
        os.environ.update({name: str(value) for name, value in of_torchrun.items()})
    try:
        code = work(*arguments)
    except BaseException:  # noqa: BLE001 - a process of its own; told on its standard error
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)
