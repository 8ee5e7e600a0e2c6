"""What the index of a repository says of many values: which is the newest, what some names hold."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from asynctensor.errors import DataLoss
from asynctensor.kvstores.repo.damage import damaged
from asynctensor.kvstores.repo.family import Family
from asynctensor.kvstores.repo.listing import documents
from asynctensor.kvstores.repo.lookup import Found
from asynctensor.kvstores.repo.record import CommitEntry
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.kvstores.repo.run import Run
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.snapshot_id import snapshot_id
from asynctensor.kvstores.repo.source import Source
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.state_rows import state_rows
from asynctensor.kvstores.repo.tail import Version
from asynctensor.kvstores.repo.together import read_together
from asynctensor.runtime.workers import shared_pool
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.value_history import (
    NamedValue,
    ValueChange,
    ValueHistory,
    nearness,
)

#: Directories whose values are read together.
_TOGETHER = 1024

_Newest = tuple[int, tuple[Version, str] | None]


class RepositoryHistory(ValueHistory):
    """The history of what one state of a repository holds: the index has it, with each value.

    Args:
        state: The repository.
        source: The state.
    """

    def __init__(self, state: RepositoryState, source: Source) -> None:
        self._state, self._source = state, source

    async def newest(
        self, keys: KeyRange | Sequence[str], accepts: Callable[[str], bool] | None = None
    ) -> tuple[int, ValueChange | None]:
        """See `ValueHistory.newest`; but for the commit itself, only the index is read."""
        snapshot = await self._source.snapshot()
        if isinstance(keys, KeyRange):
            count, found = await snapshot.mended(
                lambda state: self._newest_in(state, keys, accepts)
            )
        else:
            places = await snapshot.find_many(keys)
            there = [(at[0], key) for at, key in zip(places, keys, strict=True) if at is not None]
            count, found = len(there), max(there, default=None)
        if found is None:
            return count, None
        return count, await self._change(snapshot, *found)

    async def newest_of_part(
        self, key: str, part: Callable[[bytes | None], object]
    ) -> tuple[int, ValueChange | None]:
        """See `ValueHistory.newest_of_part`: states in which the value is another one are read."""
        snapshot = await self._source.snapshot()
        lineage = await self._state.lineage_of(snapshot.branch)
        found = await snapshot.find(key)
        if found is None:
            return 0, None
        current, count = part(await self._value(key, found[1])), 1
        while True:
            version = found[0]
            state = await self._state.history.just_before(lineage, snapshot, version)
            older = None if state is None else await state.find(key)
            if older is None:
                made = part(None) != current
                return count, await self._change(snapshot, version, key) if made else None
            count += 1
            if part(await self._value(key, older[1])) != current:
                return count, await self._change(snapshot, version, key)
            assert state is not None
            snapshot, found = state, older

    async def _value(self, key: str, ref: Ref) -> bytes:
        (value,) = await read_together(self._state.place, [ref])
        if value is None:
            raise damaged(key, ref.object, "it is not there, or has another checksum")
        return value

    async def named(
        self, prefix: str, names: Collection[str]
    ) -> AsyncIterator[tuple[str, Mapping[str, NamedValue | None]]]:
        """See `ValueHistory.named`; values that lie near each other are read together."""
        places: dict[str, dict[str, Found]] = {}
        snapshot = await self._source.snapshot()
        async for key, found in documents(snapshot, KeyRange.prefix(prefix)):
            name = key.rpartition("/")[2]
            if name in names:
                places.setdefault(key[: len(key) - len(name)], {})[name] = found
        order = sorted(places, key=nearness)
        for start in range(0, len(order), _TOGETHER):
            some = order[start : start + _TOGETHER]
            refs = [ref for directory in some for _, ref in places[directory].values()]
            values = iter(await read_together(self._state.place, refs))
            for directory in some:
                yield directory, _with_generations(snapshot, places.pop(directory), values)

    async def _newest_in(
        self, snapshot: Snapshot, keys: KeyRange, accepts: Callable[[str], bool] | None
    ) -> _Newest:
        pool = shared_pool("data_copy", os.cpu_count() or 1)
        count, best = 0, None
        async for family, run in state_rows(snapshot, keys):
            here, found = await pool.run(_newest, family, run, accepts)
            count += here
            if found is not None and (best is None or found[0] > best[0]):
                best = found
        return count, best

    async def _change(self, snapshot: Snapshot, version: Version, key: str) -> ValueChange:
        lineage = await self._state.lineage_of(snapshot.branch)
        record = await self._state.history.slot(lineage, version[0])
        entry = record.entries[version[1]] if version[1] < len(record.entries) else None
        id_ = snapshot_id(lineage.at(version[0]).branch, version)
        if not isinstance(entry, CommitEntry):
            raise DataLoss(f"the index says that {id_} wrote it, which is no commit", key=key)
        return ValueChange(key, id_, record.time / 1e6, entry.author, entry.message)


def _with_generations(
    snapshot: Snapshot, places: Mapping[str, Found], values: Iterator[bytes | None]
) -> dict[str, NamedValue | None]:
    """The next values, which are those of some names."""
    found: dict[str, NamedValue | None] = {}
    for name, place in places.items():
        value = next(values)
        found[name] = None if value is None else NamedValue(value, snapshot.generation(place))
    return found


def _newest(family: Family | None, run: Run, accepts: Callable[[str], bool] | None) -> _Newest:
    """How many rows of a run are accepted, and the version and key of the newest."""
    if accepts is not None:
        run = run.take(np.array([accepts(key) for key in _spelled(family, run)], dtype=np.bool_))
    if not len(run):
        return 0, None
    last = np.flatnonzero(run.seqs == run.seqs.max())
    row = int(last[np.argmax(run.places[last])])
    (key,) = _spelled(family, run.part(row, row + 1))
    return len(run), ((int(run.seqs[row]), int(run.places[row])), key)


def _spelled(family: Family | None, run: Run) -> list[str]:
    if family is None:
        return [run.key(i).decode("utf-8", "surrogatepass") for i in range(len(run))]
    return family.spell_many(run.keys)  # type: ignore[arg-type]
