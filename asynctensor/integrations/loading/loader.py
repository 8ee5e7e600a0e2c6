"""`Loader`: batches of samples, read ahead, epoch after epoch, from where it stopped."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Generic, TypeAlias, TypedDict, TypeVar

from asynctensor.chunked.codec import Array
from asynctensor.chunked.scratch import new_output
from asynctensor.errors import Error, InvalidArgument
from asynctensor.integrations.loading.cut import Cut
from asynctensor.integrations.loading.group import Group, Memory, Values
from asynctensor.integrations.loading.pinned_samples import PinnedSamples, pinned_samples
from asynctensor.integrations.loading.ranks import given_ranks
from asynctensor.integrations.loading.resume_state import ResumeState
from asynctensor.integrations.loading.samples import Samples
from asynctensor.integrations.loading.whole_number import whole_number
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future

T = TypeVar("T")
U = TypeVar("U")
_Reading: TypeAlias = tuple[Group, Future[Values]]

#: What is read together is no larger than this, unless it is one batch.
_GROUP_BYTES = 128 * 2**20
#: Batches that are read ahead, where nobody says how many: two, and of small ones more, up to so
#: many bytes. What is far away takes as long as a dozen small batches take to be decoded.
_AHEAD, _MOST_AHEAD, _AHEAD_BYTES = 2, 8, 16 * 2**20


class LoaderOptions(TypedDict, total=False):
    """How samples are loaded, into whichever framework.

    Attributes:
        shuffle: By blocks of chunks; see `Samples.order`. By default not.
        seed: Of the shuffle, 0 by default; the same on all ranks.
        window: Samples that are shuffled among each other at least; None: those of 16 blocks.
        drop_last: Leave out what is left at the end of an epoch, less than a batch for each rank;
            otherwise it is spread evenly.
        rank: This process's part of each step; None: that of the framework's processes, where it
            knows them, else the only one.
        world_size: How many processes load together.
        ahead: Batches that are read ahead; by each worker, if there are any. By default 2, and of
            small ones as many as are 16 MiB, up to 8. Those whose samples share chunks are read
            together, up to 128 MiB, and two such groups are in memory.
    """

    shuffle: bool
    seed: int
    window: int | None
    drop_last: bool
    rank: int | None
    world_size: int | None
    ahead: int | None


class Loader(Generic[T]):
    """Batches of samples, one epoch at each iteration, with ``for`` or ``async for``.

    The next batches are read while the caller works on one. An epoch's order is a function of
    `seed` and the epoch's number alone; a state (`state_dict`) is a few numbers, and goes on with
    any number of ranks and any size of batches. An epoch that is left early counts as begun: the
    next iteration is the next epoch, unless a state is loaded.

    All epochs are of one version: see `pin`.
    """

    def __init__(
        self,
        samples: Samples,
        batch_size: int,
        *,
        convert: Callable[[Values], T],
        memory: Memory = new_output,
        shuffle: bool = False,
        seed: int = 0,
        window: int | None = None,
        drop_last: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
        ahead: int | None = None,
    ) -> None:
        """Nothing is read before the first iteration.

        Args:
            samples: What is loaded.
            batch_size: Samples of a batch of one rank.
            convert: Makes of what was read what is handed out.
            memory: Gives the memory that batches are read into.
            shuffle: This and what follows: see `LoaderOptions`.
            seed: Of the shuffle.
            window: Of the shuffle.
            drop_last: Whether the rest is left out.
            rank: Which part of each step this is.
            world_size: How many ranks load together.
            ahead: Batches that are read ahead.

        Raises:
            IncompatibleType: Something else than a whole number is given for one.
            InvalidArgument: A number is out of range.
        """
        numbers = {"window": window, "rank": rank, "world_size": world_size, "ahead": ahead}
        for name, number in numbers.items():
            if number is not None:
                whole_number(number, name)
        batch_size, seed = whole_number(batch_size, "batch_size"), whole_number(seed, "seed")
        if seed < 0:
            raise InvalidArgument(f"`seed` is at least 0, got {seed}")
        if ahead is not None and ahead < 0:
            raise InvalidArgument(f"`ahead` is at least 0, got {ahead}")
        self.samples, self._convert, self._memory = samples, convert, memory
        # As they were given: on branches, maybe. And what is loaded instead, once that is fixed.
        self._given = samples
        self._pinned: PinnedSamples | None = None
        self._order = samples.order(shuffle=shuffle, seed=seed, window=window)
        self._cut = Cut(batch_size, drop_last, *given_ranks(rank, world_size))
        if ahead is None:
            fitting = _AHEAD_BYTES // max(1, batch_size * samples.nbytes)
            ahead = max(_AHEAD, min(fitting, _MOST_AHEAD))
        self._ahead = ahead
        self._epoch, self._position = 0, 0
        self._begun = False

    def of_share(self, share: int, shares: int) -> Loader[T]:
        """The same of a share of the shuffle windows; no two shares have a chunk in common.

        Its states are of that share alone. Pin before, where shares are to be of one version.

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
            IncompatibleType: It is no whole number.
            InvalidArgument: It is negative.
        """
        epoch = whole_number(epoch, "epoch")
        if epoch < 0:
            raise InvalidArgument(f"epochs are counted from 0, got {epoch}")
        self._epoch, self._position, self._begun = epoch, 0, False

    def pin(self, snapshots: Sequence[str] | None = None) -> Future[tuple[str, ...]]:
        """Fixes which version is loaded: of arrays on branches, the snapshots that these are at.

        It is done when the first epoch begins, or a state is asked for, and holds for all epochs:
        what is committed later is seen by another loader. A state that is loaded brings its own.
        Ranks that load together from a branch that moves are given what one of them pinned.

        Args:
            snapshots: What `pin` gave elsewhere; None: those that are pinned already, else the
                newest.

        Returns:
            Future of the ids of the snapshots, one for each branch; none where nothing could
            change. It fails with `NotFound` if a branch has no commit, or there is no such
            snapshot, and with `FailedPrecondition` if these are snapshots of other arrays. A
            cancelled call has fixed nothing.
        """
        if snapshots is None and self._pinned is not None:
            return Future.resolved(self._pinned.snapshots)
        pinning = pinned_samples(self._given, snapshots)
        if pinning.done():
            return Future.resolved(self._adopted(pinning.result()))
        return start(self._pin, pinning)

    async def _pin(self, pinning: Future[PinnedSamples]) -> tuple[str, ...]:
        return self._adopted(await pinning)

    def _adopted(self, found: PinnedSamples) -> tuple[str, ...]:
        self._pinned, self.samples = found, found.samples
        return found.snapshots

    def _state(self, pinned: PinnedSamples) -> ResumeState:
        order = self._order
        window = order.window if order.shuffle else 0
        data = pinned.samples.identity
        if order.shares > 1:
            data += f" share {order.share} of {order.shares}"
        return ResumeState(data, pinned.snapshots, order.seed, window, self._epoch, self._position)

    def state_dict(self) -> dict[str, Any]:
        """How far it is: behind the last batch that was handed out. JSON, the same on all ranks.

        Raises:
            NotFound: Nothing is pinned yet, and a branch has no commit.
        """
        self.pin().result()
        assert self._pinned is not None
        return self._state(self._pinned).to_json()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Has the next iteration go on from there, of the version that the state is of.

        Raises:
            InvalidArgument: This is no such state.
            FailedPrecondition: It is one of other data, or of another order.
            NotFound: The snapshot that it is of is gone.
        """
        found = ResumeState.from_json(state)
        pinned = self._pinned
        if pinned is None or pinned.snapshots != found.snapshots:
            pinned = pinned_samples(self._given, found.snapshots).result()
        found.check(self._state(pinned))
        length = self._order.length(found.epoch)
        if found.position > length:
            raise InvalidArgument(f"the state is at position {found.position} of {length} samples")
        self._adopted(pinned)
        self._epoch, self._position, self._begun = found.epoch, found.position, False
        if self._cut.is_over(found.position, length):
            self._epoch, self._position = found.epoch + 1, 0

    # -- loading ----------------------------------------------------------------------------

    def _groups(self) -> Iterator[Group]:
        """The batches that are still to come in this epoch, those together that share chunks."""
        if self._begun:
            self._epoch, self._position = self._epoch + 1, 0
        self._begun = True
        epoch, together, most = self._epoch, 1, self._together()
        batches = self._cut.batches(self._position, self._order.length(epoch))
        while several := list(itertools.islice(batches, together)):
            # The first ones come soon: regions one after the other, rows when all have been read.
            together = most if self.samples.are_regions else min(2 * together, most)
            yield Group.of(
                epoch,
                [
                    (self._order.numbers(epoch, begin, end), behind)
                    for begin, end, behind in several
                ],
            )

    def _together(self) -> int:
        """How many batches are read together, if their samples have chunks in common."""
        if not self.samples.share_chunks:
            return 1
        return max(1, _GROUP_BYTES // max(1, self._cut.batch_size * self.samples.nbytes))

    def __iter__(self) -> Iterator[T]:
        return self._loaded(self._convert)

    def unconverted(self) -> Iterator[Values]:
        """The batches as they were read: otherwise what ``for`` gives."""
        return self._loaded(lambda values: values)

    def _loaded(self, convert: Callable[[Values], U]) -> Iterator[U]:
        self.pin().result()
        groups, reading = self._groups(), deque[_Reading]()
        try:
            while self._begin(groups, reading):
                group, future = reading.popleft()
                try:
                    values = future.result()
                except Error:
                    if len(group.behind) == 1:
                        raise
                    self._read_singly(group, reading)
                    continue
                yield from self._handed_out(group, values, groups, reading, convert)
            self._ended()
        finally:
            for _, future in reading:
                future.cancel()

    async def __aiter__(self) -> AsyncIterator[T]:
        await self.pin()
        groups, reading = self._groups(), deque[_Reading]()
        try:
            while self._begin(groups, reading):
                group, future = reading.popleft()
                try:
                    values = await future
                except Error:
                    if len(group.behind) == 1:
                        raise
                    self._read_singly(group, reading)
                    continue
                for batch in self._handed_out(group, values, groups, reading, self._convert):
                    yield batch
            self._ended()
        finally:
            for _, future in reading:
                future.cancel()

    def _begin(self, groups: Iterator[Group], reading: deque[_Reading], left: int = 0) -> bool:
        """Has read ahead what should be; whether anything is being read.

        Args:
            groups: What is still to come.
            reading: What is being read, in order.
            left: Batches that were read and not handed out yet.
        """
        ahead = left + sum(len(group.behind) for group, _ in reading)
        while ahead <= self._ahead or not reading:
            group = next(groups, None)
            if group is None:
                break
            # The first groups are small on purpose.
            warn = len(group.behind) == self._together()
            reading += self._read(group, warn=warn)
            ahead += len(group.behind)
        return bool(reading)

    def _read(self, group: Group, *, warn: bool) -> list[_Reading]:
        """Has a group read: regions to the memory of the batches, rows to be spread over it."""
        groups = list(group.single()) if self.samples.are_regions else [group]
        futures = self.samples.read_several(
            [each.numbers for each in groups],
            epoch=group.epoch,
            outs=[self._out(each) for each in groups],
            warn=warn,
        )
        return list(zip(groups, futures, strict=True))

    def _out(self, group: Group) -> dict[str, Array] | None:
        """The memory of the only batch of a group; None: any, or of several."""
        if self._memory is new_output or len(group.behind) > 1:
            return None
        dtypes = self.samples.dtypes
        return {
            name: self._memory((len(group.numbers), *shape), dtypes[name])
            for name, shape in self.samples.shapes.items()
        }

    def _read_singly(self, group: Group, reading: deque[_Reading]) -> None:
        """Has each batch of a group read, so that each has its own error."""
        for each in reversed(list(group.single())):
            reading.extendleft(self._read(each, warn=False))

    def _handed_out(
        self,
        group: Group,
        values: Values,
        groups: Iterator[Group],
        reading: deque[_Reading],
        convert: Callable[[Values], U],
    ) -> Iterator[U]:
        left = len(group.behind)
        batches = group.batches(values, self._memory)
        for batch, behind in zip(batches, group.behind, strict=True):
            left -= 1
            self._begin(groups, reading, left)
            found = convert(batch)
            self._position = behind
            yield found

    def _ended(self) -> None:
        self._epoch, self._position, self._begun = self._epoch + 1, 0, False
