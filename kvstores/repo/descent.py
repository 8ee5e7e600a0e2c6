"""Going down a tree of pages: which child has which keys, and does it fit its parent."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Iterator, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple, TypeVar, cast

import numpy as np

from asynctensor.errors import DataLoss
from asynctensor.kvstores.repo import key_columns
from asynctensor.kvstores.repo.key_columns import KeyColumn
from asynctensor.kvstores.repo.page import Interior, Page, PageRef

T = TypeVar("T")
#: Yields pages that are needed, is sent them in that order, and returns a result.
Pages = Generator[list[PageRef], list[Page], T]


class Node(NamedTuple):
    """A page that is referred to: child `at` of `parent`, or a root."""

    ref: PageRef
    parent: Interior | None = None
    at: int = 0


def children(page: Interior, start: int = 0, stop: int | None = None) -> list[Node]:
    """The children of `page` from `start` up to `stop`."""
    end = len(page) if stop is None else stop
    return [Node(page.child(at), page, at) for at in range(start, end)]


def checked(page: Page, node: Node) -> Page:
    """`page`, which is what the parent of `node` says.

    Raises:
        DataLoss: It is not.
    """
    parent = node.parent
    if parent is None:
        return page
    mine, above, at = page.entries, parent.entries, node.at
    if (
        page.level != parent.level - 1
        or mine.space != above.space
        or mine.rank != above.rank
        or mine.key(0) < above.key(at)
        or (at + 1 < len(above) and mine.key(len(mine) - 1) >= above.key(at + 1))
    ):
        raise DataLoss(
            f"the page at {node.ref.offset}, of level {page.level} in the space "
            f"{mine.space.hex()!r}, does not fit its parent, of level {parent.level} in the space "
            f"{above.space.hex()!r}",
            key=node.ref.object,
        )
    return page


def shares(page: Interior, keys: KeyColumn) -> Iterator[tuple[int, int, int]]:
    """Which of `keys`, ascending, go to which child: (child, start, stop) where there are any."""
    lows = page.entries.keys
    if len(keys) < len(lows):
        # Few keys: look for each among the many children.
        owners = [max(count - 1, 0) for count in _owners(lows, keys)]
        start = 0
        for child, same in groupby(owners):
            stop = start + len(list(same))
            yield child, start, stop
            start = stop
        return
    if isinstance(lows, list) or isinstance(keys, list):
        cuts = [key_columns.position(keys, key_columns.at(lows, at)) for at in range(1, len(lows))]
    else:
        cuts = np.searchsorted(keys, lows[1:]).tolist()
    for child, (start, stop) in enumerate(pairwise([0, *cuts, len(keys)])):
        if start < stop:
            yield child, start, stop


def _owners(lows: KeyColumn, keys: KeyColumn) -> list[int]:
    if isinstance(lows, list):
        return [bisect_right(lows, key) for key in cast("list[bytes]", keys)]
    return cast("list[int]", np.searchsorted(lows, keys, side="right").tolist())


def like(keys: KeyColumn, page: Page) -> KeyColumn:
    """`keys` in the form that those of `page` have.

    Raises:
        DataLoss: They cannot be keys of that space.
    """
    there = page.entries.keys
    if isinstance(there, list):
        fits = isinstance(keys, list)
    elif isinstance(keys, list):
        fits = all(len(key) == there.dtype.itemsize for key in keys)
        keys = np.array(keys, dtype=there.dtype)
    else:
        fits = keys.dtype == there.dtype
    if not fits:
        raise DataLoss(f"keys of another length are looked for in {page.entries!r}")
    return keys


def not_above(page: Interior, key: bytes) -> int:
    """The number of children whose key is not above `key`."""
    lows = page.entries.keys
    if isinstance(lows, list):
        return bisect_right(lows, key)
    # A longer key is above the one that it begins with. (As in `key_columns.position`.)
    return bisect_right(cast("Sequence[bytes]", lows), key[: lows.dtype.itemsize].rstrip(b"\0"))
