"""What ten thousand cancelled reads leave behind: nothing."""

from __future__ import annotations

import asyncio
import gc
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asynctensor.kvstores.azure.address import Address as Container
from asynctensor.kvstores.azure.store import AzureStore
from asynctensor.kvstores.gcs.address import Address as GcsBucket
from asynctensor.kvstores.gcs.store import GcsStore
from asynctensor.kvstores.http.address import Address as HttpServer
from asynctensor.kvstores.http.store import HttpStore
from asynctensor.kvstores.s3.address import Address as S3Bucket
from asynctensor.kvstores.s3.store import S3Store
from asynctensor.runtime.aws_credentials import AwsCredentials
from asynctensor.runtime.azure_credentials import AzureCredentials
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.google_credentials import GoogleCredentials
from asynctensor.scheduler.gate import shared_gate
from asynctensor.scheduler.scheduled_store import ScheduledStore
from asynctensor.storage.kvstore import KeyValueStore, ReadOptions
from tests.servers.object_server import objects

VALUE = b"value" * 2000
WIDTH = 50
#: One for each, so that no read is another one's.
KEYS = [f"k{number}" for number in range(WIDTH)]
ROUNDS = 10_000 // WIDTH
#: Blocks of memory that may differ for other reasons: caches that fill, a connection more or less.
_NOISE = 2000


async def cancelled_by_task(store: KeyValueStore, turns: int) -> None:
    tasks = [asyncio.ensure_future(store.read(key)) for key in KEYS]
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def given_up(store: KeyValueStore, turns: int) -> None:
    told: list[Any] = []
    begun = [store.begin_read(key, ReadOptions(), told.append) for key in KEYS]
    assert None not in begun
    for _ in range(turns):
        await asyncio.sleep(0)
    for give_up in begun:
        assert give_up is not None
        give_up()


def blocks_in_use() -> int:
    """Blocks of memory that are not garbage."""
    gc.collect()
    return sys.getallocatedblocks()


def sockets_to(port: int) -> int:
    """The connections of this process to a port of the loopback."""
    table = Path("/proc/self/net/tcp").read_text().splitlines()[1:]
    ours = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    rows = [line.split() for line in table]
    return sum(f"socket:[{row[9]}]" in ours for row in rows if row[2].endswith(f":{port:04X}"))


def http(url: str) -> tuple[KeyValueStore, str]:
    return HttpStore(HttpServer(url, "/abc/")), "/abc/"


def s3(url: str) -> tuple[KeyValueStore, str]:
    keys = AwsCredentials("static", (("access_key_id", "k"),), "s")
    return S3Store(S3Bucket("abc", url), credentials=keys, region="r"), "/abc/"


def gcs(url: str) -> tuple[KeyValueStore, str]:
    store = GcsStore(GcsBucket("abc", url), credentials=GoogleCredentials("anonymous"))
    return store, "/storage/v1/b/abc/o/"


def azure(url: str) -> tuple[KeyValueStore, str]:
    store = AzureStore(Container("acc", "abc", url), credentials=AzureCredentials("anonymous"))
    return store, "/abc/"


@pytest.fixture(scope="module")
def objects_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with objects(tmp_path_factory.mktemp("objects")) as port:
        yield port


@pytest.mark.slow
@pytest.mark.parametrize("leave", [cancelled_by_task, given_up])
@pytest.mark.parametrize("kind", [http, s3, gcs, azure])
async def test_cancelled_reads_leave_nothing(objects_port, kind, leave) -> None:
    url = f"http://127.0.0.1:{objects_port}"
    store, path = kind(url)
    for key in KEYS:
        put = urllib.request.Request(f"{url}{path}{key}", data=VALUE, method="PUT")
        await asyncio.to_thread(lambda: urllib.request.urlopen(put, timeout=60).close())  # noqa: B023
    await leaves_nothing(ScheduledStore(store), objects_port, leave)


async def leaves_nothing(store: KeyValueStore, port: int, leave: Any) -> None:
    """Reads `VALUE` ten thousand times, and goes away before it is there."""

    async def run() -> None:
        known = shared_gate().statistics()
        blocks = tasks = 0
        for round_ in range(ROUNDS):
            # Others come and go meanwhile.
            await leave(store, round_ % 16)
            if round_ == ROUNDS // 5:
                assert (await store.read("k0")).value == VALUE
                blocks, tasks = blocks_in_use(), len(asyncio.all_tasks())
        # What was given up last is about to end.
        for _ in range(3000):
            if len(asyncio.all_tasks()) <= tasks and shared_gate().statistics() == known:
                break
            await asyncio.sleep(0.01)
        assert (await store.read("k0")).value == VALUE
        assert len(asyncio.all_tasks()) <= tasks
        assert blocks_in_use() - blocks < _NOISE
        assert shared_gate().statistics() == known
        # No more are kept than were in use at once.
        assert sockets_to(port) <= WIDTH

    await start(run)
