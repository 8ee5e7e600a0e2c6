"""Reading many small values that lie near each other, with few requests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from asynctensor.errors import DataLoss
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.storage.checksum import crc32c

#: Bytes between two values that are read along, and the most of one request.
_GAP, _MOST = 64 * 1024, 4 * 2**20
#: Requests at the same time.
_REQUESTS = 16

#: Where a request begins, and which values lie in it.
_Stretch = tuple[int, list[int]]


async def read_together(place: Place, refs: Sequence[Ref]) -> list[bytes | None]:
    """The values that some references stand for; None for each that is missing or damaged.

    Raises:
        Error: The store failed.
    """
    found: list[bytes | None] = [ref.inline for ref in refs]
    objects: dict[str, list[int]] = {}
    for at, ref in enumerate(refs):
        if ref.inline is None:
            objects.setdefault(ref.object, []).append(at)
    slots = asyncio.Semaphore(_REQUESTS)

    async def read(name: str, stretch: _Stretch) -> None:
        start, places = stretch
        last = refs[places[-1]]
        async with slots:
            try:
                data = await place.get_part(name, start, last.offset + last.size - start)
            except DataLoss:
                data = None
        if data is None:
            return
        for at in places:
            ref = refs[at]
            value = data[ref.offset - start : ref.offset - start + ref.size]
            if len(value) == ref.size and crc32c(value) == ref.crc:
                found[at] = value

    await asyncio.gather(
        *(
            read(name, stretch)
            for name, places in objects.items()
            for stretch in _stretches(refs, places)
        )
    )
    return found


def _stretches(refs: Sequence[Ref], places: Sequence[int]) -> list[_Stretch]:
    """What one request reads, each."""
    stretches: list[_Stretch] = []
    end = 0
    for at in sorted(places, key=lambda at: refs[at].offset + refs[at].size):
        ref = refs[at]
        if stretches and ref.offset >= stretches[-1][0]:
            start, mine = stretches[-1]
            if ref.offset - end <= _GAP and ref.offset + ref.size - start <= _MOST:
                mine.append(at)
                end = ref.offset + ref.size
                continue
        stretches.append((ref.offset, [at]))
        end = ref.offset + ref.size
    return stretches
