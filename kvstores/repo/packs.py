"""Values on their way into the store: small ones stay in the record, others go into packs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from asynctensor.errors import Unavailable
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.located import family_of
from asynctensor.kvstores.repo.place import Created, Place
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.runtime.entropy import random_bytes
from asynctensor.storage.checksum import crc32c

#: Bytes of values that stay in the record: of documents, and of chunks if that is all there is.
_INLINE = 8 * 1024
#: A pack is closed when it has so many bytes; larger values are packs of their own.
_PACK_BYTES = 8 * 2**20
#: Packs on their way at the same time, and attempts at each.
_UPLOADS = 8
_ATTEMPTS = 3


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

    async def store(self, values: Mapping[str, bytes]) -> dict[str, Ref]:
        """Stores values; returns when the store has acknowledged all of them (R3).

        Raises:
            Error: The store failed. What was written is named by nobody.
        """
        refs: dict[str, Ref] = {}
        packs: list[list[str]] = []
        size = _PACK_BYTES
        left = _INLINE
        few = sum(map(len, values.values())) <= _INLINE
        for key, value in values.items():
            if len(value) <= left and (few or family_of(key) is None):
                left -= len(value)
                refs[key] = Ref.of_inline(value)
                continue
            if size + len(value) > _PACK_BYTES:
                packs.append([])
                size = 0
            packs[-1].append(key)
            size += len(value)
        async with asyncio.TaskGroup() as group:
            stored = [group.create_task(self._store_pack(keys, values)) for keys in packs]
        for task in stored:
            refs |= task.result()
        return refs

    async def _store_pack(self, keys: list[str], values: Mapping[str, bytes]) -> dict[str, Ref]:
        async with self._slots:
            body = values[keys[0]] if len(keys) == 1 else b"".join([values[key] for key in keys])
            name = await self._created(body)
        refs: dict[str, Ref] = {}
        offset = 0
        for key in keys:
            value = values[key]
            refs[key] = Ref(name, offset, len(value), crc32c(value))
            offset += len(value)
        return refs

    async def _created(self, body: bytes) -> str:
        index = self._count
        self._count += 1
        day = int(time.strftime("%Y%m%d", time.gmtime(SYSTEM_CLOCK.time())))
        for _ in range(_ATTEMPTS):
            # A name of its own for each attempt: what lands late is named by nobody (R19).
            name = objects.data_pack(self._txn, index, day, random_bytes(objects.DATA_RANDOM_BYTES))
            if await self._place.create(name, body) is Created.CREATED:
                return name
        raise Unavailable("the store did not take the values of a transaction", key=name)
