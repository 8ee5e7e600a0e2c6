"""Pages of a checkpoint that are lost or damaged: the log says the same, and is read instead."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

import asynctensor as at
from asynctensor.errors import DataLoss
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.edits import Edits
from asynctensor.kvstores.repo.folding import fold_branch
from asynctensor.kvstores.repo.snapshot_id import snapshot_id
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.key_range import KeyRange
from asynctensor.testing.deterministic_loop import simulate
from tests.kvstores.repo.holes.wire import Process

#: A value that stands beside the pages, and not in them.
MEDIUM = 700
PIXELS = np.arange(1 << 16, dtype=np.uint32).reshape(256, 256)
Contents = dict[str, bytes]


def key_of(chance: random.Random) -> str:
    if chance.random() < 0.4:
        return chance.choice(["a/zarr.json", "b/zarr.json", "zarr.json", "é"])
    return f"{chance.choice('ab')}/c/{chance.randrange(6)}/{chance.randrange(3)}"


async def programme(process: Process, chance: random.Random) -> None:
    """Commits, ranges that are deleted, resets, and folds in between."""
    edits = Edits(process.state)
    branch = await process.branch()
    for _ in range(chance.randrange(12, 30)):
        what = chance.random()
        if what < 0.7 or not branch.log.tail:
            await process.put(key_of(chance), chance.randbytes(chance.choice((8, MEDIUM))))
        elif what < 0.78:
            await process.store.delete_range(KeyRange.prefix(chance.choice(["a/c/1", "b/", "a/"])))
        elif what < 0.84:
            id_ = snapshot_id(branch.id, (chance.randrange(1, branch.log.tail + 1), 0))
            await edits.reset("main", id_, None, None, None)
        else:
            await fold_branch(branch, process.state.place)
    await fold_branch(branch, process.state.place)


async def contents(store: RepositoryStore) -> Contents:
    """Every key of a state, with its value."""
    keys = [entry.key async for entry in store.list(KeyRange())]
    assert len(keys) == len(set(keys))
    return {key: (await store.read(key)).value for key in keys}


async def states(process: Process) -> list[Contents]:
    """What was there after each commit, and what is now."""
    branch = await process.branch()
    ids = [snapshot_id(branch.id, (seq, 0)) for seq in range(1, branch.log.tail + 1)]
    sources = [source_of(process.state, {"snapshot": each}) for each in ids]
    stores = [RepositoryStore(process.state, source) for source in sources]
    return [await contents(store) for store in (*stores, process.store)]


@pytest.mark.parametrize("seed", range(12))
def test_every_state_is_read_whatever_pages_are_lost(seed: int) -> None:
    chance = random.Random(f"lost pages {seed}")

    async def main() -> None:
        base = MemoryStore()
        writer = Process(base)
        await writer.state.create()
        await programme(writer, chance)
        expected = await states(writer)
        packs = [entry async for entry in base.list(KeyRange.prefix("idx/"))]
        reader = Process(base)
        await reader.branch()
        for entry in chance.sample(packs, chance.randint(1, len(packs))):
            await damage(base, entry.key, chance)
        fresh = Process(base)
        assert await states(reader) == expected
        assert await states(fresh) == expected
        # The next commit has the index written anew, for all who come.
        await fresh.put("zarr.json", b"next")
        branch = await fresh.branch()
        if branch.folding is not None:
            await branch.folding
        late = Process(base)
        assert await contents(late.store) == expected[-1] | {"zarr.json": b"next"}
        assert not late.state.history._lost

    simulate(main, seed)


async def damage(base: MemoryStore, key: str, chance: random.Random) -> None:
    """Takes an object away, cuts it off, or changes a byte of it."""
    body = bytearray((await base.read(key)).value)
    what = chance.randrange(3)
    if what == 0:
        await base.write(key, None)
        return
    if what == 1:
        del body[chance.randrange(len(body)) :]
    else:
        body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    await base.write(key, bytes(body))


async def folded_lab(place: str) -> at.Repository:
    """A repository whose newest state is in a checkpoint, opened by nobody else."""
    repo = await at.Repository.open(place, create=True, context=at.Context())
    image = await at.open(
        {"driver": "zarr3", "kvstore": repo.kvstore("image/")},
        create=True, dtype="uint32", shape=[256, 256],
        chunk_layout=at.ChunkLayout(chunk_shape=[64, 64]), codec=None,
    )  # fmt: skip
    await image[...].write(PIXELS)
    await repo.kvstore().write("medium", bytes(MEDIUM))

    async def fold() -> None:
        await fold_branch(await repo._state.branch("main"), repo._state.place)

    await start(fold)
    return repo


async def test_arrays_on_files_are_read_by_worker_threads(tmp_path: Path) -> None:
    place = f"file://{tmp_path}/lab/"
    await folded_lab(place)
    (pack,) = (tmp_path / "lab" / "idx").iterdir()
    other = await at.Repository.open({"driver": "file", "path": f"{tmp_path}/lab/"})
    spec = {"driver": "zarr3", "kvstore": other.kvstore("image/")}
    pack.write_bytes(b"")
    image = await at.open(spec)
    assert (await image.read() == PIXELS).all()
    assert (await other.kvstore().read("medium")).value == bytes(MEDIUM)
    assert min(await other.kvstore().list()) == b"image/c/0/0"


async def test_a_page_that_worker_threads_find_damaged(tmp_path: Path) -> None:
    """They wait for the I/O loop then, which they themselves have yet to wake."""
    await folded_lab(f"file://{tmp_path}/lab/")
    (pack,) = (tmp_path / "lab" / "idx").iterdir()
    body = bytearray(pack.read_bytes())
    # The first page is that of the chunks; those of the documents and the catalog come behind it.
    body[20] ^= 1
    pack.write_bytes(body)
    other = await at.Repository.open({"driver": "file", "path": f"{tmp_path}/lab/"})
    image = await at.open({"driver": "zarr3", "kvstore": other.kvstore("image/")})
    assert (await image.read(timeout=60) == PIXELS).all()


async def test_what_the_log_lacks_too_is_lost() -> None:
    base = MemoryStore()
    writer = Process(base)

    async def trace() -> None:
        await writer.state.create()
        await writer.put("a")
        await writer.put("b")
        branch = await writer.branch()
        await fold_branch(branch, writer.state.place)
        packs = [entry.key async for entry in base.list(KeyRange.prefix("idx/"))]
        for key in (*packs, objects.log_slot(branch.id, 1)):
            await base.write(key, b"damaged")
        reader = Process(base)
        reader.wire.deaf("read", "idx/")
        with pytest.raises(DataLoss, match="log/"):
            await reader.get("a")

    await start(trace)


@pytest.mark.parametrize("how", ["missing", "cut off", "flipped"])
async def test_a_value_whose_pack_is_damaged_is_never_a_fill_value(
    tmp_path: Path, how: str
) -> None:
    """The log has where it was, and not what it was (R18)."""
    await folded_lab(f"file://{tmp_path}/lab/")
    packs = [each for each in (tmp_path / "lab" / "data").rglob("*") if each.is_file()]
    assert packs
    for pack in packs:
        body = pack.read_bytes()
        if how == "missing":
            pack.unlink()
        else:
            pack.write_bytes(body[:-1] if how == "cut off" else body[:-1] + bytes([body[-1] ^ 1]))
    other = await at.Repository.open({"driver": "file", "path": f"{tmp_path}/lab/"})
    image = await at.open({"driver": "zarr3", "kvstore": other.kvstore("image/")})
    with pytest.raises(DataLoss) as caught:
        await image.read()
    assert "data/" in str(caught.value)
    assert "image/c/" in str(caught.value)
    with pytest.raises(DataLoss):
        await other.kvstore().read("image/c/3/3")
