"""Stores whose every read is begun without a task, where that can be done."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from asynctensor.errors import Error
from asynctensor.kvstores._http.network_store import NetworkStore
from asynctensor.kvstores.azure.store import AzureStore
from asynctensor.kvstores.gcs.store import GcsStore
from asynctensor.kvstores.http.store import HttpStore
from asynctensor.kvstores.s3.store import S3Store
from asynctensor.storage.kvstore import DEFAULT_READ, Arrival, Capabilities, ReadOptions, ReadResult

S = TypeVar("S", bound=NetworkStore)


def only_reading(store: S) -> S:
    """A store of which suites test the reads alone."""
    store.capabilities = Capabilities(
        writable=False, listable=False, suffix_ranges=True, remote=True
    )
    return store


class BegunReads(NetworkStore):
    """Reads by `begin_read`, and by `read` where that says so.

    Attributes:
        begun: Reads that were begun.
        arrived: Those of them that brought something.
    """

    begun = 0
    arrived = 0

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        found: asyncio.Future[Arrival | Error | None] = asyncio.get_running_loop().create_future()
        give_up = self.begin_read(key, options, found.set_result)
        if give_up is None:
            return await super().read(key, options)
        self.begun += 1
        try:
            arrival = await asyncio.shield(found)
        except asyncio.CancelledError:
            give_up()
            raise
        if arrival is None:
            return await super().read(key, options)
        if isinstance(arrival, Error):
            raise arrival
        self.arrived += 1
        return ReadResult(arrival.state, bytes(arrival.value), arrival.stamp)


class BegunHttpStore(BegunReads, HttpStore):
    """Of ``http``."""


class BegunS3Store(BegunReads, S3Store):
    """Of ``s3``."""


class BegunGcsStore(BegunReads, GcsStore):
    """Of ``gcs``."""


class BegunAzureStore(BegunReads, AzureStore):
    """Of ``azure``."""
