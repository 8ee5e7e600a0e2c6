"""``http`` against servers that do as HTTP allows, and as it does not."""

from __future__ import annotations

import asyncio
import base64
import gzip
import time

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import (
    DataLoss,
    FailedPrecondition,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
)
from asynctensor.kvstores._http.message import Headers
from asynctensor.kvstores.http.generation import generation_of
from tests.servers.scripted import Asked, Said, ScriptedServer

BODY = b"0123456789"
FAST = {"http_request_retries": {"max_retries": 2, "initial_delay": "1ms", "max_delay": "2ms"}}
ETAG = ("ETag", '"abc"')


def open_store(url: str, **members) -> ts.Future:
    spec = {"driver": "http", "base_url": url, "path": "/", **members}
    return ts.KvStore.open(spec, context=ts.Context(FAST))


def says(said: Said) -> ScriptedServer:
    return ScriptedServer(lambda asked: said)


def partial(text: str, body: bytes, *fields) -> Said:
    return Said(206, (ETAG, ("Content-Range", text), *fields), body)


async def read_part(said: Said, low: int | None, high: int | None) -> ts.KvStore.ReadResult:
    with says(said) as server:
        store = await open_store(server.url)
        return await store.read("k", byte_range=slice(low, high))


async def test_a_server_without_ranges_is_read_all_the_same() -> None:
    for said in (Said(200, (ETAG,), BODY), Said(200, (), BODY, length=False)):
        assert (await read_part(said, 2, 5)).value == b"234"
        assert (await read_part(said, -3, None)).value == b"789"
        with pytest.raises(OutOfRange):
            await read_part(said, 2, 11)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (partial("bytes 2-4/10", b"2345"), FailedPrecondition),
        (partial("bytes 1-3/10", b"123"), FailedPrecondition),
        (partial("bytes 2-3/*", b"23"), FailedPrecondition),
        (partial("bytes 2-3/4", b"23"), OutOfRange),
        (partial("bytes 4-2/10", b"234"), FailedPrecondition),
        (partial("bytes 2-4/3", b"234"), FailedPrecondition),
        (partial("items 2-4/10", b"234"), FailedPrecondition),
        (Said(206, (ETAG,), b"234"), FailedPrecondition),
        (Said(416, (("Content-Range", "bytes */4"),)), OutOfRange),
        (Said(416), OutOfRange),
        (Said(302, (ETAG,)), FailedPrecondition),
        (Said(302, (("Location", "file:///etc/passwd"),)), FailedPrecondition),
        (Said(302, (("Location", "/k"),)), FailedPrecondition),
        (Said(401, (), b"x"), PermissionDenied),
        (Said(403), PermissionDenied),
        (Said(501), Unimplemented),
        (Said(200, (("Content-Encoding", "gzip"),), b"no gzip"), DataLoss),
        (Said(200, (("Content-Encoding", "gzip"),), gzip.compress(BODY, mtime=0)[:-3]), DataLoss),
        (Said(200, (("Content-Encoding", "br"),), b"x"), Unimplemented),
        (Said(500), Unavailable),
        (Said(503), Unavailable),
    ],
    ids=repr,
)
async def test_wrong_answers_have_their_errors(said, error) -> None:
    with pytest.raises(error) as caught:
        await read_part(said, 2, 5)
    assert caught.value.key == "/k"
    assert caught.value.operation == "read"


async def test_a_range_of_unknown_size() -> None:
    assert (await read_part(partial("bytes 2-4/*", b"234"), 2, 5)).value == b"234"
    assert (await read_part(partial("bytes 7-9/*", b"789"), -3, None)).value == b"789"


@pytest.mark.parametrize("status", [204, 404, 410])
async def test_what_is_not_there_is_missing(status) -> None:
    assert (await read_part(Said(status), 2, 5)).state == "missing"


async def test_what_is_packed_is_unpacked_and_its_parts_are_of_the_value() -> None:
    packed = gzip.compress(BODY)

    def script(asked: Asked) -> Said:
        fields = (ETAG, ("Content-Encoding", "gzip"))
        if "range" in asked.fields:
            return Said(206, (*fields, ("Content-Range", f"bytes 2-4/{len(packed)}")), packed[2:5])
        return Said(200, fields, packed)

    with ScriptedServer(script) as server:
        store = await open_store(server.url)
        assert (await store.read("k")).value == BODY
        assert (await store.read("k", byte_range=slice(2, 5))).value == b"234"
        assert all(asked.fields["accept-encoding"] == "identity" for asked in server.asked)


async def test_a_packed_bomb_is_not_unpacked(monkeypatch) -> None:
    monkeypatch.setattr("asynctensor.kvstores.http.reading.MOST_UNASKED", 1 << 20)
    bomb = gzip.compress(gzip.compress(bytes(1 << 26)))
    with pytest.raises(ResourceExhausted):
        await read_part(Said(200, (("Content-Encoding", "gzip, gzip"),), bomb), 0, 5)


def test_generations() -> None:
    modified = ("Last-Modified", "Thu, 26 Nov 2020 12:00:00 GMT")
    later = ("Date", "Thu, 26 Nov 2020 12:00:05 GMT")

    def of(*fields):
        return generation_of(Headers(fields), 10)

    assert of(ETAG, modified) == b"\x00abc"
    assert of(modified, later) == b"\x011606392000-10"
    for fields in ((), (modified,), (modified, ("Date", modified[1])), (("ETag", 'W/"abc"'),)):
        assert of(*fields) != of(*fields)
    assert of(("ETag", '""')) != b"\x00"


