"""Many keys are found as each by itself: in runs, in trees, in the tail and behind it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.family import Family
from asynctensor.kvstores.repo.folding import fold_branch
from asynctensor.kvstores.repo.neighbours import refs_at, rows_of
from asynctensor.kvstores.repo.run import Ref, Run
from asynctensor.storage.commit_domain import Commit
from asynctensor.storage.key_range import KeyRange
from asynctensor.testing.deterministic_loop import simulate
from tests.kvstores.repo.holes.wire import Process
from tests.kvstores.repo.programs import REFS

FAMILY = Family.of("a/c/", "/", 2)
SIDE = 20


def inside(x: int, y: int) -> bytes:
    return x.to_bytes(8, "big") + y.to_bytes(8, "big")


COORDINATES = st.tuples(st.integers(0, 1), st.integers(0, 6) | st.just(256))


@settings(deadline=None, max_examples=100)
@given(
    st.dictionaries(COORDINATES, st.none() | REFS, max_size=14),
    st.lists(COORDINATES, min_size=1, max_size=8),
    st.booleans(),
)
def test_rows_are_found_together(items, wanted, in_order) -> None:
    run = Run.of(FAMILY.id, [(inside(*at), ref) for at, ref in items.items()])
    keys = [inside(*at) for at in (sorted(set(wanted)) if in_order else wanted)]
    rows = rows_of(run, keys)
    assert list(rows) == [run.find(key) for key in keys]
    assert refs_at(run, rows) == [run.ref(row) if row >= 0 else None for row in rows]


def test_neighbours_are_one_slice() -> None:
    items = [(inside(0, y), Ref(f"x/{y % 2}", y, 1, y, None, (y, 1))) for y in range(300)]
    run = Run.of(FAMILY.id, items)
    rows = rows_of(run, [key for key, _ in items[250:258]])
    assert rows == range(250, 258)
    assert refs_at(run, rows) == [ref for _, ref in items[250:258]]


def test_keys_of_another_length_are_no_neighbours() -> None:
    run = Run.of(FAMILY.id, [(inside(0, y), Ref("x", y, 1, y)) for y in (0, 256)])
    assert rows_of(run, [bytes(8), bytes(7) + b"\1"]) == [-1, -1]


async def looked_up() -> None:
    process = Process(MemoryStore())
    await process.state.create()
    domain = process.store.commit_domain
    assert domain is not None
    branch = await process.branch()
    tiles = [
        [f"a/c/{x}/{y + k}" for k in range(6)]
        for x in (0, 3, SIDE - 1, SIDE)
        for y in (0, 5, SIDE - 6, SIDE - 2)
    ]
    tiles += [
        ["a/c/3/1", "a/c/2/9", "a/c/3/1", "a/c/7/7"],
        ["a/c/1/1", "b/c/1/1"],
        ["a/c/1/1", "a/zarr.json"],
        ["a/c/1/1", "a/c/1"],
        ["a/zarr.json"],
        [],
    ]
    await process.put("old/c/1", b"old")

    async def compare() -> int:
        there = 0
        # States of fewer commits share the tail.
        newest = branch.newest()
        for state in (newest, seen[-1], seen[0]):
            for keys in tiles:
                alone = [await state.find(key) for key in keys]
                assert await state.find_many(keys) == alone
                there += sum(each is not None for each in alone)
        seen.append(newest)
        return there

    seen = [branch.newest()]

    async def commit(commit: Commit) -> None:
        await domain.commit(commit)
        await compare()

    everywhere = [f"a/c/{x}/{y}" for x in range(SIDE) for y in range(SIDE)]
    every_other = everywhere[::2]
    await commit(Commit(values={key: key.encode() for key in everywhere} | {"a/zarr.json": b"{}"}))
    assert await compare() > 100
    # Another large one over it, a small one, one that deletes.
    await commit(
        Commit(values=dict.fromkeys(every_other, b"new") | dict.fromkeys(everywhere[:77:2]))
    )
    await commit(Commit(values={"a/c/3/2": b"one", "b/c/1/1": b"other"}))
    await commit(Commit(values={"a/c/3/3": None}))
    await fold_branch(branch, process.state.place)
    assert len(branch.newest().tail) == 0
    assert await compare() > 100
    await commit(Commit(values=dict.fromkeys(everywhere, b"again") | {"b/c/1/1": None}))
    await commit(Commit(cleared=(KeyRange.prefix("a/c/3/"),)))
    await commit(Commit(values=dict.fromkeys(everywhere[2::5], b"last")))


def test_many_keys_are_found_as_each_by_itself() -> None:
    simulate(looked_up, 1)
