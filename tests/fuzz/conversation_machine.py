"""Conversations as Hypothesis makes them: which step comes next is its choice, what is said follows from a seed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from call_rules import ServerView
from conversation import Conversation
from conversation_client import Client
from open_talk import MOST_STREAMS, Talk

SEEDS = st.integers(0, 2**32 - 1)


class Ground:
    """What conversations share: a loop, a connection, what is known of the server.

    Args:
        loop: in which everything runs.
        client: over which they are held.
        known: of the server.
        prefix: of the names of sessions: of its own for each ground of a server.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, client: Client, known: ServerView, prefix: str) -> None:
        self.loop, self.client, self.known, self.prefix = loop, client, known, prefix
        self.conversations = self.steps = 0
        #: What went wrong, and the steps that led there.
        self.finds: list[tuple[str, list[str]]] = []


class ConversationMachine(RuleBasedStateMachine):
    """One conversation. A subclass has the ground."""

    ground: Ground

    def __init__(self) -> None:
        super().__init__()
        ground = self.ground
        ground.conversations += 1
        ground.known.posteriors.clear()
        self._failed, self._steps = False, list[str]()
        self._it = Conversation(ground.client, ground.known, f"{ground.prefix}{ground.conversations}")

    @rule(seed=SEEDS)
    def call(self, seed: int) -> None:
        """A single call."""
        self._run(self._it.call(self._random("call", seed)))

    @precondition(lambda self: len(self._it.talks) < MOST_STREAMS)
    @rule(seed=SEEDS)
    def open(self, seed: int) -> None:
        """A new session."""
        self._run(self._it.open(self._random("open", seed)))

    @precondition(lambda self: self._it.tokens and len(self._it.talks) < MOST_STREAMS)
    @rule(seed=SEEDS)
    def resume(self, seed: int) -> None:
        """An earlier session, or not."""
        self._run(self._it.resume(self._random("resume", seed)))

    @precondition(lambda self: self._it.talks)
    @rule(seed=SEEDS)
    def frames(self, seed: int) -> None:
        """Frames."""
        self._with(seed, self._it.frames)

    @precondition(lambda self: self._it.talks)
    @rule(seed=SEEDS)
    def more_frames(self, seed: int) -> None:
        """Frames, twice as often as anything else."""
        self._with(seed, self._it.frames)

    @precondition(lambda self: self._it.talks)
    @rule(seed=SEEDS)
    def again(self, seed: int) -> None:
        """A frame from the past."""
        self._with(seed, self._it.again)

    @precondition(lambda self: self._it.talks)
    @rule(seed=SEEDS)
    def acknowledge(self, seed: int) -> None:
        """Results have arrived."""
        self._with(seed, self._it.acknowledge)

    @precondition(lambda self: self._it.talks)
    @rule(seed=SEEDS)
    def evidence(self, seed: int) -> None:
        """Late evidence."""
        self._with(seed, self._it.evidence)

    @precondition(lambda self: self._it.talks)
    @rule(seed=SEEDS)
    def heartbeat_or_wrong(self, seed: int) -> None:
        """A heartbeat; now and then what must not be said."""
        self._with(seed, self._it.heartbeat if seed % 3 else self._it.wrong)

    @precondition(lambda self: self._it.talks)
    @rule(seed=SEEDS)
    def leave(self, seed: int) -> None:
        """The stream ends: in good order, or it breaks."""
        random = self._random("leave", seed)
        talk = random.choice(self._it.talks)
        self._run(self._it.close(talk) if random.random() < 0.5 else self._it.cut(talk))

    def teardown(self) -> None:
        """End what is open."""
        if self._failed:
            for talk in self._it.talks:
                talk.stream.cancel()
        else:
            self._run(self._it.finish(Random(0)))

    def _with(self, seed: int, step: Callable[[Talk, Random], Coroutine[object, object, None]]) -> None:
        random = self._random(step.__name__, seed)
        self._run(step(random.choice(self._it.talks), random))

    def _random(self, step: str, seed: int) -> Random:
        """What a step is made of: its place counts too, for Hypothesis likes some numbers more than others."""
        self._steps.append(f"{step} {seed}")
        return Random(f"{len(self._steps)} {seed}")

    def _run(self, step: Coroutine[object, object, None]) -> None:
        self.ground.steps += 1
        try:
            self.ground.loop.run_until_complete(step)
        except Exception as e:
            self._failed = True
            self.ground.finds.append((f"{type(e).__name__}: {e}", self._steps))
            raise
