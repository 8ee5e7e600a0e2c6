"""The holes' stage: processes that share a store, each over a wire that a test can interrupt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from asynctensor.errors import Unavailable
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.adoption import intent_of
from asynctensor.kvstores.repo.branch import Branch, now
from asynctensor.kvstores.repo.combining import Combiner
from asynctensor.kvstores.repo.commits import runs_of
from asynctensor.kvstores.repo.conflicts import Footing
from asynctensor.kvstores.repo.intents import Intents
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.proposal import Landed, Proposal
from asynctensor.kvstores.repo.record import AbortEntry, CommitEntry, Record
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.runtime.entropy import random_bytes
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    Buffer,
    KeyValueStore,
    ListEntry,
    ReadOptions,
    ReadResult,
)
from asynctensor.testing.deterministic_loop import simulate

#: Orders of what may happen in any, in which each trace is played.
SEEDS = range(3)
Act = Callable[[], Awaitable[object]]
ROUND_TRIP = 0.02


@dataclass(slots=True)
class _Hook:
    operation: str
    prefix: str
    after: bool
    act: Act
    times: int
    skip: int


class Wire(KeyValueStore):
    """One process's connection to a store: 20 ms, and whatever a test has happen at a request.

    Attributes:
        sent: (operation, key) of each request.
        afloat: Writes that were sent and have neither arrived nor been lost.
    """

    def __init__(self, base: KeyValueStore) -> None:
        self.base = base
        self.driver = base.driver
        self.capabilities = base.capabilities
        self.sent: list[tuple[str, str]] = []
        self.afloat: list[tuple[str, Buffer | None, bytes]] = []
        self._hooks: list[_Hook] = []
        self._writing: tuple[str, Buffer | None, bytes] | None = None

    def before(
        self, operation: str, prefix: str, act: Act, *, times: int = 1, skip: int = 0
    ) -> None:
        """Has `act` done before requests reach the store; what it raises is their answer."""
        self._hooks.append(_Hook(operation, prefix, False, act, times, skip))

    def after(
        self, operation: str, prefix: str, act: Act, *, times: int = 1, skip: int = 0
    ) -> None:
        """Has `act` done once requests were served, before they are answered."""
        self._hooks.append(_Hook(operation, prefix, True, act, times, skip))

    def late(self, prefix: str, *, times: int = 1) -> None:
        """Writes are not answered, and stay afloat until `land`."""

        async def keep() -> None:
            assert self._writing is not None
            self.afloat.append(self._writing)
            raise Unavailable("no answer")

        self.before("write", prefix, keep, times=times)

    def deaf(self, operation: str, prefix: str, *, times: int = 1, served: bool = False) -> None:
        """Requests are not answered, whether `served` or not."""
        (self.after if served else self.before)(operation, prefix, _no_answer, times=times)

    async def land(self) -> None:
        """What is afloat arrives."""
        afloat, self.afloat = self.afloat, []
        for key, value, if_equal in afloat:
            await self.base.write(key, value, if_equal)

    async def _meet(self, operation: str, key: str, *, after: bool) -> None:
        for hook in self._hooks:
            if (hook.operation, hook.after) != (operation, after) or not hook.times:
                continue
            if key.startswith(hook.prefix):
                if hook.skip:
                    hook.skip -= 1
                    continue
                hook.times -= 1
                await hook.act()

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        self.sent.append(("read", key))
        await asyncio.sleep(ROUND_TRIP / 2)
        await self._meet("read", key, after=False)
        found = await self.base.read(key, options)
        await self._meet("read", key, after=True)
        await asyncio.sleep(ROUND_TRIP / 2)
        return found

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        self.sent.append(("write" if value is not None else "delete", key))
        await asyncio.sleep(ROUND_TRIP / 2)
        self._writing = (key, value, if_equal)
        await self._meet("write", key, after=False)
        stamp = await self.base.write(key, value, if_equal)
        await self._meet("write", key, after=True)
        await asyncio.sleep(ROUND_TRIP / 2)
        return stamp

    async def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        self.sent.append(("list", key_range.inclusive_min))
        await asyncio.sleep(ROUND_TRIP / 2)
        await self._meet("list", key_range.inclusive_min, after=False)
        found = [entry async for entry in self.base.list(key_range)]
        await self._meet("list", key_range.inclusive_min, after=True)
        await asyncio.sleep(ROUND_TRIP / 2)
        for entry in found:
            yield entry

    async def delete_range(self, key_range: KeyRange) -> None:
        raise AssertionError("a repository deletes no ranges of objects")

    def url(self, path: str) -> str:
        return self.base.url(path)

    def spec_json(self, path: str) -> dict[str, Any]:
        return self.base.spec_json(path)

    @property
    def identity(self) -> object:
        return ("wire", id(self))


async def _no_answer() -> None:
    raise Unavailable("no answer")


class Process:
    """What one process has of a repository in `base`."""

    def __init__(self, base: KeyValueStore) -> None:
        self.wire = Wire(base)
        self.state = RepositoryState(place_of(self.wire, ""))
        self.store = RepositoryStore(self.state, source_of(self.state, {}))
        self._branch: Branch | None = None

    async def branch(self) -> Branch:
        """The one that ``main`` meant first, whatever became of it."""
        if self._branch is None:
            self._branch = await self.state.branch("main")
        return self._branch

    async def put(self, key: str, value: bytes = b"x") -> None:
        await self.store.write(key, value)

    async def get(self, key: str) -> bytes | None:
        """As the store has it now."""
        await (await self.branch()).refresh()
        found = await self.store.read(key)
        return found.value if found.state == "value" else None

    async def proposal(
        self,
        writes: Mapping[str, bytes | None],
        reads: tuple[str, ...] = (),
        ranges: tuple[KeyRange, ...] = (),
        txn: bytes | None = None,
    ) -> Proposal:
        """A transaction that read and wrote in the newest state that the process knows."""
        snapshot = (await self.branch()).newest()
        expected = {key: snapshot.generation(await snapshot.find(key)) for key in reads}
        refs = {key: None if v is None else Ref.of_inline(v) for key, v in writes.items()}
        families, runs = runs_of(refs)
        entry = CommitEntry(
            random_bytes(16) if txn is None else txn,
            snapshot.version[0],
            now(),
            families=families,
            runs=runs,
        )
        return Proposal(entry, Footing(expected, frozenset(expected), ranges))

    async def commit(self, proposal: Proposal) -> Landed:
        return await (await self.branch()).commit(proposal)

    async def abort(self, proposal: Proposal) -> Landed:
        """What `resolve` does."""
        entry = CommitEntry(proposal.entry.txn, proposal.entry.base, now())
        return await self.commit(Proposal(entry, abort=True))

    async def offer(self, proposal: Proposal) -> str:
        """Publishes a transaction as an intent, and does no more, like one that dies then."""
        branch = await self.branch()
        intents = Intents(self.state.place, branch.id)
        intent = intent_of(branch.id, proposal.entry, proposal.footing)
        assert intent is not None
        await intents.publish([intent])
        return intents.name(proposal.entry.txn)

    async def lose_once(self, other: Process) -> None:
        """Another process takes the next slot that this one writes; then it combines."""
        await self.branch()
        key = f"taken/{random_bytes(4).hex()}"
        self.wire.before("write", "log/", lambda: other.put(key))

    async def records(self) -> list[Record]:
        branch = await self.branch()
        await branch.refresh()
        return await branch._since(0)

    async def outcomes(self, txn: bytes) -> list[str]:
        """What stands in the log of a transaction."""
        entries = [entry for record in await self.records() for entry in record.entries]
        return [
            "commit" if isinstance(entry, CommitEntry) else "abort"
            for entry in entries
            if isinstance(entry, (CommitEntry, AbortEntry)) and entry.txn == txn
        ]


async def crew(base: KeyValueStore, count: int) -> list[Process]:
    """Processes over a new repository, which has one commit."""
    processes = [Process(base) for _ in range(count)]
    await processes[0].state.create()
    await processes[0].put("first")
    for process in processes:
        await process.branch()
    return processes


def combiner(branch: Branch) -> Combiner:
    """What a branch does under contention."""
    return branch._combiner


def play(trace: Callable[[MemoryStore], Awaitable[None]]) -> None:
    """Runs a trace in a few orders of what may happen in any."""

    async def main() -> None:
        await trace(MemoryStore())

    for seed in SEEDS:
        simulate(main, seed)
