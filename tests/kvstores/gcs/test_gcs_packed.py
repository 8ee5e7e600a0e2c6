"""Objects that are stored with a content coding: their value is what was packed."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from asynctensor.errors import DataLoss, OutOfRange, ResourceExhausted, Unimplemented
from asynctensor.kvstores._http.checksums import crc32c
from asynctensor.kvstores._http.message import Request
from asynctensor.kvstores.gcs import reading
from asynctensor.kvstores.gcs.address import Address
from asynctensor.kvstores.gcs.store import GcsStore
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.google_credentials import ANONYMOUS
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE
from asynctensor.storage.kvstore import ListEntry, ReadOptions
from asynctensor.testing.kvstore_calls import directory, entries, read, write
from tests.kvstores.gcs.buckets import EXCHANGE, new_store
from tests.servers.scripted import Said, ScriptedServer

VALUE = b"0123456789" * 500
#: Bytes that do not become fewer.
NOISE = bytes((i * i * 7919 + i) % 251 for i in range(3000))


@pytest.fixture
def store(gcs_server) -> GcsStore:
    return new_store(gcs_server)


async def put(store: GcsStore, key: str, data: bytes, encoding: str = "gzip") -> None:
    """Stores packed bytes, as ``gcloud storage cp --gzip-in-flight`` does."""
    properties = json.dumps({"name": key, "contentEncoding": encoding}).encode()
    body = (b"--X\r\n\r\n", properties, b"\r\n--X\r\n\r\n", data, b"\r\n--X--")
    url = store._asker.address.upload_url((("uploadType", "multipart"),))
    fields = (("Content-Type", "multipart/related; boundary=X"),)

    async def send() -> int:
        return (await EXCHANGE.send(Request("POST", url, fields, body))).status

    assert await start(send) == 200


@pytest.mark.parametrize("value", [VALUE, NOISE, b"", b"x"])
async def test_values_and_ranges(store, value) -> None:
    await put(store, "k", gzip.compress(value))
    whole = await read(store, "k")
    assert whole.value == value
    size = len(value)
    wanted = [(0, 0), (0, min(1, size)), (size // 2, None), (size // 3, size // 2), (size, None),
              (0, size), (-min(size, 7), None)]  # fmt: skip
    for low, high in wanted:
        if low == 0 and high is None:
            continue
        found = await read(store, "k", ReadOptions(ByteRange(low, high)))
        assert found.value == value[low:high], (low, high)
        assert found.stamp.generation == whole.stamp.generation
    for low, high in ((0, size + 1), (size + 1, None), (size + 1, size + 5), (-size - 1, None)):
        with pytest.raises(OutOfRange):
            await read(store, "k", ReadOptions(ByteRange(low, high)))


async def test_conditions(store) -> None:
    await put(store, "k", gzip.compress(VALUE))
    now = (await read(store, "k")).stamp.generation
    part = ByteRange(2, 5)
    for options, state in (
        (ReadOptions(part, if_equal=now), "value"),
        (ReadOptions(part, if_not_equal=now), "unspecified"),
        (ReadOptions(part, if_equal=NO_VALUE), "unspecified"),
        (ReadOptions(ByteRange(3, 3), if_not_equal=now), "unspecified"),
        (ReadOptions(ByteRange(3, 3), if_equal=now), "value"),
    ):
        found = await read(store, "k", options)
        assert found.state == state
        assert found.value == (
            VALUE[2:5] if state == "value" and options.byte_range == part else b""
        )
    # A write replaces all of it, the coding too.
    await write(store, "k", b"plain", now)
    assert (await read(store, "k")).value == b"plain"


async def test_sizes_are_not_those_of_what_is_packed(store) -> None:
    await put(store, "a/k", gzip.compress(VALUE))
    assert await entries(store) == await directory(store, "a/") == [ListEntry("a/k", -1)]


async def test_codings_that_are_not_known_are_named(store) -> None:
    await put(store, "k", b"...", "br")
    with pytest.raises(Unimplemented, match="br"):
        await read(store, "k")


async def test_damaged_packing(store) -> None:
    await put(store, "k", gzip.compress(VALUE)[:-10])
    with pytest.raises(DataLoss, match="damaged"):
        await read(store, "k")


async def test_what_is_unpacked_is_bounded(store, monkeypatch) -> None:
    await put(store, "k", gzip.compress(b"\0" * 100_000))
    monkeypatch.setattr(reading, "MOST_VALUE", 99_999)
    with pytest.raises(ResourceExhausted, match="99999"):
        await read(store, "k")
    monkeypatch.setattr(reading, "MOST_VALUE", 100_000)
    assert len((await read(store, "k")).value) == 100_000


# -- Servers that pack and unpack on the way ------------------------------------------------------


def answering(body: bytes, stored: str | None, sent: str | None, sum_of: bytes) -> ScriptedServer:
    fields = [("X-Goog-Generation", "1"), ("X-Goog-Hash", f"crc32c={crc32c(sum_of)}")]
    if stored is not None:
        fields.append(("X-Goog-Stored-Content-Encoding", stored))
    if sent is not None:
        fields.append(("Content-Encoding", sent))
    return ScriptedServer(lambda asked: Said(200, tuple(fields), body))


PACKED = zlib.compress(VALUE, wbits=31)


@pytest.mark.parametrize(
    ("body", "stored", "sent", "sum_of"),
    [
        (VALUE, "identity", None, VALUE),
        (VALUE, None, None, VALUE),
        (VALUE, "gzip", None, PACKED),
        (PACKED, "gzip", "gzip", PACKED),
        (PACKED, None, "gzip", PACKED),
        (PACKED, "identity", "gzip", VALUE),
    ],
)
async def test_the_checksum_is_of_what_is_stored(body, stored, sent, sum_of) -> None:
    with answering(body, stored, sent, sum_of) as server:
        store = GcsStore(Address("abc", server.url), EXCHANGE, ANONYMOUS)
        assert (await read(store, "k")).value == VALUE
        # A server that heeds no range.
        assert (await read(store, "k", ReadOptions(ByteRange(11, 15)))).value == VALUE[11:15]
    if (stored, sent) == ("gzip", None):
        return
    with answering(body, stored, sent, b"other") as server:
        store = GcsStore(Address("abc", server.url), EXCHANGE, ANONYMOUS)
        with pytest.raises(DataLoss, match="CRC-32C"):
            await read(store, "k")
