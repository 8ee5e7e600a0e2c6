"""Pages of listings that take long to read, and some that nobody should try to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest

from asynctensor.errors import DataLoss
from asynctensor.kvstores._http.pages import read_document
from asynctensor.kvstores.http.address import Address
from asynctensor.kvstores.http.store import HttpStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import Buffer, KeyValueStore
from tests.kvstores.scripted_clouds import CLOUDS
from tests.servers.scripted import Said, ScriptedServer

NAMES = [f"{k:03d}-{'x' * 100}" for k in range(1000)]
JSON = (("Content-Type", "application/json"),)


def in_xml(each: str, end: str) -> bytes:
    return (each + "".join([f"<Blob><Name>{n}</Name></Blob>" for n in NAMES]) + end).encode()


PAGES = {
    "http": Said(200, JSON, json.dumps([{"name": name} for name in NAMES]).encode()),
    "gcs": Said(
        200, JSON, json.dumps({"items": [{"name": n, "size": "1"} for n in NAMES]}).encode()
    ),
    "azure": Said(body=in_xml("<EnumerationResults><Blobs>", "</Blobs></EnumerationResults>")),
    "s3": Said(
        body=b"<ListBucketResult>%s</ListBucketResult>"
        % b"".join([b"<Contents><Key>%s</Key></Contents>" % name.encode() for name in NAMES])
    ),
}


def store_at(kind: str, url: str) -> KeyValueStore:
    return HttpStore(Address(url)) if kind == "http" else CLOUDS[kind].store(url, False)


async def listed(store: KeyValueStore) -> list[str]:
    return [entry.key async for entry in store.list(KeyRange())]


@pytest.mark.parametrize("kind", list(PAGES))
async def test_a_large_page_is_read(kind: str) -> None:
    assert len(PAGES[kind].body) > 1 << 16
    with ScriptedServer(lambda asked: PAGES[kind]) as server:
        found = await start(listed, store_at(kind, server.url))
    assert [key.removeprefix("/") for key in found] == NAMES


async def test_the_loop_does_not_wait_for_large_ones() -> None:
    def read(body: Buffer) -> int:
        return threading.get_ident()

    assert await read_document(read, bytes(1000)) == threading.get_ident()
    assert await read_document(read, bytes(1 << 17)) != threading.get_ident()


@pytest.mark.parametrize("kind", list(PAGES))
@pytest.mark.parametrize(
    "deep", [lambda n: b"[" * n, lambda n: b'{"a":' * n, lambda n: b"<a>" * n + b"</a>" * n]
)
async def test_what_is_nested_without_end_is_refused(
    kind: str, deep: Callable[[int], bytes]
) -> None:
    said = Said(200, JSON, deep(100_000))
    with ScriptedServer(lambda asked: said) as server, pytest.raises(DataLoss):
        await start(listed, store_at(kind, server.url))
