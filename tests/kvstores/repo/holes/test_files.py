"""Holes of a repository on files (H42 to H46): every crash, replayed from what the store did."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from asynctensor.errors import CommitUnknown, Error
from asynctensor.kvstores.file.store import FileStore
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.testing.deterministic_loop import simulate
from asynctensor.testing.faults import FaultyFileSystem
from tests.kvstores.repo.holes.disk import Recorded, recorded
from tests.kvstores.repo.holes.wire import Process, crew, play

#: A value that gets an object of its own.
LARGE = bytes(9000)


def test_h43_what_was_acknowledged_survives_every_crash(tmp_path: Path) -> None:
    """Data, its new directories, the record and its directory: each of them was flushed."""

    async def scenario(disk: Recorded) -> None:
        process = disk.process()
        await disk.put(process, "large", LARGE)
        await disk.put(process, "small", b"1")

    count, problems = recorded(tmp_path, scenario).problems(tmp_path)
    assert problems == []
    assert count > 20


def test_h44_what_is_read_is_durable_before_it_is_acknowledged(tmp_path: Path) -> None:
    """W1 has linked its record and stalls before it flushes the directory; it had taken W2's
    transaction along. W2 finds it in the log: it must not say so before that survives a crash."""

    async def scenario(disk: Recorded) -> None:
        w2 = disk.process()
        await (await w2.branch()).refresh()
        proposal = await w2.proposal({"adopted": b"1"})
        began = disk.position
        w1 = disk.process()
        await w1.offer(proposal)
        await w1.lose_once(disk.process())

        async def stall() -> None:
            disk.stalled = True

        w1.wire.before("write", "log/", stall, skip=1)
        await w1.put("unflushed", b"1")
        assert disk.stalled
        disk.stalled = False
        await (await w2.branch()).refresh()
        landed = await w2.commit(proposal)
        assert landed.committed
        assert await w1.outcomes(proposal.entry.txn) == ["commit"]
        disk.has("adopted", b"1", began)

    count, problems = recorded(tmp_path, scenario).problems(tmp_path)
    assert problems == []
    assert count > 20


def test_h44_who_builds_on_a_record_makes_it_durable(tmp_path: Path) -> None:
    """All slots of a branch are in one directory: what flushes one flushes those before it."""

    async def scenario(disk: Recorded) -> None:
        disk.stalled = True
        await disk.process().put("unflushed", b"1")
        disk.stalled = False
        await disk.put(disk.process(), "built on it", b"2")

    count, problems = recorded(tmp_path, scenario).problems(tmp_path)
    assert problems == []
    assert count > 10


def test_h42_h45_nothing_that_stands_is_replaced() -> None:
    """Slots, names, checkpoints, data and intents are created if absent, and never written over."""

    async def trace(base: MemoryStore) -> None:
        a, d = await crew(base, 2)
        conditions: list[tuple[str, bytes]] = []

        async def note() -> None:
            assert a.wire._writing is not None
            key, value, condition = a.wire._writing
            if value is not None:
                conditions.append((key.split("/")[0], condition))

        a.wire.before("write", "", note, times=1000)
        for i in range(3):
            await a.lose_once(d)
            await a.put(f"large {i}", LARGE)
        branch = await a.branch()
        assert branch.folder is not None
        await branch.folder(branch)
        blind = {name for name, condition in conditions if condition != b"\x02"}
        assert blind == {"hint"}
        assert {"log", "data", "intent", "ckpt", "idx"} < {name for name, _ in conditions}

    play(trace)


@pytest.mark.parametrize("failing", ["log", "data"])
def test_h46_a_directory_that_cannot_be_flushed(tmp_path: Path, failing: str) -> None:
    """The record is in place by then: it may survive or not, and is never said to be aborted."""

    async def main() -> None:
        file_system = FaultyFileSystem()
        process = Process(FileStore(str(tmp_path / "lab"), file_system=file_system))
        await process.state.create()
        await process.put("first", LARGE)
        paths: dict[int, str] = {}
        opened = file_system.open_no_links

        def noted(path: str, flags: int) -> int:
            fd = opened(path, flags)
            paths[fd] = path
            return fd

        file_system.open_no_links = noted  # type: ignore[method-assign]
        file_system.fail(
            "fsync", errno.EIO, times=1000, when=lambda fd: f"/{failing}" in paths.get(fd, "")
        )
        if failing == "log":
            with pytest.raises(CommitUnknown) as caught:
                await process.put("k", LARGE)
            file_system._faults["fsync"].clear()
            assert caught.value.resolve is not None
            assert await caught.value.resolve() == "committed"
        else:
            # Nothing names what is not stored for sure (R3).
            with pytest.raises(Error) as failed:
                await process.put("k", LARGE)
            assert not isinstance(failed.value, CommitUnknown)
            file_system._faults["fsync"].clear()
        await asyncio.sleep(0)
        assert await process.get("k") == (LARGE if failing == "log" else None)

    simulate(main, 1)
