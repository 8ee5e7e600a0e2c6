"""Conflicts told by array, with the ranges of chunks, and by whose commit. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from asynctensor.kvstores.repo.conflicts import Conflict
from asynctensor.kvstores.repo.family import Family, coordinates
from asynctensor.kvstores.repo.located import located
from asynctensor.kvstores.repo.record import CommitEntry
from asynctensor.kvstores.repo.snapshot_id import snapshot_id
from asynctensor.kvstores.repo.tail import Version
from asynctensor.storage.commit_conflict import Box, CommitConflict


def report(
    found: Sequence[Conflict], by: Mapping[Version, CommitEntry], branch: str
) -> tuple[CommitConflict, ...]:
    """The conflicts, those of one array and one commit together; in the order of `found`."""
    groups: dict[tuple[str, Version, bool], list[tuple[str, tuple[int, ...] | None]]] = {}
    for each in found:
        path, cell = (each.key, None) if each.listed else _place(each.key)
        groups.setdefault((path, each.by, each.listed), []).append((each.key, cell))
    read = {(each.key, each.by) for each in found if each.read}
    told = []
    for (path, version, listed), places in groups.items():
        entry = by[version]
        told.append(
            CommitConflict(
                path,
                () if listed else tuple(key for key, _ in places),
                boxes([cell for _, cell in places if cell is not None]),
                any((key, version) in read for key, _ in places),
                snapshot_id(branch, version),
                entry.message,
                entry.author,
            )
        )
    return tuple(told)


def _place(key: str) -> tuple[str, tuple[int, ...] | None]:
    """The array that a key is a chunk of, and its cell; or the key itself."""
    family = located(key)[2]
    if family is None:
        return key, None
    return _array(family), tuple(map(int, coordinates(family.parse_many([key]), family.rank)[0]))


def _array(family: Family) -> str:
    # In zarr v3, chunks are below a folder of their own.
    prefix = family.prefix
    return prefix[:-2] if prefix == "c/" or prefix.endswith("/c/") else prefix


def boxes(cells: Iterable[Sequence[int]]) -> tuple[Box, ...]:
    """Cells as fewer boxes: neighbours are joined, dimension by dimension, the last first."""
    found: set[Box] = {tuple((n, n + 1) for n in cell) for cell in cells}
    for dim in reversed(range(len(next(iter(found), ())))):
        joined: list[Box] = []
        for box in sorted(found, key=lambda box: (box[:dim], box[dim + 1 :], box[dim])):
            last = joined[-1] if joined else None
            same = last is not None and (last[:dim], last[dim + 1 :]) == (box[:dim], box[dim + 1 :])
            if last is not None and same and last[dim][1] == box[dim][0]:
                joined[-1] = (*last[:dim], (last[dim][0], box[dim][1]), *last[dim + 1 :])
            else:
                joined.append(box)
        found = set(joined)
    return tuple(sorted(found))
