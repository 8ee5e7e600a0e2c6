"""What answers are read into: handed out as it is, and read into again only when nobody has it."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from asynctensor.errors import Error
from asynctensor.kvstores._http.aiohttp_transport import AiohttpTransport
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.fast_transport import FastTransport
from asynctensor.kvstores._http.read_slots import ROOM, SLOT, ReadSlots
from asynctensor.kvstores.http.address import Address
from asynctensor.kvstores.http.store import HttpStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.kvstore import Arrival, ReadOptions
from tests.kvstores.http.waiting import until


def read(slots: ReadSlots, size: int, value: int) -> memoryview | None:
    """As a connection does: a head of 100 bytes, and a body."""
    view = slots.view
    assert len(view) >= ROOM
    view[: 100 + size] = bytes([value]) * (100 + size)
    return slots.taken(100, 100 + size)


@pytest.mark.parametrize("seed", range(4))
def test_what_somebody_has_is_not_read_into(seed) -> None:
    slots = ReadSlots()
    chance = np.random.default_rng(seed)
    held: deque[tuple[memoryview, int]] = deque()
    for number in range(250):
        part = read(slots, int(chance.integers(1, ROOM - 100)), number)
        if part is not None:
            held.append((part, number))
        while len(held) > chance.integers(0, 40):
            held.popleft()
        for body, value in held:
            assert body[0] == body[-1] == value


def test_slots_are_read_into_again() -> None:
    slots = ReadSlots()
    seen = set()
    for number in range(200):
        part = read(slots, ROOM - 100, number)
        assert part is not None
        seen.add(id(part.obj))
    # The first one, and two that take turns.
    assert len(seen) <= 3


def test_where_much_is_kept_there_is_no_more_until_it_is_let_go_of() -> None:
    slots = ReadSlots()
    kept = []
    while (part := read(slots, ROOM - 100, len(kept))) is not None:
        # Arrays refer to it as views do.
        kept.append(np.frombuffer(part, np.uint8))
        assert len(kept) <= 200
    assert sum([array.size for array in kept]) <= 32 * SLOT
    assert read(slots, ROOM - 100, 255) is None
    assert all([(array == number).all() for number, array in enumerate(kept)])
    del part, kept[:-8]
    assert all([read(slots, ROOM - 100, 1) is not None for _ in range(20)])


def test_a_few_that_are_kept_for_long_are_in_nobodys_way() -> None:
    slots = ReadSlots()
    kept = [read(slots, ROOM - 100, number) for number in range(12)]
    seen = set()
    for number in range(200):
        part = read(slots, ROOM - 100, number)
        assert part is not None
        seen.add(id(part.obj))
    assert len(seen) <= 12
    assert [part[0] for part in kept if part is not None] == [*range(12)]


async def test_values_stay_what_they_are_while_others_are_read(caddy) -> None:
    chance = np.random.default_rng(1)
    values = [chance.bytes(int(size)) for size in chance.integers(0, 150_000, 60)]
    for number, value in enumerate(values):
        (caddy.folder / f"{number}").write_bytes(value)

    async def run() -> list[list[Arrival | Error | None]]:
        # Its own: the one that all share may just leave this server to the one behind it.
        behind = AiohttpTransport()
        transport = FastTransport(behind)
        store = HttpStore(Address(caddy.url.rstrip("/")), Exchange(transport=transport))
        told: list[list[Arrival | Error | None]] = [[] for _ in range(3 * len(values))]
        for k, each in enumerate(told):
            assert store.begin_read(f"{k % len(values)}", ReadOptions(), each.append) is not None
        await until(lambda: all(told))
        await transport.close()
        await behind.close()
        return told

    for k, (arrival,) in enumerate(await start(run)):
        assert isinstance(arrival, Arrival)
        assert arrival.value == values[k % len(values)]
