"""Digests that are asked for in one turn share hops, and nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import pytest

from asynctensor.kvstores._http.digests import digest_of


class Counting(ThreadPoolExecutor):
    """Counts what it is handed."""

    handed = 0

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        self.handed += 1
        return super().submit(function, *args, **options)


def digest(body: bytes) -> tuple[str, str]:
    return sha256(body).hexdigest(), threading.current_thread().name


@pytest.fixture
async def executor() -> Counting:
    made = Counting(2, thread_name_prefix="digests")
    asyncio.get_running_loop().set_default_executor(made)
    return made


@pytest.mark.parametrize(("size", "hops"), [(100_000, 1), (400_000, 4), (2_000_000, 8)])
async def test_bodies_of_one_turn_share_hops(executor, size, hops) -> None:
    bodies = [bytes([k]) * size for k in range(8)]
    found = await asyncio.gather(*(digest_of(digest, body) for body in bodies))
    assert [value for value, _ in found] == [sha256(body).hexdigest() for body in bodies]
    assert all(name.startswith("digests") for _, name in found)
    assert executor.handed == hops
    await digest_of(digest, bodies[0])
    assert executor.handed == hops + 1


async def test_an_error_is_told_to_its_own_reader(executor) -> None:
    def fails(body: bytes) -> str:
        raise ValueError(f"no digest of {len(body)} bytes")

    good, bad, other = await asyncio.gather(
        digest_of(digest, b"1"), digest_of(fails, b"22"), digest_of(digest, b"3"),
        return_exceptions=True,
    )  # fmt: skip
    assert isinstance(bad, ValueError)
    assert (good[0], other[0]) == (sha256(b"1").hexdigest(), sha256(b"3").hexdigest())
    assert executor.handed == 1


async def test_one_that_is_given_up_takes_nothing_from_the_others(executor) -> None:
    go_on = threading.Event()

    def waits(body: bytes) -> bool:
        return go_on.wait(60)

    for turns in (1, 3):
        go_on.clear()
        held = asyncio.ensure_future(digest_of(waits, b"1"))
        other = asyncio.ensure_future(digest_of(digest, b"2"))
        for _ in range(turns):
            await asyncio.sleep(0)
        held.cancel()
        with pytest.raises(asyncio.CancelledError):
            await held
        go_on.set()
        assert (await other)[0] == sha256(b"2").hexdigest()
