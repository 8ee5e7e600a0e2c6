"""`Repository.verify`: damage of every kind of object is found, named, and gets in no one's way."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import asynctensor as at
from asynctensor.errors import DataLoss, NotFound
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.branch import now
from asynctensor.kvstores.repo.family import Family
from asynctensor.kvstores.repo.folding import fold_branch
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.part import Part
from asynctensor.kvstores.repo.record import CommitEntry, Record
from asynctensor.kvstores.repo.run import Ref, Run
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.repository.verification import Verification, verified
from asynctensor.runtime.event_loop import start
from asynctensor.storage.key_range import KeyRange

KINDS = {
    "repo.json": "repository",
    "ref": "name",
    "log": "record",
    "ckpt": "checkpoint",
    "hint": "hint",
    "idx": "page",
    "data": "pack",
    "part": "part",
}


async def everything() -> MemoryStore:
    """A store with a repository that has an object of every kind."""
    repo = await at.Repository.open("memory://lab/", create=True, context=at.Context())
    state = repo._state
    base = state.place.store
    assert isinstance(base, MemoryStore)
    kvstore = repo.kvstore()
    image = await at.open(
        {"driver": "zarr3", "kvstore": repo.kvstore("image/")},
        create=True, dtype="float64", shape=[128, 128],
        chunk_layout=at.ChunkLayout(chunk_shape=[64, 64]), codec=None,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    await image[...].write(rng.random((128, 128)))
    await kvstore.write("medium", rng.bytes(700))
    await repo.create_tag("v1")
    await repo.create_branch("fix", "v1")

    async def folded() -> None:
        await fold_branch(await state.branch("main"), state.place)

    await start(folded)
    await image[:64, :64].write(rng.random((64, 64)))
    await repo.kvstore(branch="fix").write("small", b"x")
    await start(part_committed, state)
    return base


async def part_committed(state: RepositoryState) -> None:
    """A commit one of whose runs stands in a part."""
    branch = await state.branch("fix")
    family, txn, place = Family.of("labels/c/", "/", 1), bytes(15) + b"1", state.place
    name = objects.data_pack(txn, 0, 20260101, bytes(6))
    await place.create(name, b"labels" * 100)
    key = (7).to_bytes(8, "big")
    run = Run.of(family.id, [(key, Ref(name, 0, 600, Ref.of_inline(b"labels" * 100).crc))])
    part = Part(branch.id, txn, "w", 0, (family,), (run,))
    body, at_ = part.encode(), objects.part(branch.id, txn, bytes(8))
    await place.create(at_, body)
    entry = CommitEntry(
        txn, branch.log.tail, now(), families=(family,), parts=(part.ref(at_, body),)
    )
    record = Record(branch.id, branch.log.tail + 1, branch.log.digest, now(), (entry,))
    await place.create(objects.log_slot(branch.id, record.seq), record.encode())


async def stored(base: MemoryStore) -> dict[str, bytes]:
    async def read() -> dict[str, bytes]:
        found = {}
        async for entry in base.list(KeyRange.prefix("lab/")):
            found[entry.key] = (await base.read(entry.key)).value
        return found

    return await start(read)


async def verify(base: MemoryStore, source: str | None = None, **options: bool) -> Verification:
    state = RepositoryState(place_of(base, "lab/"))
    return await start(verified, state, source, None, options.get("repair", False))


def kind_of(key: str) -> str:
    return key.removeprefix("lab/").partition("/")[0]


@pytest.fixture
async def base() -> MemoryStore:
    store = await everything()
    assert {kind_of(key) for key in await stored(store)} == set(KINDS)
    return store


async def test_all_is_well(base: MemoryStore) -> None:
    for source in (None, "main", "v1"):
        found = await verify(base, source)
        assert found.ok, str(found)
        assert "nothing is damaged" in str(found)
        assert found.counts["values"] >= 6
        assert found.counts["bytes"] > 128 * 128 * 8
        found.raise_for_damage()
    assert found.counts["records"] >= 1
    with pytest.raises(NotFound):
        await verify(base, "nope")


@pytest.mark.parametrize("what", ["flipped", "cut off", "missing"])
async def test_every_kind_of_damage_is_named(base: MemoryStore, what: str) -> None:
    whole = await stored(base)
    found_kinds = set()
    for key, value in whole.items():
        kind = kind_of(key)
        if what == "missing" and (kind in ("ckpt", "hint", "repo.json", "ref", "log")):
            continue
        # What is behind the last brace of repo.json is no part of it.
        for place in (len(value) // 3, len(value) - (2 if kind == "repo.json" else 1)):
            bad: bytes | None = None
            if what == "flipped":
                bad = value[:place] + bytes([value[place] ^ 0x10]) + value[place + 1 :]
            elif what == "cut off":
                bad = value[:place]
            if kind == "repo.json" and what == "flipped":
                bad = b"[" + value
            await start(base.write, key, bad)
            found = await verify(base)
            await start(base.write, key, value)
            named = [each for each in found.damages if each.object == key]
            assert named, (key, place, str(found))
            kinds = {each.kind for each in named}
            wanted = {KINDS[kind], "value"} if kind in ("data", "idx") else {KINDS[kind]}
            assert kinds <= wanted
            assert key in str(found)
            with pytest.raises(DataLoss, match="damaged: "):
                found.raise_for_damage()
            found_kinds.add(kind)
    assert (await verify(base)).ok
    assert len(found_kinds) == (3 if what == "missing" else len(KINDS))


async def test_a_hole_in_the_log(base: MemoryStore) -> None:
    whole = await stored(base)
    logs = sorted(key for key in whole if kind_of(key) == "log")
    longest = max(
        ([key for key in logs if key.split("/")[2] == each.split("/")[2]] for each in logs), key=len
    )
    oldest = longest[-1]
    await start(base.write, oldest, None)
    found = await verify(base)
    assert ("record", oldest) in [(each.kind, each.object) for each in found.damages]
    await start(base.write, oldest, whole[longest[-2]])
    found = await verify(base)
    assert any("it is" in each.message for each in found.damages if each.object == oldest)


async def test_a_value_is_named_with_its_commit(base: MemoryStore) -> None:
    whole = await stored(base)
    tagged = await start(RepositoryState(place_of(base, "lab/")).tagged, "v1")
    found = await start(tagged.find, "image/c/0/0")
    assert found is not None
    key, at = f"lab/{found[1].object}", found[1].offset
    value = whole[key]
    await start(base.write, key, value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :])
    (damage,) = (await verify(base)).damages
    assert damage.key is not None
    assert damage.key.startswith("image/c/")
    assert damage.commit is not None
    assert damage.kind == "value"
    assert not damage.rebuildable
    (same,) = (await verify(base, "v1")).damages
    assert same.key == damage.key


@pytest.mark.parametrize("kind", ["ckpt", "hint"])
async def test_what_can_be_rebuilt_stops_nobody(
    base: MemoryStore, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = await stored(base)
    broken = [key for key in whole if kind_of(key) == kind]
    if kind == "ckpt":
        # A hint has a copy of the newest checkpoint.
        for key in [key for key in whole if kind_of(key) == "hint"]:
            await start(base.write, key, None)
    for key in broken:
        value = whole[key]
        await start(base.write, key, value[:-5] + bytes([value[-5] ^ 1]) + value[-4:])

    async def read() -> dict[str, bytes]:
        state = RepositoryState(place_of(base, "lab/"))
        newest = (await state.branch("main")).newest()
        assert await newest.find("image/c/1/1") is not None
        tagged = await state.tagged("v1")
        assert await tagged.find("medium") is not None

    with caplog.at_level(logging.WARNING):
        await start(read)
    assert any(
        "is damaged" in each.message and broken[0] in each.message for each in caplog.records
    )
    found = await verify(base, repair=True)
    assert {each.object for each in found.damages} == set(found.repaired) == set(broken)
    assert found.lost == ()
    assert (await verify(base)).ok


async def test_progress_is_told() -> None:
    told: list[int] = []
    repo = await at.Repository.open("memory://lab/", create=True, context=at.Context())
    for number in range(20):
        await repo.kvstore().write(f"{number}", b"x" * 500)
    found = await repo.verify(progress=lambda each: told.append(each.done))
    assert told == sorted(told)
    assert told[-1] == sum(n for kind, n in found.counts.items() if kind != "bytes")
