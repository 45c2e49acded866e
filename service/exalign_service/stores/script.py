"""The two scripts that write to Redis, and what they are asked and answer. Whoever else keeps sessions answers alike.

A session is one hash: who may write to it, what it was last (`encoding`), and each message that may have to be sent
again in a field of its own, so that it is written once.

Who may write is decided by (epoch, owner, number). `CLAIM` increments the epoch and names a new owner; after that, the
one before is refused. An owner numbers its writes: one that comes late, over a connection that was given up, is refused
too. A write says the earliest number that it can follow; where the store has gone back behind it, or has forgotten the
session, it asks for all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

#: KEYS: of the session. ARGV: epoch, owner, number, base, kind, time to live (ms), secret, closed, head, state, n,
#: n fields that go, then field and value of each that is added.
WRITE = """
local epoch, number = tonumber(ARGV[1]), tonumber(ARGV[3])
local kind = ARGV[5]
local s = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'number', 'secret', 'closed')
if s[1] and kind == 'first' and s[4] ~= ARGV[7] then
  if s[5] ~= '1' then return 0 end
elseif s[1] then
  local stored = tonumber(s[1])
  if s[4] ~= ARGV[7] or stored > epoch or (stored == epoch and s[2] ~= ARGV[2]) then return 0 end
  if stored == epoch and tonumber(s[3]) > number then return 3 end
  if kind == 'more' and (stored < epoch or tonumber(s[3]) < tonumber(ARGV[4])) then return 2 end
elseif kind == 'more' then
  return 2
end
-- First what takes memory: where there is none it fails, and nothing has changed.
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'owner', ARGV[2], 'number', ARGV[3], 'secret', ARGV[7],
  'closed', ARGV[8], 'head', ARGV[9], 'state', ARGV[10])
if kind ~= 'more' then
  for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(name, 1, 1) == 'r' then redis.call('HDEL', KEYS[1], name) end
  end
end
local at = 12
for i = 1, tonumber(ARGV[11]) do
  redis.call('HDEL', KEYS[1], ARGV[at])
  at = at + 1
end
while at < #ARGV do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  at = at + 2
end
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return 1
"""

#: KEYS: of the session. ARGV: secret, owner, time to live (ms), and the epoch that was seen, or nothing. The new epoch
#: is the one before plus 1. It takes no memory, and goes on where there is none: hence Redis 7, or Valkey.
CLAIM = """#!lua flags=allow-oom
local s = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'secret')
if not s[1] or s[3] ~= ARGV[1] then return false end
if ARGV[4] ~= '' and s[1] ~= ARGV[4] then return 0 end
redis.call('HSET', KEYS[1], 'epoch', string.format('%d', tonumber(s[1]) + 1), 'owner', ARGV[2], 'closed', '0')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {s[1], s[2], redis.call('HGETALL', KEYS[1])}
"""

#: Random bytes that name an owner.
OWNER_BYTES = 8

#: Begins the field of an entry, and no other; its number follows.
ENTRY = "r"


class Reply(IntEnum):
    """What `WRITE` answers."""

    #: The session belongs to another: nothing was written.
    FENCED = 0
    WRITTEN = 1
    #: What this write builds on is not there: all of it is wanted.
    WANTS_ALL = 2
    #: A later write of the same owner is there.
    OLDER = 3
    #: The store's own error about one session: what lies under its key is none of ours, say.
    REFUSED = 4


#: Kinds of a write: of a session that must not be there, all of one, or what has changed.
FIRST, ALL, MORE = "first", "all", "more"


@dataclass(frozen=True)
class Write:
    """One checkpoint.

    Attributes:
        key: of the session.
        epoch: of the stream that has it.
        owner: of its claim.
        number: of this write of the owner's.
        base: the earliest write that this one can follow.
        kind: `FIRST`, `ALL` or `MORE`.
        secret: of the session.
        closed: the session has ended; what is there is kept for a moment, in case its client has not heard of it.
        ttl: seconds for which it is kept.
        head: all else of the record.
        state: the engine's.
        gone: entries that are not kept any more.
        added: new ones.
    """

    key: str
    epoch: int
    owner: bytes
    number: int
    base: int
    kind: str
    secret: bytes
    closed: bool
    ttl: float
    head: bytes
    state: bytes
    gone: tuple[int, ...] = ()
    added: tuple[tuple[int, bytes], ...] = ()

    @property
    def size(self) -> int:
        """Bytes that are sent."""
        return len(self.head) + len(self.state) + sum(len(data) for _, data in self.added)

    def arguments(self) -> list[str | bytes | int]:
        """ARGV."""
        found: list[str | bytes | int] = [self.epoch, self.owner, self.number, self.base, self.kind]
        found += [milliseconds(self.ttl), self.secret, int(self.closed), self.head, self.state, len(self.gone)]
        found += [f"{ENTRY}{number}" for number in self.gone]
        for number, data in self.added:
            found += [f"{ENTRY}{number}", data]
        return found


@dataclass(frozen=True)
class StoredSession:
    """A session as the store has it.

    Attributes:
        epoch: of the stream that has it.
        owner: of its claim.
        number: of its newest write.
        closed: see `Write`.
        head: all else of the record.
        state: the engine's.
        entries: what may have to be sent again, by number.
    """

    epoch: int
    owner: bytes
    number: int
    closed: bool
    head: bytes
    state: bytes
    entries: tuple[tuple[int, bytes], ...]

    @classmethod
    def of_fields(cls, fields: dict[bytes, bytes]) -> StoredSession | None:
        """From the fields of the hash; None where it is none of ours."""
        try:
            entries = [(int(k[1:]), v) for k, v in fields.items() if k[:1] == b"r" and k[1:].isdigit()]
            return cls(
                int(fields[b"epoch"]),
                fields[b"owner"],
                int(fields[b"number"]),
                fields[b"closed"] == b"1",
                fields[b"head"],
                fields[b"state"],
                tuple(sorted(entries)),
            )
        except (KeyError, ValueError):
            return None


def milliseconds(seconds: float) -> int:
    """For Redis, at least 1."""
    return max(1, round(seconds * 1000))