async def test_conditions_are_checked_also_where_the_server_does_not() -> None:
    with says(Said(200, (ETAG,), BODY)) as server:
        store = await open_store(server.url)
        assert (await store.read("k", if_equal=b"\x00other")).state == "unspecified"
        assert (await store.read("k", if_not_equal=b"\x00abc")).state == "unspecified"
        assert (await store.read("k", if_equal=b"\x00abc")).value == BODY
        assert (await store.read("k", if_equal=b"what is this")).state == "unspecified"
        assert (await store.read("k", if_not_equal=b"what is this")).value == BODY
        asked = [a.fields.get("if-match") for a in server.asked]
        assert asked[:3] == ['"other"', None, '"abc"']


async def test_redirects_carry_no_secret_to_another_host() -> None:
    def elsewhere(asked: Asked) -> Said:
        return Said(200, (ETAG,), BODY)

    with ScriptedServer(elsewhere) as other:

        def script(asked: Asked) -> Said:
            if asked.target.startswith("/here"):
                return Said(200, (ETAG,), BODY)
            target = "/here" if asked.target.startswith("/near") else f"{other.url}/far?own=1"
            return Said(307, (("Location", target),))

        with ScriptedServer(script) as server:
            host = server.url.removeprefix("http://")
            store = await open_store(
                f"http://user:SECRET@{host}?sig=SECRET", headers=["X-Key: SECRET"]
            )
            assert (await store.read("near")).value == BODY
            assert server.asked[-1].target == "/here"
            assert server.asked[-1].fields["x-key"] == "SECRET"
            pair = base64.b64encode(b"user:SECRET").decode()
            assert server.asked[-1].fields["authorization"] == f"Basic {pair}"
            assert (await store.read("far", byte_range=slice(0, 10))).value == BODY
            (asked,) = other.asked
            assert asked.target == "/far?own=1"
            assert asked.fields["range"] == "bytes=0-9"
            assert "SECRET" not in str(asked)


async def test_folders_are_no_values() -> None:
    with says(Said(301, (("Location", "/k/"),))) as server:
        store = await open_store(server.url)
        assert (await store.read("k")).state == "missing"


async def test_a_token_that_has_changed_is_read_again(tmp_path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    valid = "Bearer old"

    def script(asked: Asked) -> Said:
        good = asked.fields.get("authorization") == valid
        return Said(200, (ETAG,), BODY) if good else Said(401)

    with ScriptedServer(script) as server:
        credentials = {"type": "bearer", "token_file": str(file)}
        context = ts.Context({**FAST, "http_credentials": credentials})
        store = await ts.KvStore.open(server.url + "/", context=context)
        assert (await store.read("k")).value == BODY
        file.write_text("new")
        valid = "Bearer new"
        assert (await store.read("k")).value == BODY
        valid = "Bearer none"
        with pytest.raises(PermissionDenied, match="check the credentials"):
            await store.read("k")
        file.unlink()
        with pytest.raises(PermissionDenied, match="no secret can be read"):
            await store.read("k")


async def test_caches_on_the_way_are_told_how_fresh_it_must_be() -> None:
    with says(Said(200, (ETAG, ("Age", "100")), BODY)) as server:
        store = await open_store(server.url)
        found = await store.read("k")
        assert server.asked[-1].fields["cache-control"] == "no-cache"
        assert found.stamp.time < time.time() - 99
        await store.read("k", staleness_bound=found.stamp.time - 100)
        age = int(server.asked[-1].fields["cache-control"].removeprefix("max-age="))
        assert 190 < age < 300
        await store.read("k", staleness_bound=float("-inf"))
        assert "cache-control" not in server.asked[-1].fields


async def test_what_cannot_be_done_says_so(caddy) -> None:
    store = await open_store(caddy.url.rstrip("/"))
    with pytest.raises(NotImplementedError, match="does not support writing"):
        await store.write("k", b"1")
    with pytest.raises(NotImplementedError, match="does not support deleting"):
        await store.delete_range(ts.KvStore.KeyRange("a", "b"))
    (caddy.folder / "index.html").write_text("no index")
    with pytest.raises(NotImplementedError, match="no index of this folder as JSON"):
        await store.list()


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1]", b'[{"name": "../x"}]', b'[{"name": ""}]', b'[{"name": 3}]']
)
async def test_a_wrong_index_is_refused(body) -> None:
    with says(Said(200, (("Content-Type", "application/json"),), body)) as server:
        store = await open_store(server.url)
        with pytest.raises(DataLoss):
            await store.list()


async def test_a_circle_of_folders_ends() -> None:
    line = b'[{"name": "a/", "is_dir": true}]'
    with says(Said(200, (("Content-Type", "application/json"),), line)) as server:
        store = await open_store(server.url)
        with pytest.raises(FailedPrecondition, match="circle"):
            await store.list()


async def test_arrays_are_read_and_found(caddy) -> None:
    data = np.arange(40 * 30).reshape(40, 30)
    written = await ts.open(
        f"file://{caddy.folder}/group/a/|zarr3:",
        create=True,
        dtype="int64",
        shape=[40, 30],
        chunk_layout=ts.ChunkLayout(write_chunk_shape=[20, 30], read_chunk_shape=[10, 10]),
    )
    await written.write(data)
    array = await ts.open(f"{caddy.url}group/a/")
    assert array.spec().to_json()["driver"] == "zarr3"
    assert np.array_equal(await array.read(), data)
    assert np.array_equal(await array[15:25, 5:15].read(), data[15:25, 5:15])
    with pytest.raises(NotFound):
        await ts.open(f"{caddy.url}group/b/|zarr3:", open=True)
    reads = [array[i, 0].read() for i in range(40)]
    assert [int(x) for x in await asyncio.gather(*reads)] == list(data[:, 0])
