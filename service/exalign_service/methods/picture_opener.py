"""From the picture of a request to pixels, and the memory that they take.

A small picture is decoded in the visit to a thread that uses it. One that is large waits for room in the budget first,
as a file; one that takes long, or of which nobody can say, is decoded in a process of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from exalign_engine.arrays import U8
from exalign_engine.errors import InvalidInputError
from exalign_engine.geometry.image import ExaminedPicture
from exalign_engine.geometry.image_limits import ImageLimits
from exalign_engine.geometry.levels import LevelsWanted, Pixels, open_levels, scalable
from exalign_service.decoding.budget import DecodedBytesBudget
from exalign_service.decoding.pool import DecoderPool, is_dear
from exalign_service.decoding.wire import empty
from exalign_service.inference.stage_pool import StagePool
from exalign_service.methods.stage_clock import StageClock, in_thread
from exalign_service.observability.metrics import Metrics
from exalign_service.requests.image import ExaminedRaw
from exalign_service.requests.picture import Picture
from exalign_service.rpc.call_context import current_call
from exalign_service.rpc.errors import DeadlineExpiredError, NotServingError

T = TypeVar("T")

#: A picture that takes no more memory is decoded at once where there is room, bytes: one of 5 megapixels.
_SMALL = 16 * 2**20

Examined = ExaminedPicture | ExaminedRaw

#: How to open a picture (H, W, ...).
Wanted = Callable[[tuple[int, ...]], LevelsWanted]


@dataclass(frozen=True)
class _Opened(Generic[T]):
    """What was made of a picture that was decoded at once, and the memory that it takes."""

    made: T
    size: int


class PictureOpener:
    """Opens pictures.

    Args:
        stages: threads.
        decoders: processes for those that take long.
        budget: of the memory of decoded pictures.
        limits: what is accepted.
        metrics: counts those that cannot be decoded.
    """

    def __init__(
        self,
        stages: StagePool,
        decoders: DecoderPool,
        budget: DecodedBytesBudget,
        limits: ImageLimits,
        metrics: Metrics,
    ) -> None:
        self._stages, self._decoders, self._budget = stages, decoders, budget
        self._limits, self._metrics = limits, metrics

    @asynccontextmanager
    async def opened(
        self,
        picture: Picture,
        clock: StageClock,
        wanted: Wanted,
        then: Callable[[Pixels], T],
        small: Callable[[Pixels], T] | None = None,
    ) -> AsyncIterator[T]:
        """Decode a picture as far as somebody looks, and do something with it in the same visit to a thread.

        The memory of the picture counts as long as the block runs: it may be kept until then, and no longer.

        Args:
            picture: of the request.
            clock: of the call.
            wanted: how to open a picture of a shape, where it can be decoded at a scale.
            then: gets (H, W, 3) uint8 RGB, in the image frame, or levels of it.
            small: the same in its place for a picture that is decoded at once, whose memory keeps nobody waiting.

        Yields:
            What ``then`` returned.

        Raises:
            InvalidInputError: every violation of the request.
            DeadlineExpiredError: there was no room, or no decoder, before the deadline.
            DecoderUnavailableError: no process can be started.
        """
        call = current_call.get()
        first = await in_thread(
            self._stages, clock, self._at_once, picture, clock, wanted, small or then, call.caller, fresh=True
        )
        if isinstance(first, _Opened):
            with self._budget.taken(first.size, call.caller):
                yield first.made
            return
        dear = isinstance(first, ExaminedPicture) and is_dear(first.plan)
        # What a decoder needs beyond the picture, it needs in its own process: there are only so many.
        need = first.plan.decoded_bytes if dear and isinstance(first, ExaminedPicture) else _peak_bytes(first)
        async with self._budget.hold(need, call.caller, call.deadline) as hold:
            if dear and isinstance(first, ExaminedPicture):
                image = await self._by_decoder(picture, first, clock)
                try:
                    yield await in_thread(self._stages, clock, self._checked, picture, image, clock, then)
                finally:
                    await self._emptied(image)
                return
            made = await in_thread(self._stages, clock, self._decoded, picture, first, clock, wanted, then)
            hold.shrink(_decoded_bytes(first))
            yield made

    def _at_once(
        self, picture: Picture, clock: StageClock, wanted: Wanted, then: Callable[[Pixels], T], caller: str
    ) -> _Opened[T] | Examined:
        """What is made of a small picture; of any other, what its structure says."""
        with self._counted(clock):
            examined = clock.run("decode", picture.examine, self._limits)
        size = _peak_bytes(examined)
        dear = isinstance(examined, ExaminedPicture) and is_dear(examined.plan)
        if dear or size > _SMALL or not self._budget.has_room(size, caller):
            return examined
        return _Opened(self._decoded(picture, examined, clock, wanted, then), _decoded_bytes(examined))

    def _decoded(
        self, picture: Picture, examined: Examined, clock: StageClock, wanted: Wanted, then: Callable[[Pixels], T]
    ) -> T:
        def decode() -> Pixels:
            return open_levels(examined, wanted) if isinstance(examined, ExaminedPicture) else examined.decode()

        with self._counted(clock):
            image = clock.run("decode", picture.complete, decode)
        return self._checked(picture, image, clock, then)

    def _checked(self, picture: Picture, image: Pixels, clock: StageClock, then: Callable[[Pixels], T]) -> T:
        with self._counted(clock):
            picture.check(image)
        return then(image)

    async def _by_decoder(self, picture: Picture, examined: ExaminedPicture, clock: StageClock) -> U8:
        call, start = current_call.get(), time.monotonic()
        try:
            with self._counted(clock):
                return await self._decoders.decode(
                    examined.data, examined.plan, self._limits, caller=call.caller, deadline=call.deadline
                )
        except InvalidInputError as e:
            raise InvalidInputError([*picture.violations, *e.violations]) from None
        finally:
            clock.add("decode", start, time.monotonic())

    async def _emptied(self, image: U8) -> None:
        """Give a large picture's memory back in a thread; it is done also where nobody waits for the call any more."""
        emptying = asyncio.ensure_future(self._stages.run(empty, image))
        emptying.add_done_callback(lambda done: done.cancelled() or done.exception())
        with suppress(NotServingError, DeadlineExpiredError):  # it goes with its last holder then
            await asyncio.shield(emptying)

    @contextmanager
    def _counted(self, clock: StageClock) -> Iterator[None]:
        """Count a picture that cannot be decoded."""
        try:
            yield
        except InvalidInputError as e:
            if any(violation.field.startswith("image") for violation in e.violations):
                self._metrics.undecodable.labels(clock.method).inc()
            raise


def _decoded_bytes(examined: Examined) -> int:
    """Most bytes that an opened picture keeps, whatever of it is looked at."""
    if not isinstance(examined, ExaminedPicture):
        return examined.decoded_bytes
    return examined.plan.decoded_bytes + _coarse_bytes(examined)


def _peak_bytes(examined: Examined) -> int:
    """Most bytes that it takes while it is decoded."""
    if not isinstance(examined, ExaminedPicture):
        return examined.decoded_bytes
    return examined.plan.peak_bytes + _coarse_bytes(examined)


def _coarse_bytes(examined: ExaminedPicture) -> int:
    """Of its levels beside the whole picture: a quarter, a sixteenth and a sixty-fourth of it."""
    return examined.plan.decoded_bytes // 2 if scalable(examined) else 0
