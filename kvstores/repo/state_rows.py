"""What a state holds in a range of keys, in columns."""

from __future__ import annotations

from collections.abc import AsyncIterator

from asynctensor.kvstores.repo.changes import Changes, changes_of
from asynctensor.kvstores.repo.family import DOCUMENTS, Family
from asynctensor.kvstores.repo.listing import families
from asynctensor.kvstores.repo.lookup import family_root
from asynctensor.kvstores.repo.run import Run
from asynctensor.kvstores.repo.run_layers import contained, without
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.tree import scan
from asynctensor.storage.key_range import KeyRange


async def state_rows(
    snapshot: Snapshot, key_range: KeyRange
) -> AsyncIterator[tuple[Family | None, Run]]:
    """The keys of a state in a range, with where their values are and which commit wrote them.

    In pieces of some thousand rows, none of them deleted: the documents (None), then families.

    Raises:
        DataLoss: The index is damaged.
        Error: The store failed.
    """
    if key_range.empty:
        return
    changes = await snapshot.pages.run(changes_of(snapshot.tail, snapshot.count))
    async for run in _rows(snapshot, changes, None, key_range):
        yield None, run
    async for family in families(snapshot, key_range):
        async for run in _rows(snapshot, changes, family, key_range):
            yield family, run


async def _rows(
    snapshot: Snapshot, changes: Changes, family: Family | None, key_range: KeyRange
) -> AsyncIterator[Run]:
    space = DOCUMENTS if family is None else family.id
    recent = changes.runs.get(space)
    if recent is None:
        recent = Run.of(space, ())
    first, last = bounds(key_range, family)
    near = recent.part(*recent.between(first, last))
    there = _inside(near.take(~near.deleted), key_range, family)
    if len(there):
        yield there
    root = snapshot.tail.roots.documents
    if family is not None:
        root = await snapshot.pages.run(family_root(snapshot.tail, family))
    async for run in snapshot.pages.stream(scan(root, first, last)):
        standing = without(_inside(run, key_range, family), changes.cleared, family)
        rows = standing.take(~contained(standing, near))
        if len(rows):
            yield rows


def bounds(key_range: KeyRange, family: Family | None) -> tuple[bytes, bytes | None]:
    """A range of a space that holds all of its keys whose spelling lies in `key_range`."""
    if family is not None:
        first, last = family.extent(key_range)
        return first, last + b"\0"
    end = key_range.exclusive_max.encode("utf-8", "surrogatepass")
    return key_range.inclusive_min.encode("utf-8", "surrogatepass"), end or None


def _inside(run: Run, key_range: KeyRange, family: Family | None) -> Run:
    if family is None:
        # The bounds of a space of strings are those of the range.
        return run
    if key_range.intersection(everything := KeyRange.prefix(family.prefix)) == everything:
        return run
    return run.take(~contained(run, without(run, [key_range], family)))
