"""Large blobs, which are sent in blocks."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from azure.storage.blob import BlobClient, ContentSettings

from asynctensor.errors import FailedPrecondition, PermissionDenied, Unavailable
from asynctensor.kvstores.azure.blocks import Uploads
from asynctensor.kvstores.azure.store import AzureStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.kvstore import ReadOptions
from asynctensor.testing.kvstore_calls import keys, read, write
from asynctensor.testing.network_faults import Refuse, Reply, Reset, Truncate
from tests.kvstores.azure.containers import EXCHANGE, OURS, new_store
from tests.kvstores.azure.test_azure_faults import error_of

UPLOADS = Uploads(whole=1 << 16, block=1 << 17)
VALUE = bytes(range(256)) * 4096 + b"end"
#: In one block; azurite keeps the blocks of others where a blob is put without any.
OTHERS = VALUE[: 1 << 17]


@pytest.fixture
def store(azure, proxied) -> AzureStore:
    return new_store(azure, endpoint=proxied, uploads=UPLOADS)


@pytest.fixture
def beside(azure, store) -> AzureStore:
    """The same container, not through the proxy."""
    address = replace(store._asker.address, endpoint=azure.endpoint)
    return AzureStore(address, EXCHANGE, OURS, uploads=UPLOADS)


def blob(azure, store: AzureStore, key: str) -> BlobClient:
    """The same blob, through Azure's own client."""
    credential = {"account_name": azure.access_key, "account_key": azure.secret_key}
    return BlobClient(azure.endpoint, store._asker.address.container, key, credential=credential)


def is_block(head: bytes) -> bool:
    return b"comp=block&" in head or b"comp=block " in head


def is_end(head: bytes) -> bool:
    return b"comp=blocklist" in head


async def test_a_large_blob(azure, store, proxy) -> None:
    stamp = await write(store, "a/b", memoryview(VALUE))
    assert sum(map(is_block, proxy.statistics.requests)) == 9
    found = await read(store, "a/b")
    assert found.value == VALUE
    assert found.stamp.generation == stamp.generation != UNKNOWN
    part = await read(store, "a/b", ReadOptions(ByteRange(131_070, 131_080)))
    assert part.value == VALUE[131_070:131_080]
    assert (await write(store, "a/b", VALUE, NO_VALUE)).generation == UNKNOWN
    assert (await write(store, "new", VALUE, NO_VALUE)).generation != UNKNOWN
    # Of a blob in blocks the service knows no checksum but what it is told.
    with blob(azure, store, "a/b") as theirs:
        settings = theirs.get_blob_properties().content_settings
        assert settings.content_type == "application/octet-stream"
        assert settings.content_md5 is not None
        theirs.set_http_headers(replace_md5(settings))
    with pytest.raises(ValueError, match="MD5"):
        await read(store, "a/b")


def replace_md5(settings) -> ContentSettings:
    """The same with another checksum."""
    settings.content_md5 = bytearray(16)
    return settings


@pytest.mark.parametrize(
    "fault",
    [
        Reply(status=503, when=is_block),
        Reset(after=0, when=is_block),
        Reply(status=400, body=error_of("Md5Mismatch"), when=is_block),
        Reply(status=500, body=error_of("OperationTimedOut"), when=is_end),
        Refuse(when=is_end),
        Reset(after=0, when=is_end),
        Truncate(after=30, when=is_end),
    ],
    ids=["block-503", "block-reset", "md5", "end-500", "end-refused", "end-reset", "end-cut"],
)
@pytest.mark.parametrize("condition", [UNKNOWN, NO_VALUE])
async def test_passing_faults_are_survived(store, proxy, fault, condition) -> None:
    proxy.plan(fault)
    stamp = await write(store, "k", VALUE, condition)
    assert proxy.statistics.faults == 1
    found = await read(store, "k")
    assert (found.value, found.stamp.generation) == (VALUE, stamp.generation)


