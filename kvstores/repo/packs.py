"""Values on their way into the store: small ones stay in the record, others go into packs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

import google_crc32c
import numpy as np

from asynctensor.errors import Error, Unavailable
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.located import family_of
from asynctensor.kvstores.repo.place import Created, Place
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.runtime.entropy import random_bytes
from asynctensor.runtime.workers import data_copy_pool, yield_gil
from asynctensor.storage.kvstore import Buffer
from asynctensor.storage.one_piece import in_one_piece

#: Bytes of values that stay in the record: of documents, and of chunks if that is all there is.
_INLINE = 8 * 1024
#: A pack is closed when it has so many bytes; larger values are packs of their own.
_PACK_BYTES = 8 * 2**20
#: Packs on their way at the same time, and attempts at each.
_UPLOADS = 8
_ATTEMPTS = 3
#: So many values are worked on at once; more are left to a worker.
_FEW = 64


class Packs:
    """Stores the values of one transaction.

    Args:
        place: Where the repository is.
        txn: The transaction's id.
    """

    def __init__(self, place: Place, txn: bytes) -> None:
        self._place = place
        self._txn = txn
        self._count = 0
        self._slots = asyncio.Semaphore(_UPLOADS)
        self._names: list[str] = []

    async def discard(self) -> None:
        """Deletes what was stored, of which nothing is in the log, nor ever will be.

        What cannot be deleted now is named by nobody, and left to collection.
        """
        names, self._names = self._names, []
        await asyncio.gather(*(self._delete(name) for name in names))

    async def _delete(self, name: str) -> None:
        with suppress(Error):
            await self._place.delete(name)

    async def store(self, values: Mapping[str, bytes]) -> dict[str, Ref]:
        """Stores values; returns when the store has acknowledged all of them (R3).

        Raises:
            Error: The store failed. What was written is named by nobody.
        """
        refs: dict[str, Ref] = {}
        left = _INLINE
        few = sum(map(len, values.values())) <= _INLINE
        large: dict[str, Buffer] = {}
        for key, value in values.items():
            if len(value) <= left and (few or family_of(key) is None):
                left -= len(value)
                refs[key] = Ref.of_inline(value)
            else:
                large[key] = value
        refs |= await self.pack(large)
        return refs

    async def pack(self, values: Mapping[str, Buffer]) -> dict[str, Ref]:
        """Stores values in packs; otherwise as `store`."""
        packs: list[list[str]] = []
        size = 0
        for key, value in values.items():
            if not packs or size + len(value) > _PACK_BYTES:
                packs.append([])
                size = 0
            packs[-1].append(key)
            size += len(value)
        refs: dict[str, Ref] = {}
        for stored in await self._all(packs, values):
            refs |= stored
        return refs

    async def _all(
        self, packs: Sequence[Sequence[str]], values: Mapping[str, Buffer]
    ) -> list[dict[str, Ref]]:
        if len(packs) == 1:
            return [await self._store_pack(packs[0], values)]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._store_pack(keys, values)) for keys in packs]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _store_pack(
        self, keys: Sequence[str], values: Mapping[str, Buffer]
    ) -> dict[str, Ref]:
        contents = [values[key] for key in keys]
        async with self._slots:
            if len(keys) <= _FEW:
                body, crcs = _packed(contents)
            else:
                body, crcs = await data_copy_pool().run(_packed, contents)
            name = await self._created(body)
        refs: dict[str, Ref] = {}
        offset = 0
        for key, value, crc in zip(keys, contents, crcs, strict=True):
            refs[key] = Ref(name, offset, len(value), crc)
            offset += len(value)
        return refs

    async def _created(self, body: Buffer) -> str:
        index = self._count
        self._count += 1
        day = int(time.strftime("%Y%m%d", time.gmtime(SYSTEM_CLOCK.time())))
        name = ""
        for _ in range(_ATTEMPTS):
            # A name of its own for each attempt: what lands late is named by nobody (R19).
            name = objects.data_pack(self._txn, index, day, random_bytes(objects.DATA_RANDOM_BYTES))
            self._names.append(name)
            if await self._place.create(name, body) is Created.CREATED:
                return name
        raise Unavailable("the store did not take the values of a transaction", key=name)


def _packed(values: Sequence[Buffer]) -> tuple[Buffer, list[int]]:
    """The body of a pack, and the checksums of what is in it."""
    body = in_one_piece(values)
    view = np.frombuffer(body, np.uint8)
    crcs: list[int] = []
    start = 0
    for value in values:
        stop = start + len(value)
        crcs.append(google_crc32c.value(view[start:stop]))
        start = stop
        yield_gil()
    return body, crcs
