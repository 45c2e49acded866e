"""A fleet as a simulation: what streams see when servers die, and while all of them are replaced one after another.

Each server has cores that work off frames in the order in which they came. A stream sends frames at a steady rate, no
more than `Fleet.window` of them unanswered. When its server goes, it pauses as our client does (`retry.FIRST_PAUSE`,
halved at most by chance), opens again on another server that is ready, and sends again what was not answered. Opening
costs `Fleet.open_seconds` of a core there. A proxy leads by a hash, that is by chance; where `Fleet.balance` bounds
it, to no server that has more than so many times its even share. Not in it: the network, Redis, and streams that are
refused.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy

from exalign_client.track.requests import DEFAULT_WINDOW
from exalign_client.transport.retry import FIRST_PAUSE, OWN_PAUSE_JITTER

#: Shape of the gamma distribution of a frame's cost: its standard deviation is a fifth of its mean.
_SHAPE = 25.0

#: A stream has recovered once a frame is answered within so many times the fleet's p99 before the disturbance.
_RECOVERED = 1.5

Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Fleet:
    """What is simulated.

    Attributes:
        servers: of them.
        cores: of each.
        frame_seconds: core seconds of one frame, on average.
        rate: frames a second of each stream.
        load: share of all cores that streams use before anything happens.
        open_seconds: core seconds of a stream that opens.
        start_seconds: from the end of a server until another is ready in its place.
        balance: most streams of a server ÷ its even share; None: no bound.
        window: most frames that a stream has sent and are not answered.
    """

    servers: int
    cores: int
    frame_seconds: float
    rate: float
    load: float
    open_seconds: float
    start_seconds: float
    balance: float | None = None
    window: int = DEFAULT_WINDOW

    @property
    def streams(self) -> int:
        """That make this load."""
        return round(self.load * self.servers * self.cores / (self.frame_seconds * self.rate))


@dataclass
class Experience:
    """What streams saw, seconds.

    Attributes:
        before: from a frame's time to its answer, before the disturbance.
        latencies: the same of each frame since.
        interruptions: of each stream that lost its server: until the next answer.
        recoveries: likewise: until answers were as quick as before; longer than the simulation where they were not.
        moves: how often a stream was opened again, by stream.
    """

    before: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    interruptions: list[float] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)
    moves: dict[int, int] = field(default_factory=dict)


class _Server:
    """Its cores, and whether it takes streams."""

    def __init__(self, env: simpy.Environment, cores: int) -> None:
        self.env, self.count, self.streams = env, cores, 0
        self.begin()

    def begin(self) -> None:
        """It is there, with nothing to do."""
        self.cores, self.ready, self.ended = simpy.Resource(self.env, self.count), True, self.env.event()

    def end(self) -> None:
        """What it was doing is lost."""
        self.ready = False
        self.ended.succeed()


class Storm:
    """One simulation.

    Args:
        fleet: which.
        seed: of its chances.
    """

    def __init__(self, fleet: Fleet, seed: int = 1) -> None:
        self.env, self.fleet, self.seen = simpy.Environment(), fleet, Experience()
        self._random = random.Random(seed)
        self._servers = [_Server(self.env, fleet.cores) for _ in range(fleet.servers)]
        self._disturbed = float("inf")
        self._usual = float("inf")

    def killed(self, dead: int, warm: float = 20.0, seconds: float = 60.0) -> Experience:
        """Some servers die at once; others take their place after `Fleet.start_seconds`."""
        self._begin(warm)
        for server in self._servers[:dead]:
            server.end()
            self.env.process(self._again(server))
        self.env.run(warm + seconds)
        return self._finished(seconds)

    def upgraded(self, warm: float = 20.0, settle: float = 20.0) -> Experience:
        """All servers are replaced, one after another: the next one goes when the one before is ready again."""
        self._begin(warm)

        def rolling() -> Process:
            for server in self._servers:
                server.end()
                yield from self._again(server)

        self.env.process(rolling())
        seconds = len(self._servers) * self.fleet.start_seconds + settle
        self.env.run(warm + seconds)
        return self._finished(seconds)

    def _begin(self, warm: float) -> None:
        for stream in range(self.fleet.streams):
            self.env.process(self._stream(stream))
        self.env.run(warm)
        self._usual = float(np.percentile(self.seen.before, 99))
        self._disturbed = warm

    def _again(self, server: _Server) -> Process:
        yield self.env.timeout(self.fleet.start_seconds)
        server.begin()

    def _finished(self, seconds: float) -> Experience:
        lost = sum(self.seen.moves.values())
        self.seen.recoveries += [seconds] * (lost - len(self.seen.recoveries))
        return self.seen

    def _stream(self, number: int) -> Process:
        """Sends frames when they are due, waits where too many are unanswered, and moves when its server goes."""
        env, fleet = self.env, self.fleet
        server, due = self._chosen(self._servers), self._random.random() / fleet.rate
        unanswered, answers = deque[float](), simpy.Store(env)
        lost: float | None = None
        recovering: float | None = None
        while True:
            while len(unanswered) < fleet.window and due <= env.now:
                unanswered.append(due)
                env.process(self._frame(server, due, answers))
                due += 1 / fleet.rate
            waits = [server.ended, answer := answers.get()]
            if len(unanswered) < fleet.window:
                waits.append(env.timeout(due - env.now))
            yield env.any_of(waits)
            if answer.triggered:
                at = float(answer.value)  # type: ignore[arg-type]  # `_frame` puts nothing else
                unanswered.remove(at)
                latency = env.now - at
                self._note(latency)
                if lost is not None:
                    self.seen.interruptions.append(env.now - lost)
                    lost = None
                if recovering is not None and latency <= _RECOVERED * self._usual:
                    self.seen.recoveries.append(env.now - recovering)
                    recovering = None
            else:
                answer.cancel()
            if server.ended.triggered:
                self.seen.moves[number] = self.seen.moves.get(number, 0) + 1
                lost = env.now if lost is None else lost
                recovering = env.now if recovering is None else recovering
                answers = simpy.Store(env)  # what was on its way is gone
                server.streams -= 1
                server = yield from self._opened()
                for at in unanswered:
                    env.process(self._frame(server, at, answers))

    def _opened(self) -> Generator[simpy.Event, Any, _Server]:
        while True:
            yield self.env.timeout(FIRST_PAUSE * self._random.uniform(*OWN_PAUSE_JITTER))
            ready = [one for one in self._servers if one.ready]
            if not ready:
                continue
            server = self._chosen(ready)
            yield from self._work(server, self.fleet.open_seconds)
            if server.ready:
                return server
            server.streams -= 1

    def _chosen(self, ready: list[_Server]) -> _Server:
        """Where a proxy leads a stream."""
        if self.fleet.balance is not None:
            most = math.ceil(self.fleet.balance * self.fleet.streams / len(ready))
            ready = [one for one in ready if one.streams < most] or ready
        server = self._random.choice(ready)
        server.streams += 1
        return server

    def _frame(self, server: _Server, due: float, answers: simpy.Store) -> Process:
        # One stream's frames are answered in order by the server; here two may be worked on at once by two cores.
        cost = self.fleet.frame_seconds * self._random.gammavariate(_SHAPE, 1 / _SHAPE)
        ended = server.ended
        yield from self._work(server, cost)
        if not ended.triggered:
            answers.put(due)

    def _work(self, server: _Server, seconds: float) -> Process:
        cores, ended = server.cores, server.ended
        with cores.request() as core:
            yield core | ended
            if not ended.triggered:
                yield self.env.timeout(seconds) | ended

    def _note(self, latency: float) -> None:
        (self.seen.before if self.env.now < self._disturbed else self.seen.latencies).append(latency)
