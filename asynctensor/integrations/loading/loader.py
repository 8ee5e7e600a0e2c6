"""`Loader`: batches of samples, read ahead, epoch after epoch, from where it stopped."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from copy import copy
from dataclasses import replace
from typing import Any, Generic, TypeVar

from asynctensor.errors import InvalidArgument
from asynctensor.integrations.loading.cut import Cut
from asynctensor.integrations.loading.places import Int64Array
from asynctensor.integrations.loading.resume_state import ResumeState
from asynctensor.integrations.loading.samples import Samples, Values
from asynctensor.runtime.future import Future

T = TypeVar("T")


class Loader(Generic[T]):
    """Batches of samples, one epoch at each iteration, with ``for`` or ``async for``.

    The next batches are read while the caller works on one. An epoch's order is a function of
    `seed` and the epoch's number alone; a state (`state_dict`) is a few numbers, and goes on with
    any number of ranks and any size of batches. An epoch that is left early counts as begun: the
    next iteration is the next epoch, unless a state is loaded.
    """

    def __init__(
        self,
        samples: Samples,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        window: int | None = None,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        ahead: int = 2,
        convert: Callable[[Values], T],
    ) -> None:
        """Nothing is read before the first iteration.

        Args:
            samples: What is loaded.
            batch_size: Samples of a batch of one rank.
            shuffle: By blocks of chunks; see `Samples.order`.
            seed: Of the shuffle.
            window: Samples that are shuffled among each other at least.
            drop_last: Leave out what is left at the end of an epoch, less than a batch for each
                rank; otherwise it is spread evenly.
            rank: Which part of each step this is.
            world_size: How many ranks load together.
            ahead: Batches that are read ahead; so many and one more are in memory.
            convert: Makes of what was read what is handed out.

        Raises:
            InvalidArgument: A number is out of range.
        """
        if ahead < 0:
            raise InvalidArgument(f"`ahead` is at least 0, got {ahead}")
        self.samples, self._ahead, self._convert = samples, ahead, convert
        self._order = samples.order(shuffle=shuffle, seed=seed, window=window)
        self._cut = Cut(batch_size, drop_last, rank, world_size)
        self._epoch, self._position = 0, 0
        self._begun = False

    def of_share(self, share: int, shares: int) -> Loader[T]:
        """The same of a share of the shuffle windows; no two shares have a chunk in common.

        Its states are of that share alone.

        Raises:
            InvalidArgument: There is no such share.
        """
        found = copy(self)
        found._order = replace(self._order, share=share, shares=shares, _kept={})
        return found

    def __len__(self) -> int:
        """Batches of the epoch that is loaded, or that comes next."""
        return self._cut.count(0, self._order.length(self._epoch))

    # -- where it is ------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Number of the epoch that is loaded, or that comes next."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Has the next iteration load this epoch, from its beginning.

        Raises:
            InvalidArgument: It is negative.
        """
        if epoch < 0:
            raise InvalidArgument(f"epochs are counted from 0, got {epoch}")
        self._epoch, self._position, self._begun = epoch, 0, False

    def _state(self) -> ResumeState:
        order = self._order
        window = order.window if order.shuffle else 0
        data = self.samples.identity
        if order.shares > 1:
            data += f" share {order.share} of {order.shares}"
        return ResumeState(data, order.seed, window, self._epoch, self._position)

    def state_dict(self) -> dict[str, Any]:
        """How far it is: behind the last batch that was handed out. JSON, the same on all ranks."""
        return self._state().to_json()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Has the next iteration go on from there.

        Raises:
            InvalidArgument: This is no such state.
            FailedPrecondition: It is one of other data, or of another order.
        """
        found = ResumeState.from_json(state)
        found.check(self._state())
        length = self._order.length(found.epoch)
        if found.position > length:
            raise InvalidArgument(f"the state is at position {found.position} of {length} samples")
        self._epoch, self._position, self._begun = found.epoch, found.position, False
        if self._cut.is_over(found.position, length):
            self._epoch, self._position = found.epoch + 1, 0

    # -- loading ----------------------------------------------------------------------------

    def _plan(self) -> Iterator[tuple[Int64Array, int]]:
        """The batches that are still to come in this epoch, and the position behind each."""
        if self._begun:
            self._epoch, self._position = self._epoch + 1, 0
        self._begun = True
        epoch = self._epoch
        for begin, end, behind in self._cut.batches(self._position, self._order.length(epoch)):
            yield self._order.numbers(epoch, begin, end), behind

    def __iter__(self) -> Iterator[T]:
        plan = self._plan()
        reading: deque[tuple[Future[Values], int]] = deque()
        try:
            while self._more(plan, reading):
                future, behind = reading.popleft()
                values = self._convert(future.result())
                self._position = behind
                yield values
            self._ended()
        finally:
            for future, _ in reading:
                future.cancel()

    async def __aiter__(self) -> AsyncIterator[T]:
        plan = self._plan()
        reading: deque[tuple[Future[Values], int]] = deque()
        try:
            while self._more(plan, reading):
                future, behind = reading.popleft()
                values = self._convert(await future)
                self._position = behind
                yield values
            self._ended()
        finally:
            for future, _ in reading:
                future.cancel()

    def _more(
        self, plan: Iterator[tuple[Int64Array, int]], reading: deque[tuple[Future[Values], int]]
    ) -> bool:
        """Has the next batches read; whether there is one."""
        while len(reading) <= self._ahead:
            numbers, behind = next(plan, (None, 0))
            if numbers is None:
                break
            reading.append((self.samples.read(numbers, epoch=self._epoch), behind))
        return bool(reading)

    def _ended(self) -> None:
        self._epoch, self._position, self._begun = self._epoch + 1, 0, False
