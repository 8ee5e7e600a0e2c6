"""Whole commits on files, replayed: every crash in between, and every system call that fails."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from asynctensor.errors import CommitUnknown, Error
from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.store import FileStore
from asynctensor.kvstores.repo.folding import fold_branch
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.testing.deterministic_loop import simulate
from asynctensor.testing.faults import FaultyFileSystem
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction
from tests.kvstores.repo.holes.disk import Recorded, recorded
from tests.kvstores.repo.holes.wire import Process

#: What one transaction writes: in the record, beside pages once it is folded, and in packs.
VALUES = {
    "image/zarr.json": b"{}",
    "image/c/0/0": bytes(12_000),
    "image/c/0/1": bytes(9_000),
    "notes": b"n" * 700,
}


async def commit(store: RepositoryStore, values: dict[str, bytes]) -> None:
    """One transaction."""
    txn = Transaction()
    view = StagedStore(store, txn)
    for key, value in values.items():
        await view.write(key, value)
    await txn.commit_async()


async def held(process: Process) -> tuple[bytes | None, ...]:
    """What the keys hold that the transaction writes."""
    return tuple([await process.get(key) for key in VALUES])


BEFORE, AFTER = (None,) * len(VALUES), tuple(VALUES.values())


def test_every_crash_leaves_all_of_a_commit_or_nothing(tmp_path: Path) -> None:
    """A transaction with values of every size; then a fold, and a commit upon it by another."""

    async def scenario(disk: Recorded) -> None:
        process = disk.process()
        began = disk.position
        await commit(process.store, VALUES)

        async def look(other: Process) -> object:
            found = await held(other)
            return None if found == BEFORE else found

        disk.claim("the transaction is there", look, None, AFTER, began)
        await fold_branch(await process.branch(), process.state.place)
        await disk.put(disk.process(), "upon it", b"1")

    count, problems = recorded(tmp_path, scenario).problems(tmp_path)
    assert problems == []
    assert count > 50


CALLS = {
    "fsync": errno.EIO,
    "write": errno.ENOSPC,
    "link": errno.EIO,
    "open": errno.ENOSPC,
    "mkdir": errno.ENOSPC,
}


async def outcome(process: Process, file_system: FaultyFileSystem) -> str:
    """What whoever commits is told."""
    try:
        await commit(process.store, VALUES)
    except CommitUnknown as error:
        heal(file_system)
        return "no way to ask" if error.resolve is None else await error.resolve()
    except Error:
        return "aborted"
    return "committed"


def heal(file_system: FaultyFileSystem) -> None:
    """Nothing fails any more."""
    for faults in file_system._faults.values():
        faults.clear()


@pytest.mark.parametrize("times", [1, 10**6])
@pytest.mark.parametrize("call", CALLS)
def test_each_call_that_fails(tmp_path: Path, call: str, times: int) -> None:
    """It fails once, or from then on; the commit is all there or not at all, as was told."""

    async def main() -> list[str]:
        told: list[str] = []
        for number in range(1000):
            root = str(tmp_path / f"{number}")
            file_system = FaultyFileSystem()
            process = Process(FileStore(root, file_system=file_system))
            await process.state.create()
            await process.put("first", b"1")
            count = iter(range(10**9))
            calls = file_system.counts[call]
            file_system.fail(
                call,
                CALLS[call],
                times=times,
                when=lambda *_, count=count, number=number, **__: next(count) >= number,
            )
            found = await outcome(process, file_system)
            failed = any(fault.times < times for fault in file_system._faults[call])
            if found == "committed" and not failed and file_system.counts[call] - calls <= number:
                return told
            heal(file_system)
            told.append(found)
            for look in (Process(FileStore(root, file_system=FileSystem())), process):
                assert await held(look) == (AFTER if found == "committed" else BEFORE), number
                await look.put("goes on", b"1")
                assert await held(look) == (AFTER if found == "committed" else BEFORE), number
        raise AssertionError("it never comes to an end")

    told = simulate(main, 1)
    assert set(told) <= {"committed", "aborted"}
    assert told
