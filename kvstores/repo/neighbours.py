"""Many keys of one family, found together in a run: soon where they are neighbours. Pure.

What counts is how long a worker holds the GIL: another worker, who waits for it meanwhile, is woken
late. Chunks that lie side by side along the last dimension are rows one behind the other; one such
row is looked for, and the others are sliced out of the columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.kvstores.repo.run import FIRST_OBJECT, Run


def rows_of(run: Run, keys: Sequence[bytes]) -> Sequence[int]:
    """The position of each key in a run of their family, or -1.

    Args:
        run: Where.
        keys: At least one; all have one length.
    """
    first = run.find(keys[0])
    last = first + len(keys)
    there = run.keys
    if first >= 0 and last <= len(run) and isinstance(there, np.ndarray):
        # Elements come without their trailing NULs.
        same = there[first:last].tolist() == [key.rstrip(b"\0") for key in keys]
        if same and there.dtype.itemsize == len(keys[0]):
            return range(first, last)
    return [first, *(run.find(key) for key in keys[1:])]


def refs_at(run: Run, rows: Sequence[int]) -> list[Ref | None]:
    """The references at these positions; None where a key is deleted, and for -1."""
    if not isinstance(rows, range):
        return [run.ref(row) if row >= 0 else None for row in rows]
    part = slice(rows.start, rows.stop)
    where = run.where[part].tolist()
    if min(where) < FIRST_OBJECT:
        return [run.ref(row) for row in rows]
    names = {each: objects.spelled(run.names[each - FIRST_OBJECT]) for each in set(where)}
    versions = zip(run.seqs[part].tolist(), run.places[part].tolist(), strict=True)
    columns = (run.offsets[part].tolist(), run.sizes[part].tolist(), run.crcs[part].tolist())
    return [
        Ref(names[each], offset, size, crc, None, version)
        for each, offset, size, crc, version in zip(where, *columns, versions, strict=True)
    ]
