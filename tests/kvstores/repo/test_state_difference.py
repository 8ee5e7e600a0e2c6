"""What differs in two states, against a model that keeps every state as a dict."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.edits import Edits
from asynctensor.kvstores.repo.folding import fold_branch
from asynctensor.kvstores.repo.lineage import LAST
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.snapshot_id import snapshot_id
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.state_difference import StateDifference
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.commit_domain import Commit
from asynctensor.storage.key_range import KeyRange
from asynctensor.testing.faulty_store import FaultyStore

KEYS = st.sampled_from(
    ["a", "a/z", "b", "c/0", "c/1", "c/10", "c/2", "c/1/0", "c/1/1", "d.0.1", "d.0.2", "d.1.0"]
)
RANGES = st.one_of(
    st.sampled_from([KeyRange(), KeyRange.prefix("c/"), KeyRange.prefix("c/1")]),
    st.lists(KEYS, min_size=2, max_size=2, unique=True).map(lambda two: KeyRange(*sorted(two))),
)
#: Some values are packed, some inline; no two commits write the same.
SIZES = st.sampled_from([1, 300, 5000])
STEPS = st.one_of(
    st.tuples(st.just("write"), st.dictionaries(KEYS, SIZES | st.none(), min_size=1, max_size=5)),
    st.tuples(st.just("clear"), RANGES),
    st.tuples(st.just("fold"), st.none()),
    st.tuples(st.just("reset"), st.integers(0, 5)),
)

Model = dict[str, bytes]


class History:
    """A repository in memory, and what it held after each commit."""

    def __init__(self) -> None:
        self.state = RepositoryState(place_of(MemoryStore(), "lab/"))
        self.store = RepositoryStore(self.state, source_of(self.state, {}))
        self.seen: list[tuple[Snapshot, Model]] = []

    async def run(self, steps: list[tuple[str, Any]]) -> None:
        await self.state.create()
        branch = await self.state.branch("main")
        self.seen.append((branch.newest(), {}))
        for number, (what, how) in enumerate(steps):
            model = dict(self.seen[-1][1])
            if what == "fold":
                if branch.newest().version[0]:
                    await fold_branch(branch, self.state.place)
                self.seen.append((branch.newest(), model))
                continue
            if what == "reset":
                back, model = self.seen[how % len(self.seen)]
                if not back.version[0]:
                    continue
                id_ = snapshot_id(branch.id, (back.version[0], 0))
                await Edits(self.state).reset("main", id_, None, None, None)
            else:
                await self._commit(number, what, how, model)
            self.seen.append((branch.newest(), model))

    async def _commit(self, number: int, what: str, how: Any, model: Model) -> None:
        domain = self.store.commit_domain
        assert domain is not None
        if what == "clear":
            await domain.commit(Commit(cleared=(how,)))
            for key in [key for key in model if key in how]:
                del model[key]
            return
        values = {
            key: None if size is None else f"{number} {key}".encode().ljust(size)
            for key, size in how.items()
        }
        await domain.commit(Commit(values=values))
        for key, value in values.items():
            model.pop(key, None)
            if value is not None:
                model[key] = value


async def differing(one: Snapshot, other: Snapshot) -> dict[str, tuple[bool, bool]]:
    """The keys that differ, and whether either state has them; each is told once."""
    found: dict[str, tuple[bool, bool]] = {}
    difference = StateDifference(one, other)
    for family in [None, *[each async for each in difference.families()]]:
        async for piece in difference.space(family):
            assert len(piece.one) == len(piece.other) > 0
            for i in range(len(piece.one)):
                inside = piece.one.key(i)
                key = inside.decode() if family is None else family.spell(inside)
                assert key not in found
                found[key] = (piece.one.ref(i) is not None, piece.other.ref(i) is not None)
    return found


@settings(max_examples=80, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=8), st.data())
def test_any_two_states(steps: list[tuple[str, Any]], data: st.DataObject) -> None:
    async def program() -> list[tuple[dict[str, tuple[bool, bool]], Model, Model]]:
        history = History()
        await history.run(steps)
        found = []
        for one, was in history.seen:
            for other, there in history.seen:
                found.append((await differing(one, other), was, there))
        return found

    for found, was, there in start(program).result():
        expected = {
            key: (key in was, key in there)
            for key in {*was, *there}
            if was.get(key) != there.get(key)
        }
        assert found == expected


async def test_what_both_states_share_is_not_read() -> None:
    """One of 40,000 chunks differs, below different checkpoints: a few pages are read."""
    base = MemoryStore()
    writer = RepositoryState(place_of(base, "lab/"))
    store = RepositoryStore(writer, source_of(writer, {}))

    async def made() -> None:
        await writer.create()
        branch = await writer.branch("main")
        domain = store.commit_domain
        assert domain is not None
        await domain.commit(
            Commit(values={f"c/{i}/{j}": b"1" for i in range(200) for j in range(200)})
        )
        await fold_branch(branch, writer.place)
        await domain.commit(Commit(values={"c/7/7": b"2"}))
        await fold_branch(branch, writer.place)

    await start(made)
    counting = FaultyStore(base)
    reader = RepositoryState(place_of(counting, "lab/"))

    async def compared() -> tuple[dict[str, tuple[bool, bool]], int]:
        main = (await reader.branch("main")).id
        one = await reader.snapshot(main, (1, LAST))
        other = (await reader.branch("main")).newest()
        before = counting.count("read")
        return await differing(one, other), counting.count("read") - before

    found, reads = await start(compared)
    assert found == {"c/7/7": (True, True)}
    assert reads <= 8
