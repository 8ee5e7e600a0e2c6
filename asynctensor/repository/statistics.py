"""What `Repository.statistics` counts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from asynctensor.hierarchy.walk import look_at
from asynctensor.kvstores.repo.description import MAIN
from asynctensor.kvstores.repo.named_state import named_state
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.state_rows import state_rows
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.registry import node_formats
from asynctensor.repository.node_pairs import shown
from asynctensor.storage.key_range import KeyRange


@dataclass(frozen=True, slots=True)
class StoredObjects:
    """Objects of one kind in the base store.

    Attributes:
        count: How many there are.
        size: Their bytes; those of objects whose size the store does not list are not in it.
    """

    count: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class RepositoryStatistics:
    """How much a repository holds.

    Attributes:
        branches: How many branches there are.
        tags: How many tags there are.
        records: Objects of the logs; one may hold many commits.
        arrays: Arrays in the newest state of the branch that was asked for.
        groups: Groups in it.
        values: Keys in it, metadata among them.
        value_bytes: Bytes of their values.
        stored: Objects of the base store, for all states of all branches, by the first part of
            their names: ``"log"``, ``"data"``, ``"idx"`` (pages of the index), ``"ckpt"`` ...
        requests: Requests that this process made for it so far, by kind; what a local store does
            on the threads that need it is none.
    """

    branches: int
    tags: int
    records: int
    arrays: int
    groups: int
    values: int
    value_bytes: int
    stored: Mapping[str, StoredObjects]
    requests: Mapping[str, int]

    @property
    def stored_bytes(self) -> int:
        """Bytes in the base store."""
        return sum(each.size for each in self.stored.values())


async def statistics_of(state: RepositoryState, source: str) -> RepositoryStatistics:
    """See `Repository.statistics`."""
    place = state.place
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    async for entry in place.names(""):
        kind = entry.key.partition("/")[0]
        counts[kind] += 1
        sizes[kind] += max(entry.size, 0)
    snapshot = (await named_state(state, source)).snapshot
    found: Counter[str] = Counter()
    names = {name for fmt in node_formats() for name in fmt.documents}
    store = RepositoryStore(state, shown(snapshot))
    directory: str | None = None
    async for family, run in state_rows(snapshot, KeyRange()):
        found["values"] += len(run)
        found["bytes"] += int(run.sizes.sum())
        for at in range(len(run)) if family is None else ():
            folder, slash, name = run.key(at).decode("utf-8", "surrogatepass").rpartition("/")
            if name in names and folder != directory:
                directory = folder
                found[await _kind(store, folder + slash)] += 1
    names_of = await asyncio.gather(state.refs.names("b"), state.refs.names("t"))
    branches = {name for name, _ in names_of[0]} | {MAIN}
    return RepositoryStatistics(
        branches=len(branches),
        tags=len(names_of[1]),
        records=counts["log"],
        arrays=found["array"],
        groups=found["group"],
        values=found["values"],
        value_bytes=found["bytes"],
        stored={kind: StoredObjects(counts[kind], sizes[kind]) for kind in sorted(counts)},
        requests=dict(place.requests),
    )


async def _kind(store: RepositoryStore, prefix: str) -> str:
    """What is at a prefix that has documents of a node."""
    for each in await look_at(store, prefix, node_formats()):
        if each.node is not None:
            return each.node.kind
    return "nothing"
