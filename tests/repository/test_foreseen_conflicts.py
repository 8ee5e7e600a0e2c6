"""A commit of which it is known already that it conflicts costs nothing; others are not refused."""

from __future__ import annotations

import pytest

import asynctensor as at
from asynctensor.errors import Aborted
from asynctensor.kvstore_spec import KvStoreSpec
from asynctensor.kvstores.kvstack.layers import Layer
from asynctensor.kvstores.kvstack.store import KvStackStore
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.runtime.event_loop import start
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.shared_transaction import Isolation
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.open_over import open_over
from asynctensor.transaction.staged_store import StagedStore


class Lab:
    """A repository with an array and a note, and the requests that its store is sent."""

    def __init__(self) -> None:
        self.base = FaultyStore(MemoryStore())
        state = RepositoryState(place_of(self.base, ""))
        self.repo = at.Repository(state, KvStoreSpec.of("memory", "lab/"), at.Context())
        self.note = self.repo.kvstore()

    async def made(self) -> Lab:
        await start(self.repo._state.create)
        await self.note.write("note", b"old")
        layout = at.ChunkLayout(chunk_shape=[8, 8])
        self.array = await open_over(
            self.note.store, "a/", dtype="int32", shape=[64, 64], chunk_layout=layout
        )
        await self.array.write(1)
        return self


@pytest.fixture
async def lab() -> Lab:
    return await Lab().made()


@pytest.mark.parametrize("isolation", ["serializable", "snapshot"])
async def test_nothing_is_worked_out_for_a_commit_that_is_known_to_conflict(
    lab: Lab, isolation: Isolation
) -> None:
    txn = lab.repo.transaction(isolation=isolation)
    note = lab.note.with_transaction(txn)
    await note.write("note", (await note.read("note")).value + b" and mine")
    # Each chunk in part: what is stored there would be read, and large values stored ahead.
    await lab.array.with_transaction(txn)[::2].write(5)
    await lab.note.write("note", b"theirs")
    sent = len(lab.base.requests)
    with pytest.raises(Aborted, match="has changed meanwhile: 'note'") as caught:
        await txn.commit_async()
    assert lab.base.requests[sent:] == []
    assert [(each.key, each.read) for each in caught.value.conflicts] == [("note", True)]
    assert caught.value.final
    assert (await lab.note.read("note")).value == b"theirs"
    assert (await lab.array.read() == 1).all()


async def test_what_was_listed_counts(lab: Lab) -> None:
    txn = lab.repo.transaction()
    await lab.note.with_transaction(txn).list()
    await lab.array.with_transaction(txn)[0].write(5)
    await lab.note.write("another", b"")
    sent = len(lab.base.requests)
    with pytest.raises(Aborted, match="listed"):
        await txn.commit_async()
    assert lab.base.requests[sent:] == []


async def test_what_is_not_validated_is_not_refused(lab: Lab) -> None:
    txn = lab.repo.transaction(isolation="blind")
    await lab.note.with_transaction(txn).read("note")
    await lab.array.with_transaction(txn)[0].write(5)
    await lab.note.write("note", b"theirs")
    await txn.commit_async()
    assert (await lab.array[0].read() == 5).all()


async def test_what_was_committed_under_the_same_key_is_done(lab: Lab) -> None:
    both = [lab.repo.transaction(caller_key="plate 7") for _ in range(2)]
    for txn in both:
        note = lab.note.with_transaction(txn)
        await note.write("note", (await note.read("note")).value + b"!")
    for txn in both:
        await txn.commit_async()
    assert (await lab.note.read("note")).value == b"old!"


async def test_a_stack_names_the_key_as_it_is_known_there(lab: Lab) -> None:
    layer = Layer((lab.note.store, "a"), KeyRange.prefix("deep/"), len("deep"))
    stack = KvStackStore([layer])
    txn = lab.repo.transaction()
    staged = StagedStore(stack, txn)
    await start(staged.write, "deep/n", b"mine")
    await start(staged.read, "deep/other")
    await lab.note.write("a/other", b"theirs")
    sent = len(lab.base.requests)
    with pytest.raises(Aborted) as caught:
        await txn.commit_async()
    assert caught.value.key == "deep/other"
    assert lab.base.requests[sent:] == []
