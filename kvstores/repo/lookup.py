"""Where the value of a key is, at one snapshot: the tail, then the trees of its checkpoint. Pure.

Functions are generators that yield the pages they need and are sent them; see `tree`.
"""

from __future__ import annotations

from collections.abc import Sequence

from asynctensor.kvstores.repo.checkpoint import unpack_root
from asynctensor.kvstores.repo.family import Family
from asynctensor.kvstores.repo.located import located, of_one_family
from asynctensor.kvstores.repo.page import PageRef
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.kvstores.repo.tail import ELSEWHERE, Elsewhere, Tail, Version
from asynctensor.kvstores.repo.tree import Pages, find, find_each

#: The version that wrote a value, and where it is.
Found = tuple[Version, Ref]

#: Parts that are read side by side where all are needed.
_PARTS_AHEAD = 8


def lookup(tail: Tail, count: int, key: str) -> Pages[Found | None]:
    """What a snapshot that sees `count` commits of `tail` has at `key`; None: nothing."""
    space, inside, family = located(key)
    newest = yield from recent(tail, space, inside, key, count)
    if newest is not ELSEWHERE:
        version, ref = newest
        return None if ref is None else (version, ref)
    root = tail.roots.documents
    if family is not None:
        root = yield from family_root(tail, family)
    ref = yield from find(root, inside)
    return None if ref is None else (ref.version, ref)


def stands_in_log(tail: Tail, found: Found) -> bool:
    """Whether a value lies beside the pages of the checkpoint that a tail begins with.

    The record that wrote it has it inline; a value that a revert took from there, it has not.
    """
    version, ref = found
    return ref.object.startswith("idx/") and version <= tail.base


def recent(
    tail: Tail, space: bytes, key: bytes, spelled: str, count: int
) -> Pages[tuple[Version, Ref | None] | Elsewhere]:
    """What the newest of the first `count` commits of a tail that touched a key left there.

    As `Tail.find`, parts included: those that may have the key are read, the newest first.
    """
    place, ref = tail.find_place(space, key, spelled, count)
    # The parts of a commit are applied behind the ranges that it clears.
    for other, pages in tail.parts_with(space, key, count, max(place, 0)):
        for page in (yield [*pages]):
            at = page.entries.find(key)
            if at >= 0:
                return tail.version(other), page.entries.ref(at)
    return ELSEWHERE if place < 0 else (tail.version(place), ref)


def touched(tail: Tail, space: bytes, count: int) -> Pages[set[bytes]]:
    """The keys of a space that the first `count` commits wrote or deleted one by one."""
    found = tail.touched(space, count)
    parts = tail.parts(space, count)
    for start in range(0, len(parts), _PARTS_AHEAD):
        for page in (yield [*parts[start : start + _PARTS_AHEAD]]):
            found.update(page.entries.key(i) for i in range(len(page)))
    return found


def lookup_many(tail: Tail, count: int, keys: Sequence[str]) -> Pages[list[Found | None]]:
    """`lookup` of many keys; pages that several of them need are asked for once."""
    some = of_one_family(keys)
    newest = None if some is None else tail.find_together(some[0].id, some[1], count)
    found: list[Found | None] = []
    if some is None or newest is None:
        for key in keys:
            one = yield from lookup(tail, count, key)
            found.append(one)
        return found
    family, inside = some
    left = [key for key, each in zip(inside, newest, strict=True) if each is ELSEWHERE]
    older: list[Ref | None] = []
    if left:
        root = yield from family_root(tail, family)
        older = yield from find_each(root, left)
    rest = iter(older)
    for each in newest:
        version, ref = (None, next(rest)) if each is ELSEWHERE else each
        found.append(None if ref is None else (ref.version if version is None else version, ref))
    return found


def family_root(tail: Tail, family: Family) -> Pages[PageRef | None]:
    """The root of a family's tree in the checkpoint; None if it has no entries there."""
    known = tail.family_roots
    if family.id in known:
        return known[family.id]
    ref = yield from find(tail.roots.catalog, family.key.encode())
    root = None if ref is None else unpack_root(ref.inline or b"", object=family.key)
    known[family.id] = root
    return root
