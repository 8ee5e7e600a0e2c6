"""A store as one transaction sees it: what is stored, and over it what the transaction staged.

An adapter over any store. Writes and deletes are kept in memory; reads, conditions and listings
see them. At the commit each staged key is worked out against what is stored then: a staged value
may be *all* of the new value, or a change to whatever is there (part of a chunk), so that two
transactions that write different parts of one value do not disturb each other.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from asynctensor.errors import Aborted, Unimplemented
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.commit_domain import Commit, CommitDomain, Isolation
from asynctensor.storage.directory import list_directory
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    Buffer,
    Capabilities,
    Json,
    KeyValueStore,
    ListEntry,
    ReadOptions,
    ReadResult,
)
from asynctensor.storage.shared_transaction import SharedTransaction
from asynctensor.storage.stash import StoredValue
from asynctensor.transaction.ahead import Ahead
from asynctensor.transaction.participant import Participant
from asynctensor.transaction.staged_value import (
    Merge,
    Reliance,
    StagedDocument,
    StagedValue,
    WholeValue,
    changed_meanwhile,
)
from asynctensor.transaction.transaction import Transaction

#: Values that are read side by side at a commit.
_SIDE_BY_SIDE = 64
#: Values that are worked out together at a commit, and about how much memory they may take.
_TOGETHER = 4096
_TOGETHER_BYTES = 8 * 2**20
#: How often an isolated commit works one key out again because somebody else changed it.
_ATTEMPTS = 1000


#: What the versions of staged values begin with.
_STAGED = b"staged "


def is_staged(generation: bytes) -> bool:
    """Whether a generation is the version of something staged, not of something stored."""
    return generation.startswith(_STAGED)


class Staging(Participant):
    """What one transaction staged in one store, and what it read there."""

    def __init__(self, base: KeyValueStore, isolation: Isolation = "serializable") -> None:
        self.base = base
        self._isolation = isolation
        #: The base as it was when the transaction began, where it keeps older states.
        self.frozen = base
        #: What values that are changed in part are worked out against.
        self.current = base
        self.mark: object = None
        #: Staged by whoever shared the transaction, and not ours to commit.
        self._foreign: dict[str, StagedValue] = {}
        self._foreign_deletes = 0
        self.listed: list[KeyRange] = []
        #: Documents as they were seen first, of which only parts are relied upon.
        self.seen: dict[str, ReadResult] = {}
        self.relied: dict[str, list[Reliance]] = {}
        self.lock = threading.Lock()
        self.values: dict[str, StagedValue] = {}
        self.deleted: list[KeyRange] = []
        self.observed: dict[str, bytes] = {}
        self._serial = itertools.count(1)
        #: Version of each staged value within the transaction.
        self.versions: dict[str, bytes] = {}

    @property
    def commit_domain(self) -> CommitDomain | None:
        return self.base.commit_domain

    def begin(self, mark: object, *, part: bool = False) -> None:
        self.mark = mark
        self.frozen = self.base.pinned(mark)
        if part:
            self.current = self.frozen

    def given(self) -> Commit:
        with self.lock:
            values = {
                key: staged.outcome
                for key, staged in self.values.items()
                if isinstance(staged, (StagedDocument, WholeValue))
            }
            return Commit(values=values, cleared=tuple(self.deleted))

    def _own(self) -> list[tuple[str, StagedValue]]:
        """What was staged here; the lock is held."""
        foreign = self._foreign
        return [(key, each) for key, each in self.values.items() if foreign.get(key) is not each]

    def take(
        self, values: Mapping[str, bytes | None], deleted: Iterable[KeyRange], *, foreign: bool
    ) -> None:
        """Stages what was staged where the transaction was shared.

        Args:
            values: See `given`.
            deleted: Ranges of keys, deleted before that.
            foreign: It is committed by somebody else, unless it is staged anew.
        """
        with self.lock:
            self.deleted += deleted
            self._foreign_deletes = len(self.deleted) if foreign else 0
            for key, data in values.items():
                self.values[key] = WholeValue(data)
                self.touch(key)
            if foreign:
                self._foreign = dict(self.values)

    async def rest_on_staged(self) -> None:
        """Has the commit rest on what is stored where values were staged elsewhere.

        What they were made of is not known here any more.
        """
        for key in [key for key in list(self.values) if not self.covered(key)]:
            found = await self.frozen.read(key)
            with self.lock:
                self.observed.setdefault(key, found.stamp.generation)

    @property
    def description(self) -> str:
        try:
            return self.base.url("")
        except Unimplemented:
            return self.base.driver

    def stage(self, key: str, value: StagedValue) -> bytes:
        """Stages a change to the value of `key`; returns its version."""
        with self.lock:
            self.values[key] = value
            return self.touch(key)

    def state_of(self, key: str) -> tuple[bytes | None, int]:
        """Tells whether something was staged for `key` since; the lock is held."""
        return self.versions.get(key), len(self.deleted)

    def stage_if(
        self, key: str, value: StagedValue, before: tuple[bytes | None, int], if_equal: bytes
    ) -> bytes | None:
        """Stages `value` if nothing was staged for `key` since `before`; returns its version.

        If the condition `if_equal` was met by what is stored, the commit will rest on it.
        """
        with self.lock:
            if self.state_of(key) != before:
                return None
            if if_equal != UNKNOWN and key not in self.values and not self.covered(key):
                self.observed.setdefault(key, if_equal)
            self.values[key] = value
            return self.touch(key)

    def staged(self, key: str) -> StagedValue | None:
        """What is staged for `key`."""
        with self.lock:
            return self.values.get(key)

    def touch(self, key: str) -> bytes:
        """A new version for a key whose staged value changed; the lock is held."""
        version = _STAGED + b"%d" % next(self._serial)
        self.versions[key] = version
        return version

    def covered(self, key: str) -> bool:
        """Whether a staged `delete_range` has removed what is stored at `key`."""
        return any(key in r for r in self.deleted)

    async def stored(self, key: str) -> ReadResult:
        """What is stored at `key` as the transaction sees it, before its staged value."""
        if self.covered(key):
            return ReadResult("missing", b"", TimestampedStorageGeneration.now(NO_VALUE))
        return await self.frozen.read(key)

    async def glance(self, key: str, *, repeatable: bool) -> ReadResult:
        """What is stored at `key` as the transaction sees it; the commit does not rest on it."""
        with self.lock:
            found = self.seen.get(key)
        if found is None or self.covered(key):
            found = await self.stored(key)
            if repeatable and not self.covered(key):
                with self.lock:
                    found = self.seen.setdefault(key, found)
        return found

    async def prepare(self, shared: SharedTransaction | None = None) -> Commit:
        expected: dict[str, bytes] = {}
        values: dict[str, bytes | StoredValue | None] = dict(await self._settled(expected))
        with self.lock:
            expected.update(self.observed)
            read = frozenset(self.observed)
            cleared, listed = tuple(self.deleted[self._foreign_deletes :]), tuple(self.listed)
            staged = [each for each in self._own() if not each[1].leads]
        stash = None if self.commit_domain is None else self.commit_domain.stash(shared)
        try:
            async with Ahead(stash, values) as ahead:
                for group in _grouped(staged):
                    await ahead.take(await self._worked_out(group, expected))
        except BaseException:
            if stash is not None and shared is None:
                await stash.discard()
            raise
        return Commit(
            expected,
            values,
            cleared,
            read,
            frozenset(expected),
            listed,
            mark=self.mark,
            stash=stash,
        )

    async def _settled(self, expected: dict[str, bytes]) -> dict[str, bytes | None]:
        """Works out what leads, and checks what is relied upon; notes what that rests on."""
        with self.lock:
            leading = {key: value for key, value in self._own() if value.leads}
            relied = {key: tuple(each) for key, each in self.relied.items()}
        values: dict[str, bytes | None] = {}
        for key in {**leading, **relied}:
            stored, unchanged = None, False
            if not self.covered(key):
                stored, unchanged = await self._look(key, relied.get(key, ()), expected)
            outcome = stored
            if key in leading:
                outcome = values[key] = await leading[key].value(stored)
            if not (unchanged or self.covered(key)):
                self._check(key, relied.get(key, ()), stored, outcome)
        for key, value in values.items():
            await leading[key].settled(value)
        return values

    async def _look(
        self, key: str, relied: Sequence[Reliance], expected: dict[str, bytes]
    ) -> tuple[bytes | None, bool]:
        """The document that is stored now, and whether it is the one that was seen."""
        seen = self.seen.get(key)
        known = {each.generation for each in relied}
        known |= set() if seen is None else {seen.stamp.generation}
        first = next(iter(known)) if len(known) == 1 else UNKNOWN
        found = await self.current.read(key, ReadOptions(if_not_equal=first))
        expected.setdefault(key, found.stamp.generation)
        if found.state == "unspecified":
            known_value = seen is not None and seen.state == "value"
            return (bytes(seen.value) if seen and known_value else None), True
        stored = bytes(found.value) if found.state == "value" else None
        return stored, first == found.stamp.generation

    def _check(
        self, key: str, relied: Sequence[Reliance], stored: bytes | None, outcome: bytes | None
    ) -> None:
        reads = self._isolation == "serializable" or (
            self._isolation == "snapshot" and key in self.values
        )
        for each in relied:
            broken = each.broken(stored, outcome, reads)
            if broken is not None:
                raise changed_meanwhile(key, broken).located(store=self.description)

    async def _worked_out(
        self, group: Sequence[tuple[str, StagedValue]], expected: dict[str, bytes]
    ) -> dict[str, Buffer | None]:
        """The new values of some keys; notes in `expected` what they rest on."""
        currents = await self._currents(group, expected)
        kinds: dict[type[StagedValue], list[int]] = {}
        for at, (_, staged) in enumerate(group):
            kinds.setdefault(type(staged), []).append(at)
        new: dict[str, Buffer | None] = {}
        for kind, places in kinds.items():
            found = await kind.values(
                [group[at][1] for at in places], [currents.get(group[at][0]) for at in places]
            )
            new.update(zip((group[at][0] for at in places), found, strict=True))
        return new

    async def _currents(
        self, group: Sequence[tuple[str, StagedValue]], expected: dict[str, bytes]
    ) -> dict[str, bytes]:
        """What is stored where that matters.

        It is the newest: what others wrote to other parts of a value stays.
        """
        keys = [key for key, staged in group if staged.needs_current and not self.covered(key)]
        currents: dict[str, bytes] = {}
        for start in range(0, len(keys), _SIDE_BY_SIDE):
            some = keys[start : start + _SIDE_BY_SIDE]
            for key, found in zip(
                some, await asyncio.gather(*map(self.current.read, some)), strict=True
            ):
                if found.state == "value":
                    currents[key] = found.value
                expected.setdefault(key, found.stamp.generation)
        return currents

    def is_final(self, key: str) -> bool:
        return key in self.observed

    async def commit_isolated(self) -> None:
        for key_range in list(self.deleted):
            await self.base.delete_range(key_range)
        for leads in (True, False):
            for key, staged in [each for each in self.values.items() if each[1].leads is leads]:
                await self._write_isolated(key, staged)

    async def _write_isolated(self, key: str, staged: StagedValue) -> None:
        required = self.observed.get(key)
        for _ in range(_ATTEMPTS):
            condition = UNKNOWN if required is None else required
            current = None
            if staged.needs_current:
                found = await self.base.read(key)
                current = found.value if found.state == "value" else None
                if required is not None and found.stamp.generation != required:
                    break
                if self.base.capabilities.can_compare_and_swap:
                    condition = found.stamp.generation
            new = await staged.value(current)
            if staged.leads and new == current:
                stamp = TimestampedStorageGeneration.now(NO_VALUE)
            else:
                stamp = await self.base.write(key, new, condition)
            if stamp.generation != UNKNOWN:
                if staged.leads:
                    await staged.settled(new)
                return
            if required is not None:
                break
        raise Aborted(
            "Generation mismatch: the value was changed by somebody else; start again",
            key=key,
            store=self.description,
            operation="commit",
        )

    def committed(self) -> None:
        for staged in list(self.values.values()):
            staged.committed()

    def discard(self) -> None:
        with self.lock:
            self.values.clear()
            self.deleted.clear()
            self.observed.clear()
            self.listed.clear()
            self.seen.clear()
            self.relied.clear()


class StagedStore(KeyValueStore):
    """`base` as `transaction` sees it. See the module."""

    def __init__(self, base: KeyValueStore, transaction: Transaction) -> None:
        self.base = base
        self.transaction = transaction
        self.driver = base.driver
        self.capabilities: Capabilities = replace(base.capabilities, suffix_ranges=False)

    def staging(self) -> Staging:
        """What the transaction has staged in this store.

        Raises:
            FailedPrecondition, Unimplemented: See `Transaction.participant`.
        """
        key = ("store", self.base.identity)
        return self.transaction.participant(
            key, lambda: Staging(self.base, self.transaction.isolation)
        )

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        staging = self.staging()
        with staging.lock:
            staged = staging.values.get(key)
            version = staging.versions.get(key, UNKNOWN)
        current: bytes | None
        if staged is None:
            found = await staging.stored(key)
            self._observe(staging, key, found.stamp.generation)
            current = found.value if found.state == "value" else None
            stamp = found.stamp
        else:
            base = None
            if staged.needs_current:
                found = await staging.stored(key)
                self._observe(staging, key, found.stamp.generation)
                base = found.value if found.state == "value" else None
            current = await staged.value(base)
            stamp = TimestampedStorageGeneration.now(NO_VALUE if current is None else version)
        return _answer(current, stamp, options)

    def _observe(self, staging: Staging, key: str, generation: bytes) -> None:
        if not self.transaction.repeatable_read or staging.covered(key):
            return
        known = staging.observed.setdefault(key, generation)
        if known != generation:
            raise Aborted(
                "the value has changed since this transaction read it first; start again",
                key=key,
                store=staging.description,
                operation="read",
            )

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        staging = self.staging()
        data = WholeValue(None if value is None else bytes(value))
        while True:
            with staging.lock:
                before = staging.state_of(key)
            if if_equal != UNKNOWN:
                found = await self.read(key)
                if found.stamp.generation != if_equal:
                    return TimestampedStorageGeneration.now(UNKNOWN)
            version = staging.stage_if(key, data, before, if_equal)
            if version is not None:
                break
            # Somebody staged the key between the look and the write: look again.
        return TimestampedStorageGeneration.now(NO_VALUE if value is None else version)

    async def glance(self, key: str) -> ReadResult:
        """Reads a document of which only parts matter: what does is told by `rely_on`."""
        staging = self.staging()
        with staging.lock:
            staged = staging.values.get(key)
            version = staging.versions.get(key, UNKNOWN)
        stored = None
        if staged is None or staged.needs_current:
            found = await staging.glance(key, repeatable=self.transaction.repeatable_read)
            if staged is None:
                return found
            stored = bytes(found.value) if found.state == "value" else None
        current = await staged.value(stored)
        if current is None:
            return ReadResult("missing", b"", TimestampedStorageGeneration.now(NO_VALUE))
        return ReadResult("value", current, TimestampedStorageGeneration.now(version))

    def rely_on(self, key: str, reliance: Reliance) -> None:
        """Has an atomic commit check `reliance` if the document `key` has changed by then.

        Nothing is asked of a document that the transaction itself has replaced.
        """
        if reliance.generation == UNKNOWN or not self.transaction.repeatable_read:
            return
        staging = self.staging()
        with staging.lock:
            whole = isinstance(staging.values.get(key), WholeValue)
            known = staging.relied.setdefault(key, [])
            if not whole and not staging.covered(key) and reliance not in known:
                known.append(reliance)

    async def change(
        self,
        key: str,
        change: Callable[[bytes | None], bytes | None],
        merge: Merge,
    ) -> StagedDocument | None:
        """Stages a change of a document that is merged with what others change.

        Args:
            key: Its key.
            change: From the document (None: there is none) to the new one; may be called again.
            merge: How versions of it become one.

        Returns:
            What is staged now; None if nothing was changed, or the document is replaced whatever
            is stored.
        """
        staging = self.staging()
        while True:
            with staging.lock:
                before = staging.state_of(key)
            found = await self.glance(key)
            current = bytes(found.value) if found.state == "value" else None
            new = change(current)
            if new == current:
                return None
            with staging.lock:
                if staging.state_of(key) != before:
                    continue
                staged = staging.values.get(key)
                if isinstance(staged, StagedDocument):
                    staged.ours = new
                elif staged is not None or staging.covered(key):
                    staging.values[key] = WholeValue(new)
                    staging.touch(key)
                    return None
                else:
                    staged = staging.values[key] = StagedDocument(key, current, new, merge)
                staging.touch(key)
                return staged

    def covered(self, key: str) -> bool:
        """Whether the transaction has deleted what is stored at `key`."""
        return self.staging().covered(key)

    async def delete_range(self, key_range: KeyRange) -> None:
        staging = self.staging()
        with staging.lock:
            for key in [k for k in staging.values if k in key_range]:
                del staging.values[key]
                staging.versions.pop(key, None)
            staging.deleted.append(key_range)

    async def precious(self, prefix: str) -> str | None:
        return await self.base.precious(prefix)

    async def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        staging = self.staging()
        self._observe_listing(staging, key_range)
        with staging.lock:
            pending = sorted(k for k in staging.values if k in key_range)
        sizes = {}
        for key in pending:
            found = await self.read(key)
            if found.state == "value":
                sizes[key] = len(found.value)
        hidden = set(pending)
        async for entry in staging.frozen.list(key_range):
            if entry.key not in hidden and not staging.covered(entry.key):
                yield entry
        for key, size in sizes.items():
            yield ListEntry(key, size)

    async def list_directory(self, prefix: str) -> AsyncIterator[ListEntry]:
        staging = self.staging()
        self._observe_listing(staging, KeyRange.prefix(prefix))
        seen: set[str] = set()
        with staging.lock:
            pending = sorted(k for k in staging.values if k.startswith(prefix))
        for key in pending:
            name, slash, _ = key[len(prefix) :].partition("/")
            at = prefix + name + slash
            if at not in seen and (found := await self.read(key)).state == "value":
                seen.add(at)
                yield ListEntry(at, -1 if slash else len(found.value))
        hidden = seen.union(pending)
        async for entry in list_directory(staging.frozen, prefix):
            if entry.key not in hidden and await self._is_left(staging, entry.key):
                yield entry

    def _observe_listing(self, staging: Staging, key_range: KeyRange) -> None:
        if not self.transaction.repeatable_read:
            return
        with staging.lock:
            if key_range not in staging.listed:
                staging.listed.append(key_range)

    async def _is_left(self, staging: Staging, key: str) -> bool:
        """Whether a key, or of a directory anything, is not deleted by the transaction."""
        if not key.endswith("/"):
            return not staging.covered(key)
        below = KeyRange.prefix(key)
        with staging.lock:
            touched = any(_meet(below, each) for each in staging.deleted)
            touched = touched or any(k in below for k in staging.values)
        if not touched:
            return True
        async for _ in self.list(below):
            return True
        return False

    def spec_json(self, path: str) -> dict[str, Json]:
        return self.base.spec_json(path)

    def url(self, path: str) -> str:
        return self.base.url(path)

    @property
    def identity(self) -> object:
        return ("transaction", id(self.transaction), self.base.identity)


def _grouped(
    staged: Sequence[tuple[str, StagedValue]],
) -> Iterator[Sequence[tuple[str, StagedValue]]]:
    """Splits what is staged into what is worked out together."""
    start = size = 0
    for at, (_, each) in enumerate(staged):
        size += each.nbytes
        if size >= _TOGETHER_BYTES or at + 1 - start >= _TOGETHER:
            yield staged[start : at + 1]
            start, size = at + 1, 0
    if start < len(staged):
        yield staged[start:]


def _meet(one: KeyRange, other: KeyRange) -> bool:
    return (not other.exclusive_max or one.inclusive_min < other.exclusive_max) and (
        not one.exclusive_max or other.inclusive_min < one.exclusive_max
    )


def _answer(
    value: bytes | None, stamp: TimestampedStorageGeneration, options: ReadOptions
) -> ReadResult:
    """What a read with `options` says of a value in hand."""
    generation = stamp.generation
    if options.if_equal not in (UNKNOWN, generation) or (
        options.if_not_equal != UNKNOWN and options.if_not_equal == generation
    ):
        return ReadResult("unspecified", b"", stamp)
    if value is None:
        return ReadResult("missing", b"", stamp)
    byte_range: ByteRange = options.byte_range
    begin, end = byte_range.resolve(len(value))
    return ReadResult("value", value[begin:end], stamp)
