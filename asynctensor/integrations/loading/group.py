"""`Group`: batches that are read together, so that they share the chunks they have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.chunked.scratch import new_output
from asynctensor.integrations.loading.places import Int64Array

#: What is read of a batch: an array of shape ``(samples, ...)``, or one for each name.
Values: TypeAlias = "Array | dict[str, Array]"
#: Gives an array of a shape and data type, with arbitrary content, to be filled and handed out.
Memory: TypeAlias = Callable[[tuple[int, ...], np.dtype[Any]], Array]


@dataclass(frozen=True, slots=True)
class Group:
    """Batches that are read together.

    Attributes:
        epoch: Of the samples.
        numbers: The samples that are read, in ascending order if there is more than one batch.
        places: For each batch, where its samples are among them; None: it is all of them.
        behind: For each batch, the position in the epoch behind it.
    """

    epoch: int
    numbers: Int64Array
    places: tuple[Int64Array | None, ...]
    behind: tuple[int, ...]

    @classmethod
    def of(cls, epoch: int, batches: list[tuple[Int64Array, int]]) -> Group:
        """A group of at least one batch: each its samples, and the position behind it."""
        behind = tuple(each for _, each in batches)
        if len(batches) == 1:
            return cls(epoch, batches[0][0], (None,), behind)
        numbers = np.sort(np.concatenate([each for each, _ in batches]))
        places = tuple(np.searchsorted(numbers, each) for each, _ in batches)
        return cls(epoch, numbers, places, behind)

    def single(self) -> Iterator[Group]:
        """Each batch as a group of its own."""
        for places, behind in zip(self.places, self.behind, strict=True):
            numbers = self.numbers if places is None else self.numbers[places]
            yield Group(self.epoch, numbers, (None,), (behind,))

    def batches(self, values: Values, memory: Memory = new_output) -> Iterator[Values]:
        """What was read, as batches with memory of their own.

        Args:
            values: What was read of `numbers`; of a single batch, already in its memory.
            memory: Gives memory to each of several batches.
        """
        for places in self.places:
            if places is None:
                yield values
            elif isinstance(values, dict):
                yield {name: _taken(value, places, memory) for name, value in values.items()}
            else:
                yield _taken(values, places, memory)


def _taken(values: Array, places: Int64Array, memory: Memory) -> Array:
    found = memory((len(places), *values.shape[1:]), values.dtype)
    found[...] = values[places]
    return found
