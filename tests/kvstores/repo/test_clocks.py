"""Clocks that jump: the times of a history ascend, and a warning says so."""

from __future__ import annotations

import logging

import pytest

from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.commit_walk import CommitWalk
from asynctensor.kvstores.repo.folding import fold_branch
from asynctensor.kvstores.repo.naming import Naming
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.sources import SOURCES


@pytest.mark.parametrize("beginning", ["log", "checkpoint", "fork"])
async def test_a_clock_that_goes_back(
    beginning: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    base = MemoryStore()

    def opened() -> tuple[RepositoryState, RepositoryStore]:
        state = RepositoryState(place_of(base, "lab/"))
        members = {"branch": "fix"} if beginning == "fork" else {}
        return state, RepositoryStore(state, source_of(state, members))

    async def earlier() -> None:
        state, _ = opened()
        await state.create()
        main = RepositoryStore(state, source_of(state, {}))
        await main.write("a", b"1")
        if beginning == "checkpoint":
            await fold_branch(await state.branch("main"), state.place)
        if beginning == "fork":
            await Naming(state).create_branch("fix", "main")

    async def later() -> list[int]:
        state, store = opened()
        await store.write("a", b"2")
        await store.write("a", b"3")
        walk = CommitWalk(state, "fix" if beginning == "fork" else "main")
        return [each.time for each in await walk.more()]

    monkeypatch.setattr(SOURCES, "time", lambda: 2_000_000_000.0)
    await start(earlier)
    monkeypatch.setattr(SOURCES, "time", lambda: 1_999_990_000.0)
    with caplog.at_level(logging.WARNING):
        times = await start(later)
    assert times == [2_000_000_000_000_002, 2_000_000_000_000_001, 2_000_000_000_000_000]
    warnings = [each.message for each in caplog.records]
    assert len(warnings) == 1
    assert "10000 s in the future" in warnings[0]
