"""In which order samples are visited: as numbered, or shuffled by blocks of chunks. Pure.

A shuffle of single samples touches a chunk as often as it has samples. Here the *blocks* (the
samples whose corners lie in one chunk) are shuffled, some of them at a time make a *window*, and
the samples of a window are shuffled among each other: each chunk is needed in one window only, and
what must be held at once is bounded. The order is a function of seed and epoch alone, whoever reads
which part of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from asynctensor.errors import InvalidArgument
from asynctensor.integrations.loading.places import Int64Array


@dataclass(frozen=True, slots=True)
class Order:
    """The order of the samples of an epoch, or of a share of them.

    Attributes:
        counts: Samples along each axis of their numbering.
        block: Samples of a block along each axis.
        window: Samples of a window, at least.
        shuffle: Whether blocks, and the samples of a window, change places. Otherwise samples come
            as they are numbered, or, of a share, block by block.
        seed: Of the shuffle; each epoch has another.
        share: Which of the windows these are: every `shares`-th from this one on.
        shares: How many shares there are; no two of them have a block in common.
    """

    counts: tuple[int, ...]
    block: tuple[int, ...]
    window: int
    shuffle: bool
    seed: int = 0
    share: int = 0
    shares: int = 1
    _kept: dict[str, tuple[object, Any]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.window < 1:
            raise InvalidArgument(f"a window has at least one sample, got {self.window}")
        if not 0 <= self.share < self.shares:
            raise InvalidArgument(f"share {self.share} of {self.shares} is none")

    def length(self, epoch: int) -> int:
        """How many samples an epoch has."""
        if self.shares == 1:
            return math.prod(self.counts)
        ends = self._epoch(epoch)[1]
        return int(ends[-1]) if len(ends) else 0

    def numbers(self, epoch: int, begin: int, end: int) -> Int64Array:
        """The samples at positions ``begin`` to ``end`` (not included) of an epoch.

        Raises:
            InvalidArgument: There are no such positions.
        """
        if not 0 <= begin <= end <= self.length(epoch):
            raise InvalidArgument(
                f"positions are from 0 to {self.length(epoch)}, got those from {begin} to {end}"
            )
        if not self.shuffle and self.shares == 1:
            return np.arange(begin, end, dtype=np.int64)
        ends = self._epoch(epoch)[1]
        found = [np.empty(0, np.int64)]
        while begin < end:
            window = int(np.searchsorted(ends, begin, "right"))
            first = int(ends[window - 1]) if window else 0
            part = self._window(epoch, self.share + window * self.shares)[begin - first :]
            found.append(part[: end - begin])
            begin += len(found[-1])
        return np.concatenate(found)

    def _grid(self) -> tuple[int, ...]:
        return tuple(-(-count // edge) for count, edge in zip(self.counts, self.block, strict=True))

    def _remembered(self, what: str, key: object, made: Callable[[], Any]) -> Any:
        """What was worked out last; whoever asks at the same time for another works it out too."""
        known = self._kept.get(what)
        if known is None or known[0] != key:
            known = self._kept[what] = key, made()
        return known[1]

    def _epoch(self, epoch: int) -> tuple[Int64Array, Int64Array]:
        """The blocks in their order, and at which position each window of this share ends."""

        def made() -> tuple[Int64Array, Int64Array]:
            grid = self._grid()
            blocks = np.arange(math.prod(grid), dtype=np.int64)
            if self.shuffle:
                blocks = np.random.default_rng([self.seed, epoch]).permutation(blocks)
            sizes = np.ones(len(blocks), np.int64)
            places = np.unravel_index(blocks, grid) if len(blocks) else ()
            for count, edge, place in zip(self.counts, self.block, places, strict=False):
                sizes *= np.minimum(edge, count - place * edge)
            if not len(sizes):
                return blocks, sizes
            windows = np.add.reduceat(sizes, np.arange(0, len(sizes), self._blocks_of_a_window()))
            return blocks, np.cumsum(windows[self.share :: self.shares])

        found: tuple[Int64Array, Int64Array] = self._remembered("epoch", epoch, made)
        return found

    def _blocks_of_a_window(self) -> int:
        return -(-self.window // math.prod(self.block))

    def _window(self, epoch: int, window: int) -> Int64Array:
        def made() -> Int64Array:
            each = self._blocks_of_a_window()
            blocks = self._epoch(epoch)[0][window * each : (window + 1) * each]
            numbers = np.concatenate([self._samples(int(block)) for block in blocks])
            if self.shuffle:
                numbers = np.random.default_rng([self.seed, epoch, window]).permutation(numbers)
            return numbers

        found: Int64Array = self._remembered("window", (epoch, window), made)
        return found

    def _samples(self, block: int) -> Int64Array:
        """The samples of a block, in C order."""
        place = np.unravel_index(block, self._grid())
        axes = [
            np.arange(int(at) * edge, min((int(at) + 1) * edge, count))
            for at, edge, count in zip(place, self.block, self.counts, strict=True)
        ]
        spread = tuple(axis.reshape(-1) for axis in np.meshgrid(*axes, indexing="ij"))
        return np.asarray(np.ravel_multi_index(spread, self.counts), np.int64)
