"""Large objects, which are sent in parts."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from asynctensor.errors import Unavailable
from asynctensor.kvstores._http.xml_document import parse_document
from asynctensor.kvstores.s3.address import Address
from asynctensor.kvstores.s3.asking import S3Asker
from asynctensor.kvstores.s3.multipart import Uploads
from asynctensor.kvstores.s3.store import S3Store
from asynctensor.runtime.event_loop import start
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.kvstore import ReadOptions
from asynctensor.testing.fault_proxy import FaultProxy
from asynctensor.testing.kvstore_calls import keys, read, write
from asynctensor.testing.network_faults import Reply, Reset
from tests.kvstores.s3.buckets import EXCHANGE, OURS, conditions_of, new_bucket

UPLOADS = Uploads(whole=1 << 20, part=5 << 20)
VALUE = bytes(range(256)) * 4096 * 11 + b"end"
INTERNAL = b"<Error><Code>InternalError</Code><Message>We erred</Message></Error>"


@pytest.fixture
def proxy(s3, fault_proxy_to) -> FaultProxy:
    return fault_proxy_to(*s3.address)


@pytest.fixture
def store(s3, proxy) -> S3Store:
    # Ceph ignores conditions when parts are put together.
    conditions = replace(conditions_of(s3), parts=s3.name != "radosgw")
    address = Address(new_bucket(s3), proxy.url)
    return S3Store(address, EXCHANGE, OURS, s3.region, conditions=conditions, uploads=UPLOADS)


async def uploads_under_way(s3, store: S3Store) -> int:
    asker = S3Asker(EXCHANGE, store._asker.address, s3.region, OURS)

    async def ask() -> int:
        answer = await asker.ask("GET", None, query=(("uploads", ""),))
        return len(list(parse_document(answer.body).iter("Upload")))

    return await start(ask)


async def test_a_large_object(s3, store) -> None:
    stamp = await write(store, "a/b", memoryview(VALUE))
    found = await read(store, "a/b")
    assert found.value == VALUE
    assert found.stamp.generation == stamp.generation != UNKNOWN
    part = await read(store, "a/b", ReadOptions(ByteRange(5 << 20, (5 << 20) + 9)))
    assert part.value == VALUE[5 << 20 : (5 << 20) + 9]
    assert (await write(store, "a/b", VALUE, NO_VALUE)).generation == UNKNOWN
    assert (await write(store, "new", VALUE, NO_VALUE)).generation != UNKNOWN
    assert await uploads_under_way(s3, store) == 0


def is_part(head: bytes) -> bool:
    return b"partNumber=2&" in head


def is_end(head: bytes) -> bool:
    return head.startswith(b"POST") and b"uploadId=" in head


@pytest.mark.parametrize(
    "fault",
    [
        Reply(status=503, when=is_part),
        Reset(after=0, when=is_part),
        Reply(status=500, body=INTERNAL, when=is_end),
        Reply(status=200, body=INTERNAL, when=is_end),
        Reset(after=0, when=is_end),
    ],
    ids=["part-503", "part-reset", "end-500", "end-200-error", "end-reset"],
)
async def test_passing_faults_are_survived(s3, store, proxy, fault) -> None:
    proxy.plan(fault)
    stamp = await write(store, "k", VALUE)
    assert proxy.statistics.faults == 1
    found = await read(store, "k")
    assert (found.value, found.stamp.generation) == (VALUE, stamp.generation)
    assert await uploads_under_way(s3, store) == 0


async def test_a_failure_leaves_nothing_behind(s3, store, proxy) -> None:
    proxy.plan(Reply(status=503, when=is_part, times=100))
    with pytest.raises(Unavailable):
        await write(store, "k", VALUE)
    proxy.forget()
    assert await keys(store) == []
    assert await uploads_under_way(s3, store) == 0


@pytest.mark.parametrize("turns", [1, 20, 60])
async def test_a_cancelled_upload_leaves_nothing_behind(s3, store, turns) -> None:
    task = asyncio.ensure_future(write(store, "k", VALUE))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert await uploads_under_way(s3, store) == 0
    assert (await read(store, "k")).value in (b"", VALUE)
