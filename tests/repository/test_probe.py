"""Stores are tried out before a repository is made in them; those that lie are refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import asynctensor as at
from asynctensor.errors import DataLoss, FailedPrecondition, Unimplemented
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.probe import Probe, probed
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    Buffer,
    ListEntry,
    ReadOptions,
    ReadResult,
)


class Liar(MemoryStore):
    """A memory whose promises are broken in one way.

    Args:
        lie: ``"overwrites"``: conditions are forgotten. ``"races"``: they are, for the first three
            of a race. ``"forgets"``: what was written is read as it was before.
            ``"hides"``: listings are empty.
    """

    lie = ""
    young = 0

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        if self.lie == "overwrites":
            if_equal = UNKNOWN
        if self.lie == "races" and value is not None and bytes(value).startswith(b"racer"):
            self.young += 1
            if self.young % 8 in (1, 2, 3):
                if_equal = UNKNOWN
        return await super().write(key, value, if_equal)

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        if self.lie == "forgets":
            return await super().read(key + "?", options)
        return await super().read(key, options)

    def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        hidden = KeyRange("a", "a") if self.lie == "hides" else key_range
        return super().list(hidden)


async def left_in(place: Place) -> list[str]:
    return [entry.key async for entry in place.names("probe/")]


def liar(lie: str) -> Place:
    store = Liar()
    store.lie = lie
    return place_of(store, "lab/")


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ("overwrites", "creates an object that is there already"),
        ("races", "3 of 8 who create an object at the same time are told that they did"),
        ("forgets", "does not give back what was just created"),
    ],
)
async def test_a_store_that_lies_is_refused(lie: str, said: str) -> None:
    place = liar(lie)
    with pytest.raises(FailedPrecondition, match=said) as caught:
        await start(partial(RepositoryState(place).create, probe=True))
    assert '"memory"' in str(caught.value)
    assert await start(place.get, objects.REPOSITORY) is None
    seen = await start(partial(probed, place, unsafe=True))
    assert not seen.creates


async def test_what_is_seen_is_kept() -> None:
    for lie, expected in (("", True), ("hides", False)):
        place = liar(lie)
        assert await start(probed, place) == Probe(lists=expected)
        state = RepositoryState(place)
        assert await start(partial(state.create, probe=True))
        again = RepositoryState(place)
        assert (await start(again.description)).lists is expected
        assert (await start(again.branch, "main")).combines is expected
        assert await start(left_in, place) == []


async def test_a_single_writer_by_consent() -> None:
    store = MemoryStore()
    store.capabilities = replace(store.capabilities, can_create_if_absent=False)
    place = place_of(store, "lab/")
    with pytest.raises(Unimplemented, match='"memory" cannot; unsafe=True'):
        await start(partial(RepositoryState(place).create, probe=True))
    accepted = RepositoryState(replace(place, single_writer=True))
    assert await start(partial(accepted.create, probe=True))
    writer = RepositoryStore(accepted, source_of(accepted, {}))
    await start(writer.write, "a", b"1")
    await start(writer.write, "a", b"2")
    others = RepositoryState(place)
    reader = RepositoryStore(others, source_of(others, {}))
    assert (await start(reader.read, "a")).value == b"2"
    with pytest.raises(FailedPrecondition, match="made with unsafe=True"):
        await start(reader.write, "a", b"3")


async def test_consent_that_is_not_needed(tmp_path: Path) -> None:
    repo = await at.Repository.open(tmp_path, create=True, unsafe=True)
    await repo.kvstore().write("a", b"1")
    other = await at.Repository.open(tmp_path)
    await other.kvstore().write("a", b"2")
    assert await repo.refresh() is not None
    assert not (await start(repo._state.description)).single_writer


async def test_a_record_that_was_replaced() -> None:
    """Another repository wrote into this place, or the store gave a slot away twice."""
    stores = [MemoryStore(), MemoryStore()]
    bodies = []
    for store in stores:
        state = RepositoryState(place_of(store, ""))
        await start(state.create)
        writer = RepositoryStore(state, source_of(state, {}))
        for number in range(3):
            await start(writer.write, "a", b"%d" % number)
        branch = await start(state.branch, "main")
        bodies.append((store, branch.id, state))
    (one, id_, _), (other, other_id, _) = bodies
    name = objects.log_slot(id_, 2)
    # The record of the same slot, as the other repository would have written it under this name.
    third = (await start(one.read, objects.log_slot(id_, 3))).value
    assert other_id != id_
    await start(one.write, name, (await start(other.read, objects.log_slot(other_id, 2))).value)
    with pytest.raises(DataLoss, match="the record says that it is"):
        await start(RepositoryState(place_of(one, "")).branch, "main")
    await start(one.write, name, None)
    await start(one.write, objects.log_slot(id_, 2), third)
    with pytest.raises(DataLoss):
        await start(RepositoryState(place_of(one, "")).branch, "main")
