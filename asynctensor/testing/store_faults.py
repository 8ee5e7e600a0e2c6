"""`UnreliableStore`: a store around another that loses, delays, repeats and misremembers; seeded.

What goes wrong, and how often, is data (`fault_presets.Faults`); presets imitate services. All
chance comes from one seed and all waiting is `asyncio.sleep`, so that on a `DeterministicLoop` the
same seed gives the same faults at the same moments::

    store = UnreliableStore(MemoryStore(), LOSSY, seed=7)
    simulate(lambda: workload(store), 7)
    print(store.counts)         # Counter({"lost_answer": 12, "late": 4, ...})

What callers see is what the contract of stores leaves open: after `Unavailable` a write has
happened, will happen, or never will. The *lies* break the contract on purpose; whoever detects
them passes.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from asynctensor.errors import Aborted, Unavailable
from asynctensor.storage.commit_domain import Commit, CommitDomain, Committed
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    Buffer,
    Json,
    KeyValueStore,
    ListEntry,
    ReadOptions,
    ReadResult,
)
from asynctensor.storage.stash import plain
from asynctensor.testing.fault_presets import KINDS, LOSSY, Faults
from asynctensor.testing.key_history import KeyHistory

_ANY = frozenset({"lost_request", "lost_answer", "unavailable", "throttled"})
#: What can happen to each operation.
_POSSIBLE: Mapping[str, frozenset[str]] = {
    "read": _ANY | {"hidden", "stale_read", "torn_read"},
    "list": _ANY | {"stale_list"},
    "write": _ANY | {"late", "duplicated", "refused_own", "conflict", "overwrites", "creates"},
    "delete_range": _ANY | {"late"},
    "commit": _ANY | {"late"},
}


@dataclass(eq=False, slots=True)
class _Shared:
    """What all faces of one store share."""

    chance: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    history: KeyHistory = field(default_factory=KeyHistory)
    #: When each key was last written.
    written: dict[str, float] = field(default_factory=dict)
    #: What is on its way although nobody waits for it.
    afloat: set[asyncio.Task[None]] = field(default_factory=set)


class UnreliableStore(KeyValueStore):
    """A store behind a network that fails as `faults` say. See the module.

    A cancelled write has happened or never will, unless it was late before it was cancelled.

    Args:
        base: The store that does the work, itself without fault. Stale answers show what was
            written through this store only.
        faults: What goes wrong; it may be replaced at any time.
        seed: What the faults depend on.
        **capabilities: Capabilities to change from those of `base`.

    Attributes:
        counts: Faults so far, by kind.
        requests: Requests so far, by operation.
    """

    def __init__(
        self, base: KeyValueStore, faults: Faults = LOSSY, *, seed: int, **capabilities: bool
    ) -> None:
        self.base = base
        self.driver = base.driver
        self.faults = faults
        self.capabilities = replace(
            base.capabilities,
            **{"never_waits": False, "remote": True, **capabilities},
            **({"lists_in_order": False} if faults.unordered_list else {}),
        )
        self._shared = _Shared(random.Random(f"faults {seed}"))  # noqa: S311 -- not for secrets
        self._name: object = ("unreliable", id(self))

    @property
    def counts(self) -> Counter[str]:
        """Faults so far, by kind."""
        return self._shared.counts

    @property
    def requests(self) -> Counter[str]:
        """Requests so far, by operation."""
        return self._shared.requests

    def another(self) -> UnreliableStore:
        """The same store as another process would have it: with an identity of its own."""
        twin = UnreliableStore.__new__(UnreliableStore)
        vars(twin).update(vars(self))
        twin._name = ("unreliable", id(twin))
        return twin

    async def settled(self) -> None:
        """Returns once nothing is on its way any more."""
        while self._shared.afloat:
            await asyncio.wait(set(self._shared.afloat))

    # -- the store --------------------------------------------------------------------------

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        """See `KeyValueStore.read`."""
        fault = await self._sent("read", key)
        found = await self.base.read(key, options)
        await self._answered("read", key, fault)
        now = _now()
        if fault == "hidden" and not self._shared.history.is_new(key, now - self.faults.memory):
            fault = None
        if fault == "hidden":
            self._count(fault)
            return ReadResult("missing", b"", TimestampedStorageGeneration.now(NO_VALUE))
        if fault == "stale_read":
            then = now - self._shared.chance.random() * self.faults.memory
            stale = self._shared.history.read(key, then, options)
            if stale is not None and stale.stamp.generation != found.stamp.generation:
                self._count(fault)
                return stale
        if fault == "torn_read" and found.state == "value" and found.value:
            self._count(fault)
            return replace(found, value=self._torn(found.value))
        return found

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        """See `KeyValueStore.write`."""
        data = None if value is None else bytes(value)
        fault = await self._sent("write", key)
        if fault == "conflict" and if_equal != UNKNOWN:
            self._count(fault)
            raise Aborted("simulated fault: conflict", key=key, operation="write")
        self._throttle(key)
        condition = if_equal
        if fault == "overwrites" and if_equal == NO_VALUE:
            condition = UNKNOWN
        elif fault == "creates" and if_equal not in (UNKNOWN, NO_VALUE):
            missing = (await self.base.read(key)).state == "missing"
            condition = NO_VALUE if missing else if_equal
        if condition != if_equal and fault is not None:
            self._count(fault)
        if fault == "late":
            self._later(self._land, key, data, if_equal)
            await self._give_up(fault, "write", key)
        stamp = await self._land(key, data, condition)
        if fault == "duplicated":
            self._count(fault)
            self._later(self._land, key, data, if_equal)
        await self._answered("write", key, fault)
        if fault == "refused_own" and UNKNOWN not in (if_equal, stamp.generation):
            self._count(fault)
            return replace(stamp, generation=UNKNOWN)
        return stamp

    async def delete_range(self, key_range: KeyRange) -> None:
        """See `KeyValueStore.delete_range`."""
        first = key_range.inclusive_min
        fault = await self._sent("delete_range", first)
        if fault == "late":
            self._later(self._remove, key_range)
            await self._give_up(fault, "delete_range", first)
        await self._remove(key_range)
        await self._answered("delete_range", first, fault)

    async def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        """See `KeyValueStore.list`."""
        first = key_range.inclusive_min
        fault = await self._sent("list", first)
        found = [entry async for entry in self.base.list(key_range)]
        await self._answered("list", first, fault)
        if fault == "stale_list":
            then = _now() - self._shared.chance.random() * self.faults.memory
            stale = self._shared.history.listed(found, key_range, then)
            if stale != found:
                self._count(fault)
                found = stale
        if self.faults.unordered_list:
            self._shared.chance.shuffle(found)
        for entry in found:
            yield entry

    async def precious(self, prefix: str) -> str | None:
        """See `KeyValueStore.precious`."""
        return await self.base.precious(prefix)

    def spec_json(self, path: str) -> dict[str, Json]:
        """See `KeyValueStore.spec_json`."""
        return self.base.spec_json(path)

    def url(self, path: str) -> str:
        """See `KeyValueStore.url`."""
        return self.base.url(path)

    @property
    def identity(self) -> object:
        """See `KeyValueStore.identity`."""
        return self._name

    @property
    def commit_domain(self) -> CommitDomain | None:
        """See `KeyValueStore.commit_domain`; commits fail as writes do."""
        domain = self.base.commit_domain
        return None if domain is None else _UnreliableCommits(domain, self)

    def __repr__(self) -> str:
        return f"UnreliableStore({self.base!r}, {dict(self.counts)})"

    # -- what happens to a request ----------------------------------------------------------

    async def _sent(self, operation: str, key: str) -> str | None:
        """The way there; gives the fault that this request meets, if any."""
        self._shared.requests[operation] += 1
        fault = self._drawn(operation, key)
        await asyncio.sleep(self._way())
        if fault == "lost_request":
            await self._give_up(fault, operation, key)
        if fault in ("unavailable", "throttled"):
            self._count(fault)
            await asyncio.sleep(self._way())
            raise self._unavailable(fault, operation, key)
        return fault

    async def _answered(self, operation: str, key: str, fault: str | None) -> None:
        """The way back."""
        if fault == "lost_answer":
            await self._give_up(fault, operation, key)
        await asyncio.sleep(self._way())

    def _drawn(self, operation: str, key: str) -> str | None:
        faults = self.faults
        drawn = self._shared.chance.random()
        if not faults.when(operation, key):
            return None
        for kind in KINDS:
            if kind in _POSSIBLE[operation]:
                drawn -= getattr(faults, kind)
                if drawn < 0:
                    return kind
        return None

    def _way(self) -> float:
        chance, longest = self._shared.chance, self.faults.latency
        if chance.random() < self.faults.slow:
            longest *= 10
        return longest * (0.25 + 0.75 * chance.random())

    async def _give_up(self, fault: str, operation: str, key: str) -> None:
        self._count(fault)
        await asyncio.sleep(self.faults.patience * (0.5 + 0.5 * self._shared.chance.random()))
        raise self._unavailable(fault, operation, key)

    def _unavailable(self, fault: str, operation: str, key: str) -> Unavailable:
        return Unavailable(
            f"simulated fault: {fault}", key=key, store=repr(self._name), operation=operation
        )

    def _throttle(self, key: str) -> None:
        most = self.faults.writes_per_second
        now = _now()
        if most and now - self._shared.written.get(key, float("-inf")) < 1 / most:
            self._count("throttled")
            raise self._unavailable("throttled", "write", key)
        self._shared.written[key] = now

    def _count(self, fault: str) -> None:
        self._shared.counts[fault] += 1

    def _torn(self, value: bytes) -> bytes:
        cut = int(self._shared.chance.random() * len(value))
        if self._shared.chance.random() < 0.5:
            return value[:cut]
        return value[:cut] + bytes(255 - byte for byte in value[cut:])

    # -- what is done -----------------------------------------------------------------------

    async def _land(
        self, key: str, value: bytes | None, if_equal: bytes
    ) -> TimestampedStorageGeneration:
        await self._remember(key)
        stamp = await self.base.write(key, value, if_equal)
        if stamp.generation != UNKNOWN:
            self._shared.history.add(key, _now(), value, stamp.generation)
        return stamp

    async def _remember(self, key: str) -> None:
        if key not in self._shared.history:
            found = await self.base.read(key)
            value = found.value if found.state == "value" else None
            self._shared.history.add(key, float("-inf"), value, found.stamp.generation)

    async def _remove(self, key_range: KeyRange) -> None:
        gone = [entry.key async for entry in self.base.list(key_range)]
        for key in gone:
            await self._remember(key)
        await self.base.delete_range(key_range)
        for key in gone:
            self._shared.history.add(key, _now(), None, NO_VALUE)

    def _later(self, function: Callable[..., Awaitable[object]], *args: Any) -> None:
        """Has it done some time, whatever becomes of the caller."""

        async def land() -> None:
            await asyncio.sleep(self._shared.chance.random() * self.faults.latest)
            await function(*args)

        task = asyncio.get_running_loop().create_task(land())
        self._shared.afloat.add(task)
        task.add_done_callback(self._shared.afloat.discard)


class _UnreliableCommits(CommitDomain):
    """Commits of the base, over the same network."""

    def __init__(self, base: CommitDomain, store: UnreliableStore) -> None:
        self._base = base
        self._store = store

    @property
    def identity(self) -> object:
        """See `CommitDomain.identity`."""
        return self._base.identity

    def foresee(self, commit: Commit) -> None:
        """See `CommitDomain.foresee`."""
        self._base.foresee(commit)

    def turn(self) -> AbstractAsyncContextManager[None]:
        """See `CommitDomain.turn`."""
        return self._base.turn()

    async def commit(self, commit: Commit) -> Committed:
        """See `CommitDomain.commit`."""
        store = self._store
        key = min((*commit.expected, *commit.values), default="")
        fault = await store._sent("commit", key)
        if fault == "late":
            store._later(self._landed, commit)
            await store._give_up(fault, "commit", key)
        done = await self._land(commit)
        await store._answered("commit", key, fault)
        return done

    async def _landed(self, commit: Commit) -> None:
        # Where what it rested on has changed meanwhile, nobody is left to be told.
        with suppress(Aborted):
            await self._land(commit)

    async def _land(self, commit: Commit) -> Committed:
        for key in commit.values:
            await self._store._remember(key)
        done = await self._base.commit(commit)
        for key, value in plain(commit.values).items():
            self._store._shared.history.add(key, _now(), value, done.generations[key])
        return done


def _now() -> float:
    return asyncio.get_running_loop().time()
