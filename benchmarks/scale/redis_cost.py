"""What a checkpoint costs Redis: its own CPU time and memory, by the script that servers write with."""

from __future__ import annotations

import secrets
import subprocess
import time
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import redis

from exalign_service.stores.script import ALL, MORE, OWNER_BYTES, WRITE, Write

#: Bytes of a record beside the engine's state.
_HEAD = 600


@dataclass(frozen=True)
class RedisCost:
    """One size of state.

    Attributes:
        state_bytes: of the engine's state.
        answer_bytes: of each answer that is kept until it is acknowledged.
        version: of Redis.
        cpu_microseconds: of Redis a checkpoint, in the user's code and the kernel's.
        bytes_a_session: of its memory.
    """

    state_bytes: int
    answer_bytes: int
    version: str
    cpu_microseconds: float
    bytes_a_session: float


def measure(program: str, state_bytes: int, answer_bytes: int, sessions: int = 500, frames: int = 40) -> RedisCost:
    """Write checkpoints of many sessions as servers do: one answer comes and one goes with each, many in a round trip.

    Args:
        program: path of redis-server.
        state_bytes: of the engine's state, random: nothing compresses.
        answer_bytes: of an answer.
        sessions: that are there; each round trip writes one checkpoint of 50 of them.
        frames: of each session.
    """
    with TemporaryDirectory() as folder:
        path = f"{folder}/redis.sock"
        command = [program, "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            store = redis.Redis(unix_socket_path=path)
            _wait(store)
            empty = store.info("memory")["used_memory"]
            owner, secret = secrets.token_bytes(OWNER_BYTES), secrets.token_bytes(16)
            before = _cpu(store)
            for frame in range(frames):
                for first in range(0, sessions, 50):
                    with store.pipeline(transaction=False) as pipe:
                        for session in range(first, first + 50):
                            write = _write(session, frame, owner, secret, state_bytes, answer_bytes)
                            pipe.eval(WRITE, 1, write.key, *write.arguments())
                        replies = pipe.execute()
                    if set(replies) != {1}:
                        raise RuntimeError(f"Redis answered {set(replies)}")
            spent = _cpu(store) - before
            held = (store.info("memory")["used_memory"] - empty) / sessions
            version = store.info("server")["redis_version"]
            return RedisCost(state_bytes, answer_bytes, version, 1e6 * spent / (sessions * frames), held)
        finally:
            server.kill()
            server.wait()


def _write(session: int, frame: int, owner: bytes, secret: bytes, state: int, answer: int) -> Write:
    return Write(
        key=f"exalign:{session}",
        epoch=1,
        owner=owner,
        number=frame,
        base=max(frame - 1, 0),
        kind=MORE if frame else ALL,
        secret=secret,
        closed=False,
        ttl=60.0,
        head=secrets.token_bytes(_HEAD),
        state=secrets.token_bytes(state),
        gone=(frame - 1,) if frame else (),
        added=((frame, secrets.token_bytes(answer)),),
    )


def _wait(store: redis.Redis) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            store.ping()
        except redis.ConnectionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def _cpu(store: redis.Redis) -> float:
    used = store.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])
