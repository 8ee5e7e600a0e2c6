"""Large objects, which are sent piece by piece."""

from __future__ import annotations

import asyncio
import json

import pytest

from asynctensor.errors import FailedPrecondition, InvalidArgument, PermissionDenied, Unavailable
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores.gcs.address import Address
from asynctensor.kvstores.gcs.generation import generation_of
from asynctensor.kvstores.gcs.resumable import BLOCK, Uploads
from asynctensor.kvstores.gcs.store import GcsStore
from asynctensor.runtime.google_credentials import ANONYMOUS
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.kvstore import ReadOptions
from asynctensor.testing.fault_proxy import FaultProxy
from asynctensor.testing.kvstore_calls import keys, read, write
from asynctensor.testing.network_faults import Alter, Refuse, Reply, Reset, Truncate
from tests.kvstores.gcs.buckets import EXCHANGE, control, meanwhile, new_store
from tests.servers.scripted import Asked, Said, ScriptedServer

UPLOADS = Uploads(whole=BLOCK, piece=2 * BLOCK)
VALUE = bytes(range(256)) * 1024 * 5 + b"end"  # three pieces


@pytest.fixture
def proxy(gcs_server, fault_proxy_to) -> FaultProxy:
    return fault_proxy_to(*gcs_server.address)


@pytest.fixture
def store(gcs_server, proxy) -> GcsStore:
    return new_store(gcs_server, endpoint=proxy.url, uploads=UPLOADS)


def under_way(gcs_server, store: GcsStore) -> int:
    return control(gcs_server, store._asker.address.bucket)["uploads"]


def sent(proxy: FaultProxy) -> list[bytes]:
    """The ranges of the pieces that were sent."""
    lines = [line for head in proxy.statistics.requests for line in head.split(b"\r\n")]
    return [line.partition(b"bytes ")[2] for line in lines if line.startswith(b"Content-Range")]


async def test_a_large_object(gcs_server, store, proxy) -> None:
    stamp = await write(store, "a/b", memoryview(VALUE))
    total = len(VALUE)
    assert sent(proxy) == [
        b"0-524287/%d" % total, b"524288-1048575/%d" % total, b"1048576-%d/%d" % (total - 1, total),
    ]  # fmt: skip
    found = await read(store, "a/b")
    assert found.value == VALUE
    assert found.stamp.generation == stamp.generation != UNKNOWN
    part = await read(store, "a/b", ReadOptions(ByteRange(5000, 5009)))
    assert part.value == VALUE[5000:5009]
    assert (await write(store, "a/b", VALUE, NO_VALUE)).generation == UNKNOWN
    assert (await write(store, "a/b", VALUE, stamp.generation)).generation != UNKNOWN
    assert (await write(store, "new", VALUE, NO_VALUE)).generation != UNKNOWN
    exact = VALUE[: 4 * BLOCK]
    await write(store, "exact", exact)
    assert (await read(store, "exact")).value == exact
    assert under_way(gcs_server, store) == 0


def is_begin(head: bytes) -> bool:
    return b"uploadType=resumable" in head and head.startswith(b"POST")


def is_second(head: bytes) -> bool:
    return b"Content-Range: bytes 524288-" in head


def is_last(head: bytes) -> bool:
    return b"Content-Range: bytes 1048576-" in head


def is_query(head: bytes) -> bool:
    return b"Content-Range: bytes */" in head


FAULTS = [
    Reply(status=503, when=is_begin),
    Reset(after=0, when=is_begin),
    Truncate(after=30, when=is_begin),
    Reply(status=429, when=is_second),
    Reply(status=503, when=is_second),
    Reset(after=0, when=is_second),
    Refuse(when=is_second),
    Truncate(after=10, when=is_second),
    Reply(status=500, when=is_last),
    Reset(after=0, when=is_last),
    Refuse(when=is_last),
    Alter(change=lambda answer: Reply(status=502).encoded(), when=is_last),
]


