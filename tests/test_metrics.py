"""Metrics: what is counted, under which names, and how it leaves the process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import tensorstore as ts
from aiohttp import web

import asynctensor as at
from asynctensor.errors import InvalidArgument, Unavailable

FILE = "/tensorstore/kvstore/file/"


def collected(module: Any, prefix: str) -> dict[str, int]:
    found = module.experimental_collect_matching_metrics(prefix, include_zero_metrics=True)
    return {
        each["name"]: each["values"][0]["value"] for each in found if "value" in each["values"][0]
    }


def grown(module: Any, prefix: str, work: Callable[[], object]) -> dict[str, int]:
    before = collected(module, prefix)
    work()
    return {
        name: value - before.get(name, 0)
        for name, value in collected(module, prefix).items()
        if value != before.get(name, 0)
    }


def chunks(module: Any, path: Path) -> Any:
    return module.open(
        {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/{module.__name__}/"}},
        create=True,
        dtype="uint16",
        shape=[40, 40],
        chunk_layout=module.ChunkLayout(chunk_shape=[10, 10]),
        codec=module.CodecSpec({"driver": "zarr3", "codecs": [{"name": "bytes"}]}),
    ).result()


def test_files_are_counted_as_tensorstore_counts_them(tmp_path: Path) -> None:
    mine, theirs = chunks(at, tmp_path), chunks(ts, tmp_path)

    def worked(store: Any) -> None:
        store[...] = 7
        assert store[:20, :10].read().result().sum() == 7 * 200

    counts = grown(at, FILE, lambda: worked(mine))
    reference = grown(ts, FILE, lambda: worked(theirs))
    for name in ("read", "write", "bytes_read", "bytes_written"):
        assert counts[FILE + name] == reference[FILE + name], name


def test_a_store_counts_what_it_is_asked(tmp_path: Path) -> None:
    for driver in ("file", "memory"):
        kvstore = at.KvStore.open({"driver": driver, "path": f"{tmp_path}/"}).result()
        prefix = f"/tensorstore/kvstore/{driver}/"

        def work(kvstore: at.KvStore = kvstore) -> None:
            kvstore["a"] = b"abc"
            assert kvstore.read("a").result().value == b"abc"
            assert kvstore.read("b").result().state == "missing"
            assert kvstore.list().result() == [b"a"]
            kvstore.delete_range(at.KvStore.KeyRange("b")).result()

        counts = grown(at, prefix, work)
        assert counts == {
            prefix + "bytes_read": 3,
            prefix + "bytes_written": 3,
            prefix + "delete_range": 1,
            prefix + "list": 1,
            prefix + "read": 2,
            prefix + "write": 1,
        }


def test_a_cache_counts_hits_misses_and_what_it_drops() -> None:
    store = at.open(
        {"driver": "zarr3", "kvstore": "memory://"},
        context=at.Context({"cache_pool": {"total_bytes_limit": 2000}}),
        recheck_cached=False,
        create=True,
        dtype="uint8",
        shape=[40],
        chunk_layout=at.ChunkLayout(chunk_shape=[10]),
    ).result()
    store[...] = 1

    def work() -> None:
        store[:10].read().result()
        store[:10].read().result()
        store[...].read().result()

    counts = grown(at, "/tensorstore/cache/", work)
    assert counts["/tensorstore/cache/hit_count"] == 2
    assert counts["/tensorstore/cache/miss_count"] == 4
    assert counts["/tensorstore/cache/evict_count"] >= 1
    assert counts["/tensorstore/cache/chunk_cache/reads"] == 6


def test_only_what_was_asked_for_is_collected() -> None:
    at.KvStore.open("memory://").result()["a"] = b""
    assert set(collected(at, FILE)) == {name for name in collected(at, "") if FILE in name}
    assert at.experimental_collect_matching_metrics("/none/") == []
    shown = at.experimental_collect_matching_metrics()
    assert shown
    assert all(each["values"][0]["value"] for each in shown)


def test_prometheus_text_has_each_number_once(tmp_path: Path) -> None:
    at.KvStore.open(f"file://{tmp_path}/").result()
    lines = at.experimental_collect_prometheus_format_metrics(FILE)
    assert "# UNIT tensorstore_kvstore_file_bytes_read bytes" in lines
    assert "# TYPE tensorstore_kvstore_file_read counter" in lines
    values = [line for line in lines if not line.startswith("#")]
    assert [line.split()[0].rpartition("_file_")[2] for line in values] == [
        "bytes_read", "bytes_written", "delete_range", "list", "read", "write",
    ]  # fmt: skip


Received = list[tuple[str, str]]


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[str, Received]]:
    """A server that takes what is pushed."""
    received: Received = []

    async def take(request: web.Request) -> web.Response:
        received.append((request.raw_path, await request.text()))
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/{tail:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/", received
    await runner.cleanup()


async def test_metrics_are_pushed(gateway: tuple[str, Received]) -> None:
    url, received = gateway
    kvstore = await at.KvStore.open("memory://")
    await kvstore.write("a", b"abc")
    status = await at.experimental_push_metrics_to_prometheus(
        url, "a job", "a/b", "/tensorstore/kvstore/memory/"
    )
    assert status == 202
    ((path, text),) = received
    assert path == "/metrics/job/a%20job/instance/a%2Fb"
    assert "\ntensorstore_kvstore_memory_write " in text
    assert text.endswith("\n")


def test_pushing_nowhere_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="pushgateway must be an http"):
        at.experimental_push_metrics_to_prometheus(job="x")
    with pytest.raises(InvalidArgument, match="job must not be empty"):
        at.experimental_push_metrics_to_prometheus("http://localhost:1")
    with pytest.raises(Unavailable, match="did not answer"):
        at.experimental_push_metrics_to_prometheus("http://127.0.0.1:1", "x").result()
