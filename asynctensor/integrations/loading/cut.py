"""How positions in an epoch's order become batches, of all ranks together. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from asynctensor.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Cut:
    """Cuts the positions of an epoch into steps, and each step into a batch for each rank.

    All ranks advance together, so one number says how far everybody is, and any other number of
    ranks, or another size of batches, can go on from it.

    Attributes:
        batch_size: Samples of a batch.
        drop_last: Leave out the last step if it is not a full one. Otherwise its samples are
            spread evenly; if there are fewer than ranks, some ranks have a batch less.
        rank: Whose batches these are.
        world_size: How many ranks there are.
    """

    batch_size: int
    drop_last: bool
    rank: int
    world_size: int

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InvalidArgument(f"a batch has at least one sample, got {self.batch_size}")
        if not 0 <= self.rank < self.world_size:
            raise InvalidArgument(
                f"ranks are from 0 to {self.world_size - 1}, got {self.rank}"
                if self.world_size > 0
                else f"there is at least one rank, got world_size={self.world_size}"
            )

    def batches(self, position: int, length: int) -> Iterator[tuple[int, int, int]]:
        """This rank's batches from a position on, of an epoch of so many samples.

        Yields:
            Where it begins, where it ends, and where the step of all ranks ends.
        """
        step = self.batch_size * self.world_size
        while position < length:
            end = position + step
            if end <= length:
                begin = position + self.rank * self.batch_size
                yield begin, begin + self.batch_size, end
            elif not self.drop_last:
                rest = length - position
                begin = position + rest * self.rank // self.world_size
                last = position + rest * (self.rank + 1) // self.world_size
                if begin < last:
                    yield begin, last, length
            position = end

    def is_over(self, position: int, length: int) -> bool:
        """Whether no rank has a batch from a position on."""
        last = position + self.batch_size * self.world_size if self.drop_last else position + 1
        return last > length

    def count(self, position: int, length: int) -> int:
        """How many batches this rank has from a position on."""
        left = max(0, length - position)
        step = self.batch_size * self.world_size
        full, rest = divmod(left, step)
        share = rest * (self.rank + 1) // self.world_size - rest * self.rank // self.world_size
        return full + (not self.drop_last and share > 0)