@pytest.mark.parametrize("if_equal", [UNKNOWN, NO_VALUE], ids=["plain", "new"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{type(f).__name__}-{f.when.__name__}")
async def test_passing_faults_are_survived(gcs_server, store, proxy, fault, if_equal) -> None:
    # A query meets a fault, too.
    proxy.plan(fault, Reply(status=503, when=is_query))
    stamp = await write(store, "k", VALUE, if_equal)
    assert proxy.statistics.faults >= 1
    proxy.forget()
    found = await read(store, "k")
    assert (found.value, found.stamp.generation) == (VALUE, stamp.generation)
    # One whose name was lost is empty, and left to the server.
    nameless = fault.when is is_begin and not isinstance(fault, Reply)
    assert under_way(gcs_server, store) == nameless


@pytest.mark.parametrize("cut", [0, 100, BLOCK, BLOCK + 100, 2 * BLOCK - 1])
async def test_what_came_before_a_cut_is_not_sent_again(gcs_server, store, proxy, cut) -> None:
    control(gcs_server, store._asker.address.bucket, cut_upload_after=cut)
    stamp = await write(store, "k", VALUE)
    found = await read(store, "k")
    assert (found.value, found.stamp.generation) == (VALUE, stamp.generation)
    kept = cut // BLOCK * BLOCK
    assert [span.partition(b"-")[0].partition(b"/")[0] for span in sent(proxy)[:3]] == [
        b"0", b"*", b"%d" % kept,
    ]  # fmt: skip


@pytest.mark.parametrize("when", [is_second, is_last], ids=["second", "last"])
async def test_a_failure_leaves_nothing_behind(gcs_server, store, proxy, when) -> None:
    proxy.plan(Reply(status=503, when=when, times=100))
    with pytest.raises(Unavailable):
        await write(store, "k", VALUE)
    proxy.forget()
    assert await keys(store) == []
    assert under_way(gcs_server, store) == 0


@pytest.mark.parametrize("turns", [1, 20, 60, 150])
async def test_a_cancelled_upload_leaves_nothing_behind(gcs_server, store, turns) -> None:
    task = asyncio.ensure_future(write(store, "k", VALUE))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert under_way(gcs_server, store) == 0
    assert (await read(store, "k")).value in (b"", VALUE)


@pytest.mark.parametrize("moment", [is_begin, is_second, is_last])
@pytest.mark.parametrize("lost", [False, True])
async def test_a_condition_that_fails_on_the_way(gcs_server, store, proxy, moment, lost) -> None:
    """Somebody else is faster."""
    proxy.plan(meanwhile(gcs_server, store, moment, b"theirs"))
    if lost:
        proxy.plan(Reset(after=0, when=is_last))
    stamp = await write(store, "k", VALUE, NO_VALUE)
    assert stamp.generation == UNKNOWN
    proxy.forget()
    assert (await read(store, "k")).value == b"theirs"
    assert under_way(gcs_server, store) == 0


# -- Answers of a server that says what it is told ------------------------------------------------


def scripted(put) -> ScriptedServer:
    server = ScriptedServer(lambda asked: Said())

    def script(asked: Asked) -> Said:
        if asked.method == "POST":
            return Said(200, (("Location", f"{server.url}/upload/x?upload_id=1"),))
        return Said(499) if asked.method == "DELETE" else put(asked)

    server.script = script
    return server


def store_at(server: ScriptedServer, exchange: Exchange = EXCHANGE) -> GcsStore:
    return GcsStore(Address("abc", server.url), exchange, ANONYMOUS, uploads=UPLOADS)


async def test_a_forgotten_upload_begins_again() -> None:
    spans: list[str] = []

    def put(asked: Asked) -> Said:
        spans.append(asked.fields["content-range"].partition("/")[0])
        if len(spans) == 2:
            return Said(410)
        if spans[-1].startswith("bytes 1048576"):
            return Said(200, body=json.dumps({"generation": "5"}).encode())
        return Said(308, (("Range", f"bytes=0-{spans[-1].partition('-')[2]}"),))

    with scripted(put) as server:
        stamp = await write(store_at(server), "k", VALUE)
        assert stamp.generation == generation_of("5")
        assert [span.partition("-")[0] for span in spans] == [
            "bytes 0", "bytes 524288", "bytes 0", "bytes 524288", "bytes 1048576",
        ]  # fmt: skip
        assert [a.method for a in server.asked].count("POST") == 2


@pytest.mark.parametrize("fields", [(), (("Range", "bytes=0-9"),)])
async def test_a_server_that_takes_nothing_more_is_given_up(fields) -> None:
    with scripted(lambda asked: Said(308, fields)) as server:
        with pytest.raises(Unavailable, match="takes no more"):
            await write(store_at(server), "k", VALUE)
        assert server.asked[-1].method == "DELETE"
        assert len(server.asked) < 60


@pytest.mark.parametrize("text", ["bytes=1-5", "x", "bytes=0-99999999999"])
async def test_how_far_it_has_come_makes_sense(text) -> None:
    with scripted(lambda asked: Said(308, (("Range", text),))) as server:
        with pytest.raises(FailedPrecondition, match="how far"):
            await write(store_at(server), "k", VALUE)
        assert server.asked[-1].method == "DELETE"


@pytest.mark.parametrize("place", ["", "http://127.0.0.1:9/upload?upload_id=secret", "/upload"])
async def test_the_upload_goes_to_the_same_server(place) -> None:
    with ScriptedServer(lambda asked: Said(200, (("Location", place),))) as server:
        with pytest.raises(FailedPrecondition, match="place") as caught:
            await write(store_at(server), "k", VALUE)
        assert "secret" not in str(caught.value)
        assert len(server.asked) == 1


async def test_refusals_of_pieces_are_typed() -> None:
    with scripted(lambda asked: Said(403)) as server:
        with pytest.raises(PermissionDenied):
            await write(store_at(server), "k", VALUE)
        assert [asked.method for asked in server.asked] == ["POST", "PUT", "DELETE"]
        assert not [a for a in server.asked if "upload_id" in repr(a.fields)]
    with ScriptedServer(lambda asked: Said(400)) as server:
        with pytest.raises(InvalidArgument):
            await write(store_at(server), "k", VALUE)
        assert len(server.asked) == 1
