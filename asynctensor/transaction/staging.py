"""What a transaction does to one store: worked out, and handed to whatever commits it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from asynctensor.errors import Aborted, FailedPrecondition, Unimplemented
from asynctensor.pipeline_url import shown_url
from asynctensor.runtime.workers import data_copy_pool
from asynctensor.storage.commit_domain import Commit, CommitDomain, Isolation
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import Buffer, KeyValueStore, ReadOptions
from asynctensor.storage.partial_value import Written
from asynctensor.storage.shared_transaction import SharedTransaction
from asynctensor.storage.stash import Stash, StoredValue
from asynctensor.transaction.ahead import Ahead
from asynctensor.transaction.participant import Participant
from asynctensor.transaction.staged_keys import StagedKeys
from asynctensor.transaction.staged_value import (
    Reliance,
    StagedDocument,
    StagedValue,
    StashedValue,
    WholeValue,
    changed_meanwhile,
)
from asynctensor.transaction.temporary_stash import TemporaryStash

#: Values that are read side by side at a commit.
_SIDE_BY_SIDE = 64
#: Values that are worked out together at a commit, and about how much memory they may take.
_TOGETHER = 4096
_TOGETHER_BYTES = 8 * 2**20
#: How often an isolated commit works one key out again because somebody else changed it.
_ATTEMPTS = 1000


class Staging(StagedKeys, Participant):
    """What one transaction staged in one store, and what it read there.

    Args:
        base: The store.
        isolation: What of that which was read is validated.
        atomic: Whether all of it is committed at once.
    """

    def __init__(
        self,
        base: KeyValueStore,
        isolation: Isolation = "serializable",
        *,
        atomic: bool = True,
    ) -> None:
        super().__init__(base)
        self._isolation = isolation
        self._atomic = atomic
        #: What was moved out of memory; and what the last commit was made with.
        self._moved: Stash | None = None
        #: What was moved otherwise than a commit can have it.
        self._scratch: Stash | None = None
        self._moved_for: SharedTransaction | None = None
        self._last: Stash | None = None
        #: Who is told that it is committed.
        self._told: list[Callable[[], object]] = []

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
            if any(isinstance(each, StashedValue) for each in self.values.values()):
                raise FailedPrecondition(
                    "too much was staged before the transaction was shared: share it first, and "
                    "write it then"
                )
            values = {
                key: staged.outcome
                for key, staged in self.values.items()
                if isinstance(staged, (StagedDocument, WholeValue))
            }
            return Commit(values=values, cleared=tuple(self.deleted))

    @property
    def description(self) -> str:
        with suppress(Unimplemented):
            return shown_url(self.base.url(""))
        with suppress(Unimplemented):
            # Some have no URL: a cloud at an endpoint of one's own.
            return json.dumps(self.base.spec_json(""), sort_keys=True)
        return self.base.driver

    def read(self) -> Commit:
        with self.lock:
            staged = dict(self.own())
            observed = self.observed
            if any(isinstance(each, StagedDocument) and each.followers for each in staged.values()):
                # What was appended may move, and with it what was read of it.
                observed = {key: stamp for key, stamp in observed.items() if key not in staged}
            return Commit(
                dict(observed),
                dict.fromkeys(staged),
                tuple(self.deleted[self.foreign_deletes :]),
                read=frozenset(observed),
                listed=tuple(self.listed),
            )

    async def prepare(self, shared: SharedTransaction | None = None) -> Commit:
        expected: dict[str, bytes] = {}
        values: dict[str, bytes | StoredValue | None] = dict(await self._settled(expected))
        stash = self._stash(shared)
        with self.lock:
            expected.update(self.observed)
            read = frozenset(self.observed)
            cleared, listed = tuple(self.deleted[self.foreign_deletes :]), tuple(self.listed)
            staged = [each for each in self.own() if not each[1].leads]
        stored = {key: value for key, each in staged if (value := each.stored(stash)) is not None}
        values |= stored
        staged = [each for each in staged if each[0] not in stored]
        written: dict[str, Written] = {}
        try:
            async with Ahead(stash, values) as ahead:
                for group in _grouped(staged):
                    await ahead.take(await self._worked_out(group, expected))
                    if shared is not None:
                        written.update(await data_copy_pool().run(_parts, group))
        except BaseException:
            if stash is not None and shared is None and not self.keeps(stash):
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
            written=written,
        )

    def _stash(self, shared: SharedTransaction | None) -> Stash | None:
        """What stores values ahead of a commit: the first has those that were moved there."""
        if self.commit_domain is None:
            return None
        first = self._last is None and self._moved_for == shared
        first = first and not isinstance(self._moved, TemporaryStash)
        stash = self._moved if first else None
        self._last = self.commit_domain.stash(shared) if stash is None else stash
        return self._last

    def keeps(self, stash: Stash) -> bool:
        return stash is self._moved

    @property
    def moved(self) -> bool:
        return self._moved is not None

    def held(self) -> int:
        with self.lock:
            return sum([each.held for each in self.values.values()])

    async def move_out(self, shared: SharedTransaction | None) -> None:
        if self._moved is None or self._scratch is None:
            domain = self.commit_domain if self._atomic else None
            made = [None if domain is None else domain.stash(shared) for _ in range(2)]
            self._moved = made[0] or TemporaryStash()
            self._scratch = made[1] or TemporaryStash()
            self._moved_for = shared
        stash, scratch = self._moved, self._scratch
        with self.lock:
            staged = [(key, each) for key, each in self.own() if each.held]
        for group in _grouped(staged):
            kinds: dict[type[StagedValue], dict[str, StagedValue]] = {}
            for key, each in group:
                kinds.setdefault(type(each), {})[key] = each
            for kind, some in kinds.items():
                moved = await kind.moved_out(some, stash, scratch)
                with self.lock:
                    for key, value in moved.items():
                        # Unless somebody has staged something else there meanwhile.
                        if self.values.get(key) is some[key]:
                            self.values[key] = value

    async def erase(self, *, stored: bool = False) -> None:
        needed = stored and self._last is self._moved and self._last is not None
        stashes = None if needed else self._moved, self._scratch
        self._moved = self._scratch = None
        for stash in stashes:
            if stash is not None:
                await stash.discard()

    async def _settled(self, expected: dict[str, bytes]) -> dict[str, bytes | None]:
        """Works out what leads, and checks what is relied upon; notes what that rests on."""
        with self.lock:
            leading = {key: value for key, value in self.own() if value.leads}
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

    def when_committed(self, call: Callable[[], object]) -> None:
        """Has somebody told when all that was staged has been written; see `committed`."""
        with self.lock:
            self._told.append(call)

    def committed(self) -> None:
        for staged in list(self.values.values()):
            staged.committed()
        for call in self._told:
            call()

    def discard(self) -> None:
        with self.lock:
            self.values.clear()
            self.deleted.clear()
            self.observed.clear()
            self.listed.clear()
            self.seen.clear()
            self.relied.clear()
            self._told.clear()

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


def _parts(group: Sequence[tuple[str, StagedValue]]) -> dict[str, Written]:
    """The keys of which a part was written, and which."""
    parts = ((key, staged.written()) for key, staged in group)
    return {key: written for key, written in parts if written is not None}


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
