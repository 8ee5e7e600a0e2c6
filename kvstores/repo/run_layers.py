"""Runs of one space put together, laid over each other, and cut down. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from asynctensor.kvstores.repo import key_columns
from asynctensor.kvstores.repo.family import CATALOG, Family, Keys
from asynctensor.kvstores.repo.run import FIRST_OBJECT, Run
from asynctensor.storage.key_range import KeyRange


def joined(runs: Sequence[Run]) -> Run:
    """The rows of all `runs` of one space, one run behind the other; at least one."""
    if len(runs) == 1:
        return runs[0]
    names: dict[bytes, int] = {}
    where, offsets, shift = [], [], 0
    for run in runs:
        numbers = np.array(
            [0, 1, *(FIRST_OBJECT + names.setdefault(n, len(names)) for n in run.names)]
        )
        where.append(numbers.astype(np.uint32)[run.where])
        offsets.append(run.offsets + np.where(run.inlined, np.uint64(shift), np.uint64(0)))
        shift += len(run.inline)
    keys: list[bytes] | Keys
    if isinstance(runs[0].keys, list):
        keys = [key for run in runs for key in run.keys]
    else:
        keys = np.concatenate([cast("Keys", run.keys) for run in runs])
    return Run(
        runs[0].space,
        keys,
        tuple(names),
        np.concatenate(where),
        np.concatenate(offsets),
        np.concatenate([run.sizes for run in runs]),
        np.concatenate([run.crcs for run in runs]),
        np.concatenate([run.seqs for run in runs]),
        np.concatenate([run.places for run in runs]),
        b"".join([run.inline for run in runs]),
    )


def merged(newer: Run, older: Run, *, keep_deleted: bool) -> Run:
    """Both runs, of one space; where both have a key, the row of `newer`.

    Args:
        newer: Wins.
        older: Loses.
        keep_deleted: Whether rows that delete stay in the result.
    """
    if not len(newer):
        both = older
    elif not len(older):
        both = newer
    else:
        rest = older.take(~contained(older, newer))
        both = joined([newer, rest]) if len(rest) else newer
        if len(rest):
            both = both.take(key_columns.order(both.keys))
    if keep_deleted or not both.deleted.any():
        return both
    return both.take(~both.deleted)


def contained(run: Run, other: Run) -> NDArray[np.bool_]:
    """Which keys of `run` are keys of `other` too."""
    return key_columns.contained(run.keys, other.keys)


def without(run: Run, cleared: Sequence[KeyRange], family: Family | None) -> Run:
    """The rows of `run` whose keys, as the store spells them, lie in none of `cleared`.

    Args:
        run: Of a space of strings, or of `family`.
        cleared: Ranges of spelled keys.
        family: Whose space it is; None for `DOCUMENTS`. `CATALOG` is never cleared.
    """
    if not cleared or not len(run) or run.space == CATALOG:
        return run
    if family is None:
        return _without_strings(run, cleared)
    everything = KeyRange.prefix(family.prefix)
    touching = [each for each in cleared if not each.intersection(everything).empty]
    if not touching:
        return run
    spelled = family.spell_many(cast("Keys", run.keys))
    keep = [not any(key in each for each in touching) for key in spelled]
    return run.take(np.array(keep, dtype=np.bool_))


def _without_strings(run: Run, cleared: Sequence[KeyRange]) -> Run:
    keep = np.ones(len(run), dtype=np.bool_)
    for each in cleared:
        last = each.exclusive_max.encode() if each.exclusive_max else None
        start, stop = run.between(each.inclusive_min.encode(), last)
        keep[start:stop] = False
    return run if keep.all() else run.take(keep)
