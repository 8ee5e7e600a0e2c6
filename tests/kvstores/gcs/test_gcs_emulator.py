"""The form of requests and answers, against an emulator that others wrote.

What it does not do (conditions, pages, tokens) is tested against our own
(`tests/servers/gcs_app.py`).
"""

from __future__ import annotations

import urllib.request

import pytest

from asynctensor.errors import FailedPrecondition
from asynctensor.kvstores.gcs.address import Address
from asynctensor.kvstores.gcs.resumable import Uploads
from asynctensor.kvstores.gcs.store import GcsStore
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.google_credentials import ANONYMOUS
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import ListEntry, ReadOptions
from asynctensor.testing.kvstore_calls import directory, entries, keys, read, write
from tests.kvstores.gcs.buckets import EXCHANGE
from tests.servers.clouds import gcp_storage_emulator

VALUE = bytes(range(256)) * 40


@pytest.fixture
def store(servers) -> GcsStore:
    server = servers.get("gcp-storage-emulator", gcp_storage_emulator)
    store = GcsStore(
        Address("bucket", server.endpoint), EXCHANGE, ANONYMOUS, uploads=Uploads(whole=4000)
    )
    start(store.delete_range, KeyRange()).result()
    return store


def served(store: GcsStore, key: str) -> bytes:
    """The value as anybody sees it."""
    url = store._asker.address.object_url(key, (("alt", "media"),))
    with urllib.request.urlopen(url) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize("value", [b"value", VALUE], ids=["multipart", "resumable"])
async def test_values_come_and_go(store, value) -> None:
    assert (await read(store, "a/k")).state == "missing"
    stamp = await write(store, "a/k", value)
    assert served(store, "a/k") == value
    assert await entries(store, KeyRange.singleton("a/k")) == [ListEntry("a/k", len(value))]
    looked = await read(store, "a/k", ReadOptions(ByteRange(2, 2)))
    assert (looked.value, looked.stamp.generation) == (b"", stamp.generation)
    # It says of which version an object is, and not of which its bytes are.
    with pytest.raises(FailedPrecondition, match="no generation"):
        await read(store, "a/k")
    second = await write(store, "a/k", b"2" + value)
    assert second.generation != stamp.generation
    assert served(store, "a/k") == b"2" + value
    assert (await write(store, "a/k", None)).generation == NO_VALUE
    assert (await read(store, "a/k")).state == "missing"


async def test_names_and_listings(store) -> None:
    names = ["a//b", "a b/%2F", "a?b#c", "b/é/日", "c/" + "k" * 200, "c/d"]
    for name in names:
        await write(store, name, name.encode())
        assert served(store, name) == name.encode()
    assert await keys(store) == sorted(names)
    assert await keys(store, KeyRange.prefix("c/")) == sorted(names[-2:])
    assert [entry.key for entry in await directory(store, "b/")] == ["b/é/"]
    await start(store.delete_range, KeyRange.prefix("c/"))
    assert await keys(store) == sorted(names[:-2])
