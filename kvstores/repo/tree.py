"""Reading trees of pages, without doing any I/O.

Each function is a generator. It yields the pages that it needs next, as a list of `PageRef`, and is
sent the decoded pages in that order. What a page says of its children holds for them, or `DataLoss`
is raised; so no damaged tree makes a reader go in circles.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from asynctensor.kvstores.repo import key_columns
from asynctensor.kvstores.repo.descent import (
    Node,
    Pages,
    checked,
    children,
    like,
    not_above,
    shares,
)
from asynctensor.kvstores.repo.difference import Difference, difference
from asynctensor.kvstores.repo.family import DOCUMENTS
from asynctensor.kvstores.repo.key_columns import KeyColumn
from asynctensor.kvstores.repo.neighbours import refs_at, rows_of
from asynctensor.kvstores.repo.page import Interior, Leaf, Page, PageRef
from asynctensor.kvstores.repo.run import Ref, Run
from asynctensor.kvstores.repo.run_layers import joined

__all__ = ["Difference", "Pages", "Steps", "difference", "find", "find_each", "find_many", "scan"]

Steps = Generator[list[PageRef] | Run, list[Page], None]

#: Pages that `scan` asks for at once; what it holds is this many a level.
AHEAD = 16


def find(root: PageRef | None, key: bytes) -> Pages[Ref | None]:
    """The reference of `key` in the tree at `root`; None if it has none."""
    if root is None:
        return None
    page = (yield [root])[0]
    while isinstance(page, Interior):
        at = not_above(page, key) - 1
        if at < 0:
            return None
        node = Node(page.child(at), page, at)
        page = checked((yield [node.ref])[0], node)
    at = page.entries.find(key)
    return page.entries.ref(at) if at >= 0 else None


def find_each(root: PageRef | None, keys: Sequence[bytes]) -> Pages[list[Ref | None]]:
    """`find` for each of some keys of one family, in any order; one yield a level."""
    found: list[Ref | None] = [None] * len(keys)
    wanted = [(Node(root), list(range(len(keys))))] if root is not None and keys else []
    while wanted:
        pages = yield [node.ref for node, _ in wanted]
        deeper: list[tuple[Node, list[int]]] = []
        for (node, some), page in zip(wanted, pages, strict=True):
            checked(page, node)
            if isinstance(page, Leaf):
                rows = rows_of(page.entries, [keys[i] for i in some])
                for i, row, ref in zip(some, rows, refs_at(page.entries, rows), strict=True):
                    found[i] = ref if row >= 0 else None
                continue
            shares: dict[int, list[int]] = {}
            for i in some:
                shares.setdefault(not_above(page, keys[i]) - 1, []).append(i)
            deeper += [
                (Node(page.child(at), page, at), mine) for at, mine in shares.items() if at >= 0
            ]
        wanted = deeper
    return found


def find_many(root: PageRef | None, keys: KeyColumn) -> Pages[Run]:
    """The references of those of `keys`, ascending, that have one; one yield a level."""
    found: list[Run] = []
    wanted = [(Node(root), keys)] if root is not None and len(keys) else []
    while wanted:
        pages = yield [node.ref for node, _ in wanted]
        deeper: list[tuple[Node, KeyColumn]] = []
        for (node, some), page in zip(wanted, pages, strict=True):
            checked(page, node)
            here = like(some, page)
            if isinstance(page, Leaf):
                rows = page.entries
                found.append(rows.take(key_columns.contained(rows.keys, here)))
            else:
                deeper += [
                    (Node(page.child(at), page, at), here[start:stop])
                    for at, start, stop in shares(page, here)
                ]
        wanted = deeper
    return joined(found) if found else Run(DOCUMENTS, keys[:0])


def scan(
    root: PageRef | None, first: bytes = b"", last: bytes | None = None, ahead: int = AHEAD
) -> Steps:
    """The entries with ``first <= key < last`` of the tree at `root`, ascending, in bounded memory.

    Of each level, `ahead` pages are asked for at once.

    Yields either pages that are needed, whose answer is sent, or a `Run` of entries; what is sent
    in answer to that is ignored.
    """
    if root is not None:
        yield from _scan([Node(root)], first, last, ahead)


def _scan(nodes: list[Node], first: bytes, last: bytes | None, ahead: int) -> Steps:
    for start in range(0, len(nodes), ahead):
        some = nodes[start : start + ahead]
        for node, page in zip(some, (yield [each.ref for each in some]), strict=True):
            checked(page, node)
            if isinstance(page, Leaf):
                rows = page.entries.part(*page.entries.between(first, last))
                if len(rows):
                    yield rows
            else:
                begin = max(not_above(page, first) - 1, 0)
                end = None if last is None else key_columns.position(page.entries.keys, last)
                yield from _scan(children(page, begin, end), first, last, ahead)