async def test_a_failure_leaves_nothing_to_be_seen(store, proxy) -> None:
    proxy.plan(Reply(status=503, when=is_block, times=100))
    with pytest.raises(Unavailable):
        await write(store, "k", VALUE)
    proxy.forget()
    assert await keys(store) == []
    assert (await read(store, "k")).state == "missing"
    # What is left of it is in nobody's way.
    stamp = await write(store, "k", VALUE, NO_VALUE)
    assert (await read(store, "k")).stamp.generation == stamp.generation != UNKNOWN


@pytest.mark.parametrize("turns", [1, 20, 60])
async def test_a_cancelled_write_happens_wholly_or_never(store, turns) -> None:
    task = asyncio.ensure_future(write(store, "k", VALUE))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    found = await read(store, "k")
    assert found.value in (b"", VALUE)
    again = await read(store, "k", ReadOptions(if_equal=found.stamp.generation))
    assert again.value == found.value


async def test_others_write_before_the_blocks_are_a_blob(store, beside, proxy) -> None:
    """Whoever writes a blob does away with the blocks that others have sent."""
    before = (await write(store, "k", b"before")).generation
    ends = 0

    def others(head: bytes) -> bool:
        nonlocal ends
        if is_end(head):
            ends += 1
            if ends in (1, 3):
                start(beside.write, "k", OTHERS).result()
        return False

    proxy.plan(Reply(when=others))
    # With a condition, the others have won.
    assert (await write(store, "k", VALUE, before)).generation == UNKNOWN
    assert (await read(store, "k")).value == OTHERS
    assert ends == 1
    # Without one, the blocks are sent again.
    ends = 2
    stamp = await write(store, "k", VALUE)
    found = await read(store, "k")
    assert (found.value, found.stamp.generation) == (VALUE, stamp.generation)
    assert ends == 4


async def test_others_write_after_a_lost_answer(store, beside, proxy) -> None:
    """Whether what they replaced was ours, nobody can know: the blocks are not sent again."""

    def others(head: bytes) -> bool:
        if head.startswith(b"HEAD"):
            start(beside.write, "k", OTHERS).result()
        return False

    proxy.plan(Reset(after=0, when=is_end), Reply(when=others))
    with pytest.raises(Unavailable, match="not known"):
        await write(store, "k", VALUE)
    assert (await read(store, "k")).value == OTHERS
    assert sum(map(is_block, proxy.statistics.requests)) == 9


async def test_others_never_stop_writing(store, beside, proxy) -> None:
    def others(head: bytes) -> bool:
        if is_end(head):
            start(beside.write, "k", OTHERS).result()
        return False

    proxy.plan(Reply(when=others))
    with pytest.raises(FailedPrecondition, match="InvalidBlockList"):
        await write(store, "k", VALUE)
    assert (await read(store, "k")).value == OTHERS


async def test_two_send_one_blob_in_blocks(store, beside) -> None:
    values = [VALUE, VALUE[::-1]]
    stamps = await asyncio.gather(
        *(write(each, "k", value) for each, value in zip((store, beside), values, strict=True))
    )
    found = await read(store, "k")
    assert found.stamp.generation in [stamp.generation for stamp in stamps]
    assert found.value in values
    stamps = await asyncio.gather(
        *(write(each, "new", VALUE, NO_VALUE) for each in (store, beside))
    )
    assert sum(stamp.generation != UNKNOWN for stamp in stamps) == 1


async def test_somebody_else_names_blocks_in_another_way(azure, store) -> None:
    with blob(azure, store, "k") as theirs:
        theirs.stage_block("x", b"theirs")
    stamp = await write(store, "k", VALUE)
    found = await read(store, "k")
    assert (found.value, found.stamp.generation) == (VALUE, stamp.generation)


async def test_small_values_are_created_where_blocks_are_left(store, proxy) -> None:
    proxy.plan(Reply(status=403, when=is_end))
    with pytest.raises(PermissionDenied):
        await write(store, "k", VALUE, NO_VALUE)
    stamp = await write(store, "k", b"small", NO_VALUE)
    found = await read(store, "k")
    assert (found.value, found.stamp.generation) == (b"small", stamp.generation)
    assert (await write(store, "k", b"late", NO_VALUE)).generation == UNKNOWN
