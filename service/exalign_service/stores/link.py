"""What a shared store can be asked, and Redis or Valkey asked by `redis` (extra "redis")."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from exalign_service.access.watched_files import read_file
from exalign_service.config.start_checks import StartError
from exalign_service.config.stores import StoreConfig
from exalign_service.stores.script import CLAIM, WRITE, Reply, StoredSession, Write, milliseconds
from exalign_service.track.store import FencedError

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

#: Connections of one server: claims and reads go beside the writes, which have one.
_CONNECTIONS = 16


class StoreAwayError(Exception):
    """The store does not answer, or cannot keep what it is given.

    Args:
        reason: "away", "full" (its memory is) or "refused" (it answers with an error).
        text: one sentence.
    """

    def __init__(self, reason: str, text: str) -> None:
        self.reason = reason
        super().__init__(text)


class StoreLink(Protocol):
    """A shared store. Each call is one round trip, raises `StoreAwayError`, and then may have happened or not."""

    async def write(self, writes: Sequence[Write]) -> list[Reply]:
        """Checkpoints, in order; each by itself."""

    async def claim(
        self, key: str, secret: bytes, owner: bytes, ttl: float, epoch: int | None
    ) -> tuple[int, bytes, StoredSession] | None:
        """Take a session over; not where it has another epoch than the one that was seen.

        Returns:
            Epoch and owner before, and the session as it is now; None where it is not there, or has another secret.

        Raises:
            FencedError: it has another epoch.
        """

    async def read(self, key: str) -> StoredSession | None:
        """A session; None where there is none."""

    async def kept_for(self, key: str) -> float | None:
        """Seconds for which an unfinished session will be kept; None where there is none."""

    async def touch(self, keys: Sequence[str], ttl: float) -> list[bool]:
        """Keep sessions for so many seconds from now; whether each is there."""

    async def ping(self) -> None:
        """Nothing."""

    async def close(self) -> None:
        """Give the connections up."""


class RedisLink:
    """A `StoreLink` to Redis or Valkey.

    Args:
        config: where it is, and how it is spoken to.

    Raises:
        StartError: the extra is missing, or a file cannot be read.
    """

    def __init__(self, config: StoreConfig) -> None:
        self._timeout = config.store_timeout
        self._redis = _open(config)

    async def write(self, writes: Sequence[Write]) -> list[Reply]:
        """See `StoreLink`."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for write in writes:
                pipe.eval(WRITE, 1, write.key, *write.arguments())
            answers = await self._asked(pipe.execute(raise_on_error=False))
        failed = [_away(answer) for answer in answers if isinstance(answer, Exception)]
        if failed and (len(failed) == len(answers) or failed[0].reason != "refused"):
            raise failed[0]
        return [Reply.REFUSED if isinstance(answer, Exception) else Reply(answer) for answer in answers]

    async def claim(
        self, key: str, secret: bytes, owner: bytes, ttl: float, epoch: int | None
    ) -> tuple[int, bytes, StoredSession] | None:
        """See `StoreLink`."""
        arguments = (secret, owner, milliseconds(ttl), "" if epoch is None else epoch)
        answer: Any = await self._asked(self._redis.eval(CLAIM, 1, key, *arguments))
        if answer is None:
            return None
        if answer == 0:
            raise FencedError("the session has a later stream")
        epoch, before, flat = answer
        session = StoredSession.of_fields(dict(zip(flat[::2], flat[1::2], strict=True)))
        return None if session is None else (int(epoch), before, session)

    async def read(self, key: str) -> StoredSession | None:
        """See `StoreLink`."""
        fields: Any = await self._asked(self._redis.hgetall(key))
        return StoredSession.of_fields(fields)

    async def kept_for(self, key: str) -> float | None:
        """See `StoreLink`."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(key, "closed")
            pipe.pttl(key)
            closed, left = await self._asked(pipe.execute())
        return left / 1000 if closed == b"0" and left > 0 else None

    async def touch(self, keys: Sequence[str], ttl: float) -> list[bool]:
        """See `StoreLink`."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.pexpire(key, milliseconds(ttl))
            return [bool(there) for there in await self._asked(pipe.execute())]

    async def ping(self) -> None:
        """See `StoreLink`."""
        await self._asked(self._redis.ping())

    async def close(self) -> None:
        """See `StoreLink`."""
        await self._redis.aclose()

    async def _asked(self, answer: Awaitable[T]) -> T:
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(self._timeout):
                return await answer
        except (RedisError, OSError, TimeoutError) as e:
            raise _away(e) from e


def _away(error: Exception) -> StoreAwayError:
    from redis.exceptions import OutOfMemoryError, ResponseError

    text = str(error) or type(error).__name__
    if isinstance(error, OutOfMemoryError) or "OOM" in text:
        return StoreAwayError("full", text)
    return StoreAwayError("refused" if isinstance(error, ResponseError) else "away", text)


def _open(config: StoreConfig) -> Redis:
    """A client; it connects when it is first asked something."""
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError as e:
        raise StartError("store is set, which needs the extra redis: pip install 'exalign[redis]'") from e
    options: dict[str, Any] = {}
    if config.store_password is not None:
        options["password"] = read_file("store_password", config.store_password).decode("utf-8", "replace").strip()
    for name, option in (("store_ca", "ssl_ca_certs"), ("store_cert", "ssl_certfile"), ("store_key", "ssl_keyfile")):
        path = getattr(config, name)
        if path is not None:
            read_file(name, path)
            options[option] = str(path)
    pool = BlockingConnectionPool.from_url(
        (config.store or "").replace("unix:/", "unix:///", 1),
        max_connections=_CONNECTIONS,
        timeout=config.store_timeout,
        socket_timeout=config.store_timeout,
        socket_connect_timeout=config.store_timeout,
        socket_keepalive=True,
        # Whether to try again is decided elsewhere: what was asked may have happened.
        retry=Retry(NoBackoff(), 0),
        client_name="exalign",
        **options,
    )
    return Redis.from_pool(pool)
