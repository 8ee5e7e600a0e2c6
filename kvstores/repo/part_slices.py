"""Parts whose keys interleave, in the order of their keys.

Workers that take turns with chunks have parts that all reach over the whole array. To apply such
parts one by one would touch every page of the index again and again, and to hold them all takes
the memory of all their keys. So they are read several times, and each time one range of keys of
all of them is taken.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import numpy as np

from asynctensor.kvstores.repo import key_columns
from asynctensor.kvstores.repo.part import Part
from asynctensor.kvstores.repo.part_ref import PartRef
from asynctensor.kvstores.repo.part_runs import read_parts
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.run import Run
from asynctensor.kvstores.repo.run_layers import joined
from asynctensor.runtime.workers import data_copy_pool

#: Of so many keys one is looked at to find out how they are spread.
_SAMPLED = 64


def interleaved(parts: Sequence[PartRef], most: int) -> set[bytes]:
    """The spaces in which more than `most` keys are of parts that overlap others."""
    found: set[bytes] = set()
    spans = [span for part in parts for span in part.spans]
    for space in {span.space for span in spans}:
        reach, count = b"", 0
        for span in sorted((s for s in spans if s.space == space), key=lambda s: s.first):
            if span.first <= reach:
                count += span.count
            reach = max(reach, span.last)
        if count > most:
            found.add(space)
    return found


async def slices(
    place: Place, parts: Sequence[PartRef], space: bytes, most: int
) -> AsyncIterator[Run]:
    """The runs of a space, about `most` keys at a time, in the order of keys.

    Args:
        place: Where the parts are.
        parts: They.
        space: Of the keys.
        most: How many keys are held.

    Raises:
        DataLoss: A part is missing or damaged.
        Error: The store failed.
    """
    some = [part for part in parts if any(span.space == space for span in part.spans)]
    bounds = await _bounds(place, some, space, most)
    for first, last in pairwise([b"", *bounds, None]):
        assert first is not None
        taken: list[Run] = []
        inside = [part for part in some if _reaches(part, space, first, last)]
        async for part in read_parts(place, inside):
            taken += _taken(part, space, first, last)
        if taken:
            yield await data_copy_pool().run(_in_order, taken)


def _reaches(part: PartRef, space: bytes, first: bytes, last: bytes | None) -> bool:
    return any(
        span.space == space and span.last >= first and (last is None or span.first < last)
        for span in part.spans
    )


async def _bounds(place: Place, parts: Sequence[PartRef], space: bytes, most: int) -> list[bytes]:
    """Keys that divide all keys into ranges of about `most`."""
    sample: list[bytes] = []
    async for part in read_parts(place, parts):
        for run in part.runs:
            if run.space == space:
                sample += [run.key(i) for i in range(0, len(run), _SAMPLED)]
    sample.sort()
    step = max(1, most // _SAMPLED)
    return list(dict.fromkeys(sample[step::step]))


def _taken(part: Part, space: bytes, first: bytes, last: bytes | None) -> list[Run]:
    """The rows of a range, without the memory of the others."""
    found: list[Run] = []
    for run in part.runs:
        if run.space == space:
            start, stop = run.between(first, last)
            if stop > start:
                found.append(run.take(np.arange(start, stop)))
    return found


def _in_order(runs: Sequence[Run]) -> Run:
    """All rows; a key that several have stands there once, as all say the same of it."""
    run = joined(runs)
    if len(runs) > 1:
        run = run.take(key_columns.order(run.keys))
    keys = run.keys
    if isinstance(keys, list):
        fresh = np.array([True, *(a != b for a, b in pairwise(keys))], np.bool_)
    else:
        fresh = np.ones(len(keys), np.bool_)
        fresh[1:] = keys[1:] != keys[:-1]
    return run if fresh.all() else run.take(fresh)
