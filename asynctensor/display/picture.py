"""`Picture`: an array as a box cut into chunks, for whoever draws it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: Cuts per axis that can still be told apart.
MAX_CUTS = 40


@dataclass(frozen=True, slots=True)
class Axis:
    """One dimension.

    Attributes:
        size: Number of indices; None if it is not known, or infinite.
        label: Its label, or empty.
        origin: First index.
        chunk: Size of a chunk (an inner chunk, where there are shards); None if there is none.
        shard: Size of a shard; None if there is none.
        grid_origin: An index where a chunk and a shard begin.
    """

    size: int | None
    label: str = ""
    origin: int = 0
    chunk: int | None = None
    shard: int | None = None
    grid_origin: int = 0

    def count(self, step: int | None) -> int | None:
        """How many cells of size `step` the axis touches; None if that is not known."""
        if self.size is None or not step:
            return None
        if not self.size:
            return 0
        first = (self.origin - self.grid_origin) // step
        return (self.origin + self.size - 1 - self.grid_origin) // step - first + 1

    def cuts(self, step: int | None) -> list[float] | None:
        """Where cells of size `step` end within the axis, as parts of its length, sorted.

        None if there are more than can be drawn.
        """
        count = self.count(step)
        if not count or not self.size or step is None:
            return []
        if count - 1 > MAX_CUTS:
            return None
        first = step - (self.origin - self.grid_origin) % step
        return [(first + k * step) / self.size for k in range(count - 1)]


@dataclass(frozen=True, slots=True)
class Picture:
    """An array: its dimensions, slowest first."""

    axes: tuple[Axis, ...]

    @property
    def shown(self) -> tuple[Axis, ...]:
        """The dimensions that are drawn: the last three."""
        return self.axes[-3:]

    @property
    def hidden(self) -> tuple[Axis, ...]:
        """Those in front, which are written as numbers."""
        return self.axes[:-3]

    def lengths(self, longest: float) -> list[float]:
        """How long the shown dimensions are drawn.

        In proportion, but none much shorter than the longest: a stack of 3 images of 10,000 x
        10,000 shall not be a line.
        """
        sizes = [axis.size for axis in self.shown]
        known = [max(1, n) for n in sizes if n is not None]
        largest = max(known, default=1)
        found = []
        for n in sizes:
            share = 1.0 if n is None else math.sqrt(max(1, n) / largest)
            found.append(longest * max(0.15, share))
        return found


def shape_text(sizes: Sequence[int | None]) -> str:
    """A shape in words: ``1,000 × 20``."""
    if not sizes:
        return "scalar"
    return " × ".join("?" if n is None else f"{n:,}" for n in sizes)


def count_text(counts: Sequence[int | None]) -> str:
    """Numbers of chunks per dimension, and their product."""
    if None in counts or not counts:
        return ""
    known = [n for n in counts if n is not None]
    total = f"{math.prod(known):,}"
    return total if len(known) == 1 else f"{shape_text(known)} = {total}"


def size_text(count: int) -> str:
    """Bytes in binary units."""
    size, unit = float(count), "B"
    for following in ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        if size < 1024:
            break
        size, unit = size / 1024, following
    return f"{count} B" if unit == "B" else f"{size:,.1f} {unit}"
