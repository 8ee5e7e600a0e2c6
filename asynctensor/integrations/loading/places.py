"""Where samples lie: numbered corners in the dimensions along which arrays are cut up. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from asynctensor.errors import InvalidArgument

Int64Array: TypeAlias = npt.NDArray[np.int64]


class Places(Protocol):
    """Numbered samples of one form."""

    @property
    def size(self) -> tuple[int, ...]:
        """Elements of a sample, for each dimension along which it is cut out."""
        ...

    @property
    def counts(self) -> tuple[int, ...]:
        """How many samples there are along each axis of their numbering."""
        ...

    def corners(self, numbers: Int64Array, epoch: int) -> Int64Array:
        """The lowest indices of samples, shape ``(samples, dimensions)``."""
        ...

    def blocks(self, chunk: Sequence[int]) -> tuple[int, ...]:
        """How many samples, along each axis of the numbering, have their corners in one chunk."""
        ...

    def shares(self, chunk: Sequence[int]) -> bool:
        """Whether several samples have parts of one chunk."""
        ...

    def described(self) -> dict[str, Any]:
        """What tells it from others, as JSON."""
        ...


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows at regular distances, numbered in C order.

    Attributes:
        lengths: Elements of the arrays along each dimension that is cut up.
        size: Elements of a window.
        step: From one window to the next; windows may overlap, or leave elements out.
    """

    lengths: tuple[int, ...]
    size: tuple[int, ...]
    step: tuple[int, ...]

    def __post_init__(self) -> None:
        for dim, (length, size, step) in enumerate(
            zip(self.lengths, self.size, self.step, strict=True)
        ):
            if not 1 <= size <= length:
                raise InvalidArgument(
                    f"a window has 1 to {length} elements along its dimension {dim}, got {size}"
                )
            if step < 1:
                raise InvalidArgument(f"windows are at least 1 apart, got {step}")

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(
            (length - size) // step + 1
            for length, size, step in zip(self.lengths, self.size, self.step, strict=True)
        )

    def corners(self, numbers: Int64Array, epoch: int) -> Int64Array:
        del epoch
        grid = np.stack(np.unravel_index(numbers, self.counts), axis=-1)
        return grid * np.array(self.step, np.int64)

    def blocks(self, chunk: Sequence[int]) -> tuple[int, ...]:
        return tuple(
            min(max(1, edge // step), count)
            for edge, step, count in zip(chunk, self.step, self.counts, strict=True)
        )

    def shares(self, chunk: Sequence[int]) -> bool:
        return any(
            size % edge or step % edge
            for edge, size, step in zip(chunk, self.size, self.step, strict=True)
        )

    def described(self) -> dict[str, Any]:
        return {"size": list(self.size), "step": list(self.step), "counts": list(self.counts)}


@dataclass(frozen=True, slots=True)
class Crops:
    """Crops at random corners, other ones in each epoch.

    Attributes:
        lengths: Elements of the arrays along each dimension that is cut up.
        size: Elements of a crop.
        count: Crops in an epoch.
        seed: Of their corners.
    """

    lengths: tuple[int, ...]
    size: tuple[int, ...]
    count: int
    seed: int

    def __post_init__(self) -> None:
        for dim, (length, size) in enumerate(zip(self.lengths, self.size, strict=True)):
            if not 1 <= size <= length:
                raise InvalidArgument(
                    f"a crop has 1 to {length} elements along its dimension {dim}, got {size}"
                )
        if self.count < 0:
            raise InvalidArgument(f"there cannot be {self.count} crops")

    @property
    def counts(self) -> tuple[int, ...]:
        return (self.count,)

    def corners(self, numbers: Int64Array, epoch: int) -> Int64Array:
        rank = len(self.size)
        words = _scrambled(self.seed, epoch, numbers[:, None] * rank + np.arange(rank))
        choices = np.array(self.lengths, np.uint64) - np.array(self.size, np.uint64) + np.uint64(1)
        # Of 53 bits, so that each corner is as likely as any other but for one part in 2^53.
        fractions = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return np.minimum((fractions * choices).astype(np.int64), (choices - 1).astype(np.int64))

    def blocks(self, chunk: Sequence[int]) -> tuple[int, ...]:
        del chunk
        return (1,)

    def shares(self, chunk: Sequence[int]) -> bool:
        del chunk
        return True

    def described(self) -> dict[str, Any]:
        return {"size": list(self.size), "count": self.count, "seed": self.seed}


def _scrambled(seed: int, epoch: int, counters: Int64Array) -> npt.NDArray[np.uint64]:
    """Random words, each a function of its counter alone: SplitMix64 (Steele, Lea and Flood, 2014).

    So a sample's corner depends neither on what was read before nor on who reads it.
    """
    key = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    with np.errstate(over="ignore"):
        word = (counters.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + key
        word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: npt.NDArray[np.uint64] = word ^ (word >> np.uint64(31))
    return found


def total(places: Places) -> int:
    """How many samples there are."""
    return math.prod(places.counts)
