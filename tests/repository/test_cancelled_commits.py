"""Whoever waits for a commit is cancelled at each step of it: it is there whole or not at all.

Each case runs on the deterministic loop once to be counted, and then once for every step that it
took: at the n-th step after the commit was asked for, the task that waits for it is cancelled.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

import asynctensor as at
from asynctensor.errors import Aborted, CommitUnknown
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import DEFAULT_READ, Buffer, KeyValueStore, ReadOptions, ReadResult
from asynctensor.testing.deterministic_loop import DeterministicLoop, simulate
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.open_over import open_over
from asynctensor.transaction.sharing import Sharing
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction

#: Too large for a record, and for the memory of a commit.
LARGE = 20_000
SEED = 5


class Steps(DeterministicLoop):
    """Cancels a task at one of its steps."""

    target: asyncio.Task[Any] | None = None
    at = -1
    begun = 0

    def watch(self, task: asyncio.Task[Any]) -> None:
        self.target, self.begun = task, self.steps

    def _run_once(self) -> None:
        if self.target is not None and self.steps - self.begun == self.at:
            self.target.cancel()
        super()._run_once()


class Slow(MemoryStore):
    """Takes its time before it does something, and before it says so."""

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        await asyncio.sleep(0.01)
        return await super().read(key, options)

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        await asyncio.sleep(0.01)
        stamp = await super().write(key, value, if_equal)
        await asyncio.sleep(0.01)
        return stamp


class Case:
    """What is committed: `begin` prepares it, `commit` is cancelled, `written` is looked at."""

    #: Whether a cancellation is delivered only once nothing is going on any more.
    waits = True

    def __init__(self) -> None:
        self.base = FaultyStore(Slow())

    async def made(self) -> None:
        self.state = RepositoryState(place_of(self.base, ""))
        await self.state.create()
        self.store: KeyValueStore = RepositoryStore(self.state, source_of(self.state, {}))

    async def begin(self) -> None:
        self.txn = Transaction(message="it")
        await self.stage(self.txn)

    async def stage(self, txn: Transaction) -> None:
        view = StagedStore(self.store, txn)
        await view.write("document", b"1")
        for chunk in range(3):
            await view.write(f"image/c/{chunk}", b"%d" % chunk * LARGE)

    async def commit(self) -> None:
        await self.txn.commit_async()

    async def outcome(self) -> bool:
        """Whether the transaction says that it was committed."""
        if self.txn.open:
            # It was never asked for.
            self.txn.abort()
        try:
            await self.txn.future
        except Aborted:
            return False
        return True

    async def written(self) -> set[bool]:
        keys = ["document", *(f"image/c/{chunk}" for chunk in range(3))]
        return {(await self.store.read(key)).state == "value" for key in keys}


class OverMemory(Case):
    async def made(self) -> None:
        self.store = MemoryStore()


class Direct(Case):
    """A write of four chunks without a transaction."""

    async def made(self) -> None:
        await super().made()
        layout = at.ChunkLayout(chunk_shape=[LARGE])
        self.image = await open_over(
            self.store, "image/", dtype="uint8", shape=[4 * LARGE], chunk_layout=layout
        )

    async def begin(self) -> None:
        pass

    async def commit(self) -> None:
        await self.image[1:].write(7)

    async def outcome(self) -> bool | None:
        return None

    async def written(self) -> set[bool]:
        return {bool(each) for each in (await self.image[1:].read())[::1000]}


class Shared(Case):
    """A transaction with a part of another process."""

    async def begin(self) -> None:
        self.txn = Transaction(message="it")
        view = StagedStore(self.store, self.txn)
        await view.write("document", b"1")
        part = await joined(self.store, (await shared(self.txn)).token)
        for chunk in range(3):
            await StagedStore(self.store, part).write(f"image/c/{chunk}", b"%d" % chunk * LARGE)
        self.txn.add(await part.finish(worker="it"))


async def shared(txn: Transaction) -> Any:
    """`Transaction.share`, which would block the loop."""
    await txn._share()
    return txn._sharing


async def joined(store: KeyValueStore, token: Any) -> Transaction:
    domain = store.commit_domain
    assert domain is not None
    made = Transaction()
    made.take_part(Sharing(token, domain, part=True), await domain.join(token))
    return made


class Aborting(Shared):
    """A shared transaction is aborted; it never is committed."""

    waits = False

    async def commit(self) -> None:
        self.txn.abort()
        with suppress(Aborted):
            await self.txn.future


CASES: list[type[Case]] = [Case, OverMemory, Direct, Shared, Aborting]


def run(make: type[Case], at_step: int) -> tuple[int, bool, bool]:
    """One run: how many steps it took, whether it was cancelled, and whether all of it is there."""
    loop = Steps(SEED)

    async def main() -> tuple[int, bool, bool]:
        case = make()
        await case.made()
        await case.begin()
        task = asyncio.ensure_future(case.commit())
        loop.at = at_step
        loop.watch(task)
        await asyncio.wait([task])
        steps, loop.target = loop.steps - loop.begun, None
        assert not (case.waits and case.base.in_flight)
        outcome = await case.outcome()
        # Nothing of it is still going on, and nothing comes later.
        await asyncio.sleep(1)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert case.base.in_flight == []
        written = await case.written()
        assert len(written) == 1, "torn"
        assert outcome in (None, *written)
        return steps, task.cancelled(), written == {True}

    return simulate(main, SEED, loop=loop)


@pytest.mark.parametrize("make", CASES)
def test_at_every_step_it_is_all_or_nothing(make: type[Case]) -> None:
    steps, cancelled, there = run(make, -1)
    assert (cancelled, there) == (False, make is not Aborting)
    ends = Counter(
        (cancelled, there) for _, cancelled, there in (run(make, n) for n in range(steps))
    )
    # Before it was asked for; a direct write may be given up until it is handed over.
    given_up = ends[True, False]
    if make is Direct:
        assert 5 < given_up < steps - 5
    elif make is not Aborting:
        assert 1 <= given_up <= 3
        assert ends[False, False] == 0
    assert ends.total() - given_up == ends[True, True] + ends[False, make is not Aborting]


class Finishing(Case):
    """A part is finished; the transaction is never committed with it."""

    async def begin(self) -> None:
        holder = Transaction()
        await StagedStore(self.store, holder).write("document", b"1")
        token = (await shared(holder)).token
        self.holder, self.txn = holder, await joined(self.store, token)
        for chunk in range(3):
            await StagedStore(self.store, self.txn).write(f"image/c/{chunk}", b"1" * LARGE)

    async def commit(self) -> None:
        await self.txn.finish(worker="it")

    async def outcome(self) -> bool | None:
        finished = await super().outcome()
        found = await self.holder.find_receipts()
        # What was given up may be stored; what was finished is.
        assert len(found) in ((1,) if finished else (0, 1))
        return None


def test_a_part_that_is_given_up_is_seen_by_nobody() -> None:
    steps, *ended = run(Finishing, -1)
    assert ended == [False, False]
    assert {run(Finishing, n)[2] for n in range(steps)} == {False}


class Ending(DeterministicLoop):
    """Cancels all tasks but one at some step, as whoever closes a loop does."""

    spared: asyncio.Task[Any] | None = None
    at = -1
    begun = 0

    def _run_once(self) -> None:
        if self.spared is not None and self.steps - self.begun == self.at:
            for task in sorted(
                asyncio.all_tasks(self), key=lambda task: self._numbers.get(task, 0)
            ):
                if task is not self.spared:
                    task.cancel()
        super()._run_once()


def ended(make: type[Case], at_step: int) -> tuple[int, str, bool]:
    """One run: how many steps it took, what the transaction says, and whether it is there."""
    loop = Ending(SEED)

    async def main() -> tuple[int, str, bool]:
        case = make()
        await case.made()
        await case.begin()
        task = asyncio.ensure_future(case.commit())
        loop.at, loop.begun, loop.spared = at_step, loop.steps, asyncio.current_task()
        await asyncio.wait([task])
        steps, loop.spared = loop.steps - loop.begun, None
        await asyncio.sleep(1)
        told, resolve = "aborted", None
        try:
            told = "committed" if await case.outcome() else told
        except CommitUnknown as error:
            told, resolve = "unknown", error.resolve
        resolved = None if resolve is None else await resolve()
        written = await case.written()
        assert len(written) == 1, "torn"
        assert resolved in (None, "committed" if written == {True} else "aborted")
        # And it goes on.
        after = Transaction()
        await StagedStore(case.store, after).write("after", b"1")
        await after.commit_async()
        return steps, told, written == {True}

    return simulate(main, SEED, loop=loop)


@pytest.mark.parametrize("make", [Case, OverMemory, Shared])
def test_a_loop_that_ends_says_of_no_commit_what_is_not_so(make: type[Case]) -> None:
    steps, *_ = ended(make, -1)
    found = Counter(ended(make, n)[1:] for n in range(steps))
    assert found.keys() <= {
        ("aborted", False), ("unknown", False), ("unknown", True), ("committed", True)
    }  # fmt: skip
    assert found["aborted", False] > 1
    # Once it is on its way, nobody knows.
    assert (found["unknown", True] > 0) == (make is not OverMemory)
