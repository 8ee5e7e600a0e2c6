"""What differs between two trees: pages that both share are not read."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from asynctensor.errors import DataLoss
from asynctensor.kvstores.repo import key_columns
from asynctensor.kvstores.repo.descent import Node, Pages, checked, children
from asynctensor.kvstores.repo.page import Interior, Leaf, Page, PageRef
from asynctensor.kvstores.repo.run import Run
from asynctensor.kvstores.repo.run_layers import contained, joined

#: Leaves of each side that are read at once.
AHEAD = 16
#: The level of a root before it is read: opened before all others.
_UNKNOWN = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """Keys whose references differ.

    Attributes:
        one, other: The references of the same keys in either tree; deleted where there is none.
    """

    one: Run
    other: Run


Steps = Generator[list[PageRef] | Difference, list[Page], None]


def difference(one: PageRef | None, other: PageRef | None) -> Steps:
    """What differs between two trees of one space, ascending; what they share is not read.

    A key is the same in both if its value has the same checksum and size, and the same version or
    the same place.

    Yields either pages that are needed, whose answer is sent, or a `Difference`; what is sent in
    answer to that is ignored.
    """
    roots = [[Node(root)] if root is not None else [] for root in (one, other)]
    leaves = yield from _differing_leaves(roots)
    yield from _compared(*leaves)


def _differing_leaves(sides: list[list[Node]]) -> Pages[list[list[Node]]]:
    """The leaves of either side that the other has not."""
    while True:
        shared = {node.ref for node in sides[0]} & {node.ref for node in sides[1]}
        if shared:
            sides = [[node for node in side if node.ref not in shared] for side in sides]
        level = max((_level(node) for side in sides for node in side), default=0)
        if level == 0:
            return sides
        opened = [node for side in sides for node in side if _level(node) == level]
        pages = yield [node.ref for node in opened]
        loaded = iter(pages)
        sides = [list(_opened(side, level, loaded)) for side in sides]


def _level(node: Node) -> int:
    return node.parent.level - 1 if node.parent is not None else _UNKNOWN


def _opened(nodes: list[Node], level: int, loaded: Iterator[Page]) -> Iterator[Node]:
    for node in nodes:
        if _level(node) != level:
            yield node
            continue
        page = checked(next(loaded), node)
        if isinstance(page, Interior):
            yield from children(page)
        else:
            # A root that is a leaf: a parent of its own says so.
            entries = page.entries
            yield Node(node.ref, Interior.of(1, entries.space, [(entries.key(0), node.ref)]))


def _compared(one: list[Node], other: list[Node]) -> Steps:
    """Walks both lists of leaves in step, holding a few pages of each."""
    queues = [_Queue(one), _Queue(other)]
    while True:
        needed = [queue.next_leaves() for queue in queues]
        if any(needed):
            pages = yield [node.ref for some in needed for node in some]
            queues[0].fill(needed[0], pages[: len(needed[0])])
            queues[1].fill(needed[1], pages[len(needed[0]) :])
        # Up to where both sides are known.
        ends = [queue.last for queue in queues if queue.more]
        bound = min(ends) if ends else None
        found = compared(queues[0].up_to(bound), queues[1].up_to(bound))
        if found is not None:
            yield found
        if bound is None:
            return


class _Queue:
    """The leaves of one side that are still to be read, and the entries still to be compared."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._next = 0
        self._rows: Run | None = None

    @property
    def more(self) -> bool:
        """Whether leaves are unread."""
        return self._next < len(self._nodes)

    @property
    def last(self) -> bytes:
        """The last key that was read; those of unread leaves are above it."""
        assert self._rows is not None
        return self._rows.key(len(self._rows) - 1)

    def next_leaves(self) -> list[Node]:
        """The leaves to read now: some if no entries are left."""
        if self._rows is not None and len(self._rows):
            return []
        some = self._nodes[self._next : self._next + AHEAD]
        self._next += len(some)
        return some

    def fill(self, nodes: list[Node], pages: Sequence[Page]) -> None:
        """Takes the entries of the leaves that `next_leaves` gave."""
        if not nodes:
            return
        leaves = [checked(page, node) for node, page in zip(nodes, pages, strict=True)]
        self._rows = joined([leaf.entries for leaf in leaves if isinstance(leaf, Leaf)])
        if not key_columns.ascending(self._rows.keys):
            raise DataLoss("the leaves of a tree do not ascend", key=nodes[0].ref.object)

    def up_to(self, bound: bytes | None) -> Run | None:
        """Removes and returns the entries up to, and with, `bound`; None is all."""
        rows = self._rows
        if rows is None:
            return None
        cut = len(rows) if bound is None else rows.between(b"", bound + b"\0")[1]
        self._rows = rows.part(cut, len(rows))
        return rows.part(0, cut)


def compared(one: Run | None, other: Run | None) -> Difference | None:
    """What differs between two runs of one space, ascending; None if nothing does."""
    if one is None or not len(one) or other is None or not len(other):
        there = one if one is not None and len(one) else other
        if there is None or not len(there):
            return None
        gone = _deleted(there)
        return Difference(there, gone) if there is one else Difference(gone, there)
    in_both, in_one = contained(one, other), contained(other, one)
    left, right = one.take(~in_both), other.take(~in_one)
    mine, theirs = one.take(in_both), other.take(in_one)
    changed = ~_same(mine, theirs)
    rows = joined([mine.take(changed), left, _deleted(right)])
    if not len(rows):
        return None
    others = joined([theirs.take(changed), _deleted(left), right])
    order = key_columns.order(rows.keys)
    return Difference(rows.take(order), others.take(order))


def _deleted(run: Run) -> Run:
    """The keys of `run`, each deleted."""
    zeros, none = np.zeros(len(run), np.uint64), np.zeros(len(run), np.uint32)
    return Run(run.space, run.keys, (), none, zeros, zeros, none, zeros, zeros)


def _same(one: Run, other: Run) -> NDArray[np.bool_]:
    """Which rows of two runs with the same keys stand for the same value."""
    same = (one.crcs == other.crcs) & (one.sizes == other.sizes)
    version = (one.seqs == other.seqs) & (one.places == other.places)
    numbers = {name: number for number, name in enumerate({*one.names, *other.names})}
    objects = [
        np.array([-2, -1, *(numbers[name] for name in run.names)])[run.where]
        for run in (one, other)
    ]
    place = one.inlined | (one.offsets == other.offsets)
    return cast("NDArray[np.bool_]", same & (version | ((objects[0] == objects[1]) & place)))
