"""``gcs``: the objects of a bucket of Google Cloud Storage.

A value is an object, its generation Google's own (`generation`). Conditions are checked by the
server, in the request that writes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.network_store import ObjectStore
from asynctensor.kvstores.gcs.address import Address, write_url
from asynctensor.kvstores.gcs.asking import GcsAsker
from asynctensor.kvstores.gcs.listing import delete_range, list_folder, list_range
from asynctensor.kvstores.gcs.reading import GcsReader
from asynctensor.kvstores.gcs.resumable import Uploads
from asynctensor.kvstores.gcs.writing import GcsWriter
from asynctensor.runtime.counters import store_counters
from asynctensor.runtime.google_credentials import GcsUserProject, GoogleCredentials
from asynctensor.runtime.verbose_flag import verbose_flag
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import Capabilities, Json, ListEntry

_DEFAULT = GoogleCredentials()
_OWNER = GcsUserProject()
_UPLOADS = Uploads()


class GcsStore(ObjectStore[GcsAsker, GcsReader, GcsWriter]):
    """A store of the objects of one bucket.

    Args:
        address: Where the bucket is.
        exchange: How requests are sent.
        credentials: Who asks.
        project: Who pays.
        uploads: How large objects are sent.
    """

    driver = "gcs"
    counters = store_counters("gcs")
    verbose = verbose_flag("gcs")
    capabilities = Capabilities(
        can_create_if_absent=True,
        can_compare_and_swap=True,
        lists_in_order=True,
        suffix_ranges=True,
        durable=True,
        remote=True,
    )

    def __init__(
        self,
        address: Address,
        exchange: Exchange | None = None,
        credentials: GoogleCredentials = _DEFAULT,
        project: GcsUserProject = _OWNER,
        uploads: Uploads = _UPLOADS,
    ) -> None:
        asker = GcsAsker(exchange or Exchange(), address, credentials, project)
        reader = GcsReader(asker)
        super().__init__(asker, reader, GcsWriter(asker, reader, uploads))

    def __repr__(self) -> str:
        return f"GcsStore({self._place!r})"

    def __reduce__(self) -> tuple[object, ...]:
        asker = self._asker
        given = (asker.address, asker.given_exchange, asker.credentials, asker.project)
        return GcsStore, (*given, self._writer.uploads)

    @property
    def identity(self) -> object:
        """See `KeyValueStore.identity`."""
        return self.driver, self._asker.address, self._asker.credentials, self._asker.project

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
        spec: dict[str, Json] = {"driver": self.driver, "bucket": self._asker.address.bucket}
        if self._asker.address.endpoint is not None:
            spec["endpoint"] = self._asker.address.endpoint
        if path:
            spec["path"] = path
        return spec

    def url(self, path: str) -> str:
        """See `KeyValueStore.url`."""
        address = self._asker.address
        with self._located(None, "url"):
            return write_url({"bucket": address.bucket, "endpoint": address.endpoint}, path)
