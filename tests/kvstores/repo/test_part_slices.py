"""Parts whose keys interleave are read in ranges of keys."""

from __future__ import annotations

import random

import numpy as np
import pytest

from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.family import DOCUMENTS, Family
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.part import Part
from asynctensor.kvstores.repo.part_ref import PartRef
from asynctensor.kvstores.repo.part_slices import interleaved, slices
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.kvstores.repo.run import Run
from asynctensor.runtime.event_loop import start

FAMILY = Family("image/c/", "/", 1)
WORKERS, EACH = 7, 300


async def stored(place: Place, worker: int, run: Run) -> PartRef:
    part = Part("00" * 6, bytes(16), f"w{worker}", 0, (FAMILY,), (run,))
    body = part.encode()
    await start(place.create, f"part/{worker}", body)
    return part.ref(f"part/{worker}", body)


def key(space: bytes, at: int) -> bytes:
    return at.to_bytes(8, "big") if space == FAMILY.id else b"k%06d" % at


async def taken(place: Place, parts: list[PartRef], space: bytes, most: int) -> list[Run]:
    async def all_of_it() -> list[Run]:
        return [run async for run in slices(place, parts, space, most)]

    return await start(all_of_it)


@pytest.mark.parametrize("space", [FAMILY.id, DOCUMENTS])
async def test_every_key_comes_once_and_in_order(space: bytes) -> None:
    place = place_of(MemoryStore(), "")
    order = list(range(WORKERS * EACH))
    random.Random(3).shuffle(order)
    parts = []
    for worker in range(WORKERS):
        mine = [*order[worker::WORKERS], 5]  # which all wrote alike
        rows = {at: Ref.of_inline(b"%d" % at) for at in mine}
        run = Run.of(space, [(key(space, at), ref) for at, ref in rows.items()])
        parts.append(await stored(place, worker, run))
    assert interleaved(parts, EACH) == {space}
    runs = await taken(place, parts, space, 400)
    assert len(runs) > 4
    assert max(map(len, runs)) < 900
    rows = [row for run in runs for row in run.items()]
    assert [k for k, _ in rows] == [key(space, at) for at in range(WORKERS * EACH)]
    assert all(ref.inline == b"%d" % at for at, (_, ref) in enumerate(rows))


async def test_parts_side_by_side_are_not_interleaved() -> None:
    place = place_of(MemoryStore(), "")
    parts = []
    for worker in range(WORKERS):
        positions = np.arange(worker * EACH, (worker + 1) * EACH)
        rows = [(key(FAMILY.id, int(at)), None) for at in positions]
        parts.append(await stored(place, worker, Run.of(FAMILY.id, rows)))
    assert interleaved(parts, 0) == set()
