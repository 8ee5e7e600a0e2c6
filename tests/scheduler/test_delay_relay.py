"""The relay of the benchmarks: everything gets through, late, and is counted."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import asynctensor as ts
from tests.servers.delay_relay import Way, delayed
from tests.servers.http_servers import HttpServer

VALUE = os.urandom(3_000_000)


async def test_what_goes_through(caddy: HttpServer, tmp_path: Path) -> None:
    (caddy.folder / "k").write_bytes(VALUE)
    with delayed(tmp_path / "relay", caddy.port, Way(0.02, 50e6)) as relay:
        store = await ts.KvStore.open({"driver": "http", "base_url": relay.url})
        loop = asyncio.get_running_loop()
        began = loop.time()
        found = await asyncio.gather(
            *(store.read("k", byte_range=slice(k, None)) for k in range(8))
        )
        # A connection and an answer take a round trip each.
        assert loop.time() - began >= 0.04 + 8 * 3 / 50
        assert [each.value for each in found] == [VALUE[k:] for k in range(8)]
        counts = relay.counts()
        assert counts["requests"] == 8
        assert 8 * len(VALUE) - 100 < counts["received"] < 8 * len(VALUE) + 8000
        assert relay.counts()["requests"] == 0


async def test_some_answers_come_late(caddy: HttpServer, tmp_path: Path) -> None:
    (caddy.folder / "k").write_bytes(VALUE)
    with delayed(tmp_path / "relay", caddy.port, Way(late_share=1.0, late=0.2)) as relay:
        store = await ts.KvStore.open({"driver": "http", "base_url": relay.url})
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert (await store.read("k")).value == VALUE
        assert loop.time() - began >= 0.2
