"""``azure``: the blobs of a container of Azure Blob Storage.

A value is a block blob, its generation the ETag (`etags`), which no other version of it has.
Conditions are checked by the service.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.network_store import ObjectStore
from asynctensor.kvstores.azure.address import Address, write_url
from asynctensor.kvstores.azure.asking import AzureAsker
from asynctensor.kvstores.azure.blocks import Uploads
from asynctensor.kvstores.azure.listing import delete_range, list_folder, list_range
from asynctensor.kvstores.azure.reading import AzureReader
from asynctensor.kvstores.azure.writing import AzureWriter
from asynctensor.runtime.azure_credentials import AzureCredentials
from asynctensor.runtime.counters import store_counters
from asynctensor.runtime.verbose_flag import verbose_flag
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import Capabilities, Json, ListEntry

_ANYBODY = AzureCredentials()
_UPLOADS = Uploads()


class AzureStore(ObjectStore[AzureAsker, AzureReader, AzureWriter]):
    """A store of the blobs of one container.

    Args:
        address: Where the container is.
        exchange: How requests are sent.
        credentials: Who asks.
        uploads: How large blobs are sent.
    """

    driver = "azure"
    counters = store_counters("azure")
    verbose = verbose_flag("azure")
    #: A suffix costs one request more: its length is asked for first. Blobs are not promised to be
    #: listed in order (`listing`).
    capabilities = Capabilities(
        can_create_if_absent=True,
        can_compare_and_swap=True,
        suffix_ranges=True,
        durable=True,
        remote=True,
    )

    def __init__(
        self,
        address: Address,
        exchange: Exchange | None = None,
        credentials: AzureCredentials = _ANYBODY,
        *,
        uploads: Uploads = _UPLOADS,
    ) -> None:
        asker = AzureAsker(exchange or Exchange(), address, credentials)
        reader = AzureReader(asker)
        super().__init__(asker, reader, AzureWriter(asker, reader, uploads))

    def __repr__(self) -> str:
        return f"AzureStore({self._place!r})"

    def __reduce__(self) -> tuple[object, ...]:
        asker = self._asker
        uploads = self._writer.uploads
        return _restored, (asker.address, asker.given_exchange, asker.credentials, uploads)

    @property
    def identity(self) -> object:
        """See `KeyValueStore.identity`."""
        return self.driver, self._asker.address, self._asker.credentials

    # -- Listing and deleting -----------------------------------------------------------------

    def _list_range(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        return list_range(self._asker, key_range)

    def _list_folder(self, prefix: str) -> AsyncIterator[ListEntry]:
        return list_folder(self._asker, prefix)

    async def _delete_range(self, key_range: KeyRange) -> None:
        await delete_range(self._asker, self._writer, key_range)

    # -- What it says of itself ---------------------------------------------------------------

    def spec_json(self, path: str) -> dict[str, Json]:
        """See `KeyValueStore.spec_json`."""
        address = self._asker.address
        spec: dict[str, Json] = {
            "driver": self.driver,
            "account": address.account,
            "container": address.container,
        }
        if address.endpoint is not None:
            spec["endpoint"] = address.endpoint
        if path:
            spec["path"] = path
        return spec

    def url(self, path: str) -> str:
        """See `KeyValueStore.url`."""
        address = self._asker.address
        members = {"account": address.account, "container": address.container}
        with self._located(None, "url"):
            return write_url({**members, "endpoint": address.endpoint}, path)


def _restored(
    address: Address, exchange: Exchange, credentials: AzureCredentials, uploads: Uploads
) -> AzureStore:
    return AzureStore(address, exchange, credentials, uploads=uploads)
