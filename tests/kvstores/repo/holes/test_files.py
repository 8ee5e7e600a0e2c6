"""Holes of a repository on files (H42 to H46): every crash, replayed from what the store did."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from asynctensor.errors import CommitUnknown, Error, NotFound
from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileStore
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.testing.deterministic_loop import simulate
from asynctensor.testing.faults import FaultyFileSystem
from asynctensor.testing.forgetful import ForgetfulFileSystem
from tests.kvstores.repo.holes.wire import Process, crew, play

#: A value that gets an object of its own.
LARGE = bytes(9000)
_QUICK = FileOptions(sync=False)


class Recorded:
    """A repository on a disk that forgets, and what it acknowledged when."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.file_system = ForgetfulFileSystem(folder)
        self.root = str(folder / "new" / "lab")
        #: While set, nobody gets to flush a directory.
        self.stalled = False
        flush = self.file_system.fsync

        def fsync(fd: int) -> None:
            if not self.stalled or not stat.S_ISDIR(os.fstat(fd).st_mode):
                flush(fd)

        self.file_system.fsync = fsync  # type: ignore[method-assign]
        #: (key, value, where it began, where it was acknowledged)
        self.commits: list[tuple[str, bytes, int, int]] = []

    def process(self) -> Process:
        return Process(FileStore(self.root, file_system=self.file_system))

    async def put(self, process: Process, key: str, value: bytes) -> None:
        began = self.file_system.position
        await process.put(key, value)
        self.commits.append((key, value, began, self.file_system.position))

    def problems(self, tmp_path: Path) -> tuple[int, list[str]]:
        """Opens every state that a crash may leave; gives how many, and what is wrong."""
        problems: list[str] = []
        seen: dict[object, dict[str, bytes | None] | str] = {}
        for position in range(self.file_system.position + 1):
            for state in self.file_system.crash_states(position):
                if state.files not in seen:
                    folder = tmp_path / "state"
                    state.materialise(folder)
                    seen[state.files] = self._found(folder / "new" / "lab")
                    shutil.rmtree(folder)
                found = seen[state.files]
                problems += self._wrong(found, position)
        return len(seen), problems

    def _found(self, root: Path) -> dict[str, bytes | None] | str:
        async def look() -> dict[str, bytes | None] | str:
            process = Process(FileStore(str(root), _QUICK, file_system=FileSystem()))
            try:
                found = {key: await process.get(key) for key, *_ in self.commits}
                await process.put("goes on", b"1")
            except NotFound as error:
                return str(error)
            assert await process.get("goes on") == b"1"
            return found

        return simulate(look, 1)

    def _wrong(self, found: dict[str, bytes | None] | str, position: int) -> list[str]:
        wrong = []
        for key, value, began, end in self.commits:
            now = found[key] if isinstance(found, dict) else None
            allowed = {value} if end <= position else {value, None} if began < position else {None}
            if now not in allowed:
                size = None if now is None else len(now)
                wrong.append(f"{key} has {size} bytes after a crash at {position}: {found!r:.80}")
        return wrong


def recorded(tmp_path: Path, scenario: Callable[[Recorded], Awaitable[None]]) -> Recorded:
    disk = Recorded(tmp_path / "disk")

    async def main() -> None:
        await Process(FileStore(disk.root, file_system=disk.file_system)).state.create()
        await scenario(disk)

    simulate(main, 1)
    return disk


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
        began = disk.file_system.position
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
        disk.commits.append(("adopted", b"1", began, disk.file_system.position))

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
