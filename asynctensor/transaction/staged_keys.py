"""What one transaction staged in one store, key by key, and what it read there."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import KeyValueStore, ReadResult
from asynctensor.transaction.staged_value import Reliance, StagedValue, WholeValue

#: What the versions of staged values begin with.
_STAGED = b"staged "


def is_staged(generation: bytes) -> bool:
    """Whether a generation is the version of something staged, not of something stored."""
    return generation.startswith(_STAGED)


class StagedKeys:
    """The keys of one store as one transaction sees them. Thread-safe with `lock`.

    Args:
        base: The store.
    """

    def __init__(self, base: KeyValueStore) -> None:
        self.base = base
        #: The base as it was when the transaction began, where it keeps older states.
        self.frozen = base
        #: What values that are changed in part are worked out against.
        self.current = base
        self.mark: object = None
        #: Staged by whoever shared the transaction, and not ours to commit.
        self._foreign: dict[str, StagedValue] = {}
        self.foreign_deletes = 0
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

    def own(self) -> list[tuple[str, StagedValue]]:
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
            self.foreign_deletes = len(self.deleted) if foreign else 0
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

    def stage(self, key: str, value: StagedValue) -> bytes:
        """Stages a change to the value of `key`; returns its version."""
        with self.lock:
            self.values[key] = value
            return self.touch(key)

    def stage_each(
        self, keys: Sequence[str], staged: Callable[[int, StagedValue | None], StagedValue]
    ) -> None:
        """`stage` for several keys: `staged` is given their places, and what is staged there."""
        with self.lock:
            for place, key in enumerate(keys):
                self.values[key] = staged(place, self.values.get(key))
                self.touch(key)

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
