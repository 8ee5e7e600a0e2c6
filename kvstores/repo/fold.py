"""The fold: a tree of pages with changes made to it, as new pages; it changes none that exist.

From the root down it goes to the pages that changes or cleared ranges touch. From the leaves up,
each touched page gets its new entries; pages with few are joined with a neighbour, pages with too
many are cut, and the pages so written are the entries of the level above. The same tree and changes
give the same pages, but for the names of the packs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from asynctensor.kvstores.repo.descent import Node, Pages, checked, children, like, shares
from asynctensor.kvstores.repo.family import CATALOG, Family
from asynctensor.kvstores.repo.pack import PagePacks
from asynctensor.kvstores.repo.page import Interior, Leaf, Page, PageRef
from asynctensor.kvstores.repo.page_writer import Limits, PageWriter, Siblings
from asynctensor.kvstores.repo.run import Run
from asynctensor.kvstores.repo.run_layers import contained, merged, without
from asynctensor.storage.key_range import KeyRange

__all__ = ["LIMITS", "Dead", "FoldedTree", "Limits", "PagePacks", "fold"]

LIMITS = Limits()


@dataclass(slots=True)
class Dead:
    """What a fold leaves behind: the old tree needs it, the new one does not.

    Attributes:
        pages: Pages that were replaced.
        trees: Pages that were dropped with all that is below them, which was not read.
        refs: References that were replaced or deleted, with the versions that wrote them.
    """

    pages: list[PageRef] = field(default_factory=list)
    trees: list[PageRef] = field(default_factory=list)
    refs: list[Run] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FoldedTree:
    """The result of a fold.

    Attributes:
        root: The new root; None if the tree is empty. The old one if nothing changed.
        dead: What only the old tree has.
    """

    root: PageRef | None
    dead: Dead


def fold(
    root: PageRef | None,
    changes: Run,
    cleared: Sequence[KeyRange],
    family: Family | None,
    packs: PagePacks,
    limits: Limits = LIMITS,
) -> Pages[FoldedTree]:
    """Applies `cleared`, then `changes`, to the tree at `root`.

    A generator as those of `tree`: it yields pages that it needs, and is sent them.

    Args:
        root: The old tree; None if it is empty.
        changes: References to set, with their versions, and keys to delete.
        cleared: Ranges of spelled keys to delete first; never from the tree of `CATALOG`.
        family: Whose tree it is; None for a space of strings.
        packs: Takes the new pages, and inline values that are too long for a page.
        limits: How large pages get.

    Raises:
        DataLoss: A page is not what its parent says.
    """
    writer = PageWriter(packs, limits)
    folding = _Fold(() if changes.space == CATALOG else cleared, family, writer)
    dead = folding.dead
    reach = folding.reach(None, None)
    if root is None or reach == _ALL:
        if root is not None:
            dead.trees.append(root)
        content: Page | PageRef | None = _leaf(writer.moved(changes))
    elif not len(changes) and reach == _NONE:
        return FoldedTree(root, dead)
    else:
        page = (yield [root])[0]
        top = _Touched(Node(root), writer.moved(changes), None, reach)
        yield from folding.prefetch(page, top)
        content = yield from folding.page(page, top, top=True)
    if content is None or isinstance(content, PageRef):
        return FoldedTree(content, dead)
    return FoldedTree(writer.rooted(content), dead)


#: How much of a page's keys cleared ranges take.
_NONE, _SOME, _ALL = 0, 1, 2


@dataclass(frozen=True, slots=True)
class _Touched:
    """A page that changes.

    Attributes:
        node: The page.
        changes: Those of its keys.
        high: None of its keys reaches this; None is no bound.
        reach: How much of it is cleared.
    """

    node: Node
    changes: Run
    high: bytes | None
    reach: int


@dataclass(slots=True)
class _Fold:
    """One fold: what is the same throughout, and what it collects."""

    cleared: Sequence[KeyRange]
    family: Family | None
    writer: PageWriter
    dead: Dead = field(default_factory=Dead)
    #: Pages that were asked for and not used yet.
    pages: dict[PageRef, Page] = field(default_factory=dict)

    def prefetch(self, page: Page, touched: _Touched) -> Pages[None]:
        """Asks for what changes below `page` level by level, as long as a level has few."""
        level: list[tuple[Page, _Touched]] = [(page, touched)]
        while True:
            below = [
                each
                for parent, above in level
                if isinstance(parent, Interior)
                for each in self.touched(parent, above)
                if each.reach != _ALL
            ]
            if not below or len(below) > self.writer.limits.ahead:
                return
            yield from self._load(below)
            level = [(self.pages[each.node.ref], each) for each in below]

    def page(
        self, page: Page, touched: _Touched, *, top: bool = False
    ) -> Pages[Page | PageRef | None]:
        """The new entries of `page`, not written; its own reference if they are the old ones.

        At the top, a page with one child gives way to it.
        """
        if isinstance(page, Leaf):
            return self.leaf(page, touched)
        siblings = Siblings(self.writer, self.dead.pages)
        done, same = 0, True
        some = self.touched(page, touched)
        ahead = self.writer.limits.ahead
        for begin in range(0, len(some), ahead):
            batch = some[begin : begin + ahead]
            yield from self._load([each for each in batch if each.reach != _ALL])
            for each in batch:
                new = yield from self.child(each, page.level - 1)
                if isinstance(new, PageRef):
                    continue
                same = False
                yield from siblings.old(children(page, done, each.node.at))
                done = each.node.at + 1
                if new is not None:
                    siblings.new(new)
        if same:
            return touched.node.ref
        self.dead.pages.append(touched.node.ref)
        yield from siblings.old(children(page, done))
        rows = yield from siblings.finish()
        if not isinstance(rows, list):
            return rows if top else self.writer.raised(rows, page.level)
        if top and len(rows) == 1:
            return rows[0][1]
        return Interior.of(page.level, page.entries.space, rows) if rows else None

    def child(self, touched: _Touched, level: int) -> Pages[Page | PageRef | None]:
        """What takes the place of a child, which is of `level`."""
        if touched.reach != _ALL:
            return (yield from self.page(self.pages.pop(touched.node.ref), touched))
        self.dead.trees.append(touched.node.ref)
        fresh = _leaf(touched.changes)
        return self.writer.raised(fresh, level) if fresh is not None else None

    def leaf(self, page: Leaf, touched: _Touched) -> Page | PageRef | None:
        """What takes the place of a leaf."""
        entries, changes = page.entries, touched.changes
        kept = without(entries, self.cleared, self.family) if touched.reach else entries
        if len(changes):
            like(changes.keys, page)
        replaced = contained(kept, changes)
        if len(kept) == len(entries) and not replaced.any() and changes.deleted.all():
            return touched.node.ref
        self.dead.pages.append(touched.node.ref)
        if len(kept) < len(entries):
            self.dead.refs.append(entries.take(~contained(entries, kept)))
        if replaced.any():
            self.dead.refs.append(kept.take(replaced))
        return _leaf(merged(changes, kept, keep_deleted=False))

    def touched(self, page: Interior, above: _Touched) -> list[_Touched]:
        """The children that change."""
        lows, changes = page.entries, above.changes
        parts: dict[int, tuple[int, int]] = {}
        if len(changes):
            keys = like(changes.keys, page)
            parts = {at: (start, stop) for at, start, stop in shares(page, keys)}
        clearing = bool(self.cleared) and above.reach == _SOME
        result = []
        indices: Iterable[int] = range(len(page)) if clearing else parts
        for at in indices:
            high = lows.key(at + 1) if at + 1 < len(lows) else above.high
            reach = self.reach(lows.key(at), high) if clearing else _NONE
            if at in parts or reach != _NONE:
                share = changes.part(*parts.get(at, (0, 0)))
                result.append(_Touched(Node(page.child(at), page, at), share, high, reach))
        return result

    def reach(self, low: bytes | None, high: bytes | None) -> int:
        """How much of the keys from `low` up to `high` is cleared; None is no bound."""
        if not self.cleared:
            return _NONE
        near = [each for each in self.cleared if self._is_near(each, low, high)]
        around = self._around(low, high)
        overlaps = [each.intersection(around) for each in near]
        if all(each.empty for each in overlaps):
            return _NONE
        return _ALL if around in overlaps else _SOME

    def _is_near(self, cleared: KeyRange, low: bytes | None, high: bytes | None) -> bool:
        """Whether keys from `low` up to `high` can lie in `cleared`, going by coordinates."""
        if self.family is None:
            return True
        first, last = self.family.extent(cleared)
        return first <= last and (low is None or low <= last) and (high is None or high > first)

    def _around(self, low: bytes | None, high: bytes | None) -> KeyRange:
        """A range of spelled keys that holds all those from `low` up to `high`."""
        if self.family is None:
            return KeyRange(low.decode() if low else "", high.decode() if high else "")
        first = bytes(self.family.width) if low is None else low
        return self.family.around(first, b"\xff" * self.family.width if high is None else high)

    def _load(self, touched: Sequence[_Touched]) -> Pages[None]:
        missing = [each.node for each in touched if each.node.ref not in self.pages]
        if missing:
            pages = yield [node.ref for node in missing]
            for node, page in zip(missing, pages, strict=True):
                self.pages[node.ref] = checked(page, node)


def _leaf(entries: Run) -> Leaf | None:
    kept = entries.take(~entries.deleted) if entries.deleted.any() else entries
    return Leaf(kept) if len(kept) else None
