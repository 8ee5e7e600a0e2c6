"""Reading the parts of commits whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from asynctensor.errors import DataLoss
from asynctensor.kvstores.repo.part import Part, decode_part
from asynctensor.kvstores.repo.part_ref import PartRef
from asynctensor.kvstores.repo.place import Place

#: Parts that are read side by side.
_AHEAD = 4


async def read_part(place: Place, ref: PartRef) -> Part:
    """The part that a commit refers to.

    Raises:
        DataLoss: It is missing or damaged.
        Error: The store failed.
    """
    body = await place.get(ref.object)
    if body is None:
        raise DataLoss("a part of a commit is missing", key=place.key(ref.object))
    return decode_part(body, ref)


async def read_parts(place: Place, refs: Sequence[PartRef]) -> AsyncIterator[Part]:
    """Parts in the order given; only a few are held at any time.

    Raises:
        DataLoss, Error: See `read_part`.
    """
    for start in range(0, len(refs), _AHEAD):
        some = refs[start : start + _AHEAD]
        for part in await asyncio.gather(*(read_part(place, ref) for ref in some)):
            yield part
