"""A store as one transaction sees it: what is stored, and over it what the transaction staged.

An adapter over any store. Writes and deletes are kept in memory; reads, conditions and listings
see them. At the commit each staged key is worked out against what is stored then: a staged value
may be *all* of the new value, or a change to whatever is there (part of a chunk), so that two
transactions that write different parts of one value do not disturb each other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import replace

from asynctensor.errors import Aborted
from asynctensor.storage.byte_range import ByteRange
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
from asynctensor.transaction.staged_history import StagedHistory
from asynctensor.transaction.staged_value import Merge, Reliance, StagedDocument, WholeValue
from asynctensor.transaction.staging import Staging
from asynctensor.transaction.transaction import Transaction


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
            key,
            lambda: Staging(self.base, self.transaction.isolation, atomic=self.transaction.atomic),
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
                self.transaction.holds(data.held)
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

    def observe(self, key: str, generation: bytes) -> None:
        """Has the commit rest on what is stored at `key`, as a read of it does.

        Raises:
            Aborted: It was read before, and was another one.
        """
        self._observe(self.staging(), key, generation)

    def observe_listing(self, key_range: KeyRange) -> None:
        """Has the commit rest on which keys of a range are stored, as a listing does."""
        self._observe_listing(self.staging(), key_range)

    def staged_names(self, prefix: str, names: Collection[str]) -> dict[str, set[str]]:
        """Which of some names are staged below a prefix, by the directory that they are in."""
        staging = self.staging()
        with staging.lock:
            keys = [key for key in staging.values if key.startswith(prefix)]
        found: dict[str, set[str]] = {}
        for key in keys:
            name = key.rpartition("/")[2]
            if name in names:
                found.setdefault(key[: len(key) - len(name)], set()).add(name)
        return found

    @property
    def history(self) -> StagedHistory | None:
        """See `KeyValueStore.history`: of the state that the transaction reads."""
        history = self.staging().frozen.history
        return None if history is None else StagedHistory(history, self)

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
