"""``s3``: the objects of a bucket, of AWS or of any service that speaks its protocol.

A value is an object, its generation the ETag (`etags`): of an object that was put in one piece that
is mostly the MD5 of its bytes, so equal bytes may be one generation, before and after others.
Conditions are checked by the server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.network_store import ObjectStore
from asynctensor.kvstores.s3.address import Address, write_url
from asynctensor.kvstores.s3.asking import S3Asker
from asynctensor.kvstores.s3.listing import delete_range, list_folder, list_range
from asynctensor.kvstores.s3.multipart import Uploads
from asynctensor.kvstores.s3.reading import S3Reader
from asynctensor.kvstores.s3.writing import Conditions, S3Writer
from asynctensor.runtime.aws_credentials import AwsCredentials
from asynctensor.runtime.counters import store_counters
from asynctensor.runtime.verbose_flag import verbose_flag
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import Capabilities, Json, ListEntry

_ANYBODY = AwsCredentials()
_CHECKED = Conditions()
_UPLOADS = Uploads()


class S3Store(ObjectStore[S3Asker, S3Reader, S3Writer]):
    """A store of the objects of one bucket.

    Args:
        address: Where the bucket is.
        exchange: How requests are sent.
        credentials: Who asks.
        region: In which region it is; empty: found out.
        requester_pays: Whether whoever asks agrees to pay.
        conditions: Which conditions the server checks.
        uploads: How objects are sent.
    """

    driver = "s3"
    counters = store_counters("s3")
    verbose = verbose_flag("s3")

    def __init__(
        self,
        address: Address,
        exchange: Exchange | None = None,
        credentials: AwsCredentials = _ANYBODY,
        region: str = "",
        *,
        requester_pays: bool = False,
        conditions: Conditions = _CHECKED,
        uploads: Uploads = _UPLOADS,
    ) -> None:
        asker = S3Asker(
            exchange or Exchange(), address, region, credentials, requester_pays=requester_pays
        )
        reader = S3Reader(asker)
        super().__init__(asker, reader, S3Writer(asker, reader, conditions, uploads))
        self.capabilities = Capabilities(
            can_create_if_absent=conditions.writes,
            can_compare_and_swap=conditions.writes,
            lists_in_order=True,
            suffix_ranges=True,
            durable=True,
            remote=True,
        )

    def __repr__(self) -> str:
        return f"S3Store({self._place!r})"

    def __reduce__(self) -> tuple[object, ...]:
        asker, writer = self._asker, self._writer
        return _restored, (
            asker.address, asker.given_exchange, asker.credentials, asker.region,
            asker.requester_pays, writer.conditions, writer.uploads,
        )  # fmt: skip

    @property
    def identity(self) -> object:
        """See `KeyValueStore.identity`."""
        asker = self._asker
        who = (asker.credentials, asker.region, asker.requester_pays)
        return self.driver, asker.address, who, self._writer.conditions

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
        asker, conditions = self._asker, self._writer.conditions
        address = asker.address
        members: dict[str, Any] = {
            "aws_region": asker.region,
            "bucket": address.bucket,
            "endpoint": address.endpoint or "",
            "host_header": address.host_header or "",
            "path": path,
        }
        spec: dict[str, Json] = {name: value for name, value in members.items() if value}
        spec["driver"] = self.driver
        if asker.requester_pays:
            spec["requester_pays"] = True
        if not conditions.writes:
            spec["use_conditional_write"] = False
        if not conditions.deletes:
            spec["conditional_delete"] = False
        if conditions.unquoted:
            spec["unquoted_etags"] = True
        if self._writer.uploads.checksum != _UPLOADS.checksum:
            spec["checksum_algorithm"] = self._writer.uploads.checksum
        return spec

    def url(self, path: str) -> str:
        """See `KeyValueStore.url`."""
        address = self._asker.address
        with self._located(None, "url"):
            return write_url({"bucket": address.bucket, "endpoint": address.endpoint}, path)


def _restored(
    address: Address,
    exchange: Exchange,
    credentials: AwsCredentials,
    region: str,
    requester_pays: bool,
    conditions: Conditions,
    uploads: Uploads,
) -> S3Store:
    return S3Store(
        address,
        exchange,
        credentials,
        region,
        requester_pays=requester_pays,
        conditions=conditions,
        uploads=uploads,
    )
