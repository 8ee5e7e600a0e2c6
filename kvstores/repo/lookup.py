"""Where the value of a key is, at one snapshot: the tail, then the trees of its checkpoint. Pure.

Functions are generators that yield the pages they need and are sent them; see `tree`.
"""

from __future__ import annotations

from collections.abc import Sequence

from asynctensor.kvstores.repo.checkpoint import unpack_root
from asynctensor.kvstores.repo.family import Family
from asynctensor.kvstores.repo.located import located
from asynctensor.kvstores.repo.page import PageRef
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.kvstores.repo.tail import ELSEWHERE, Tail, Version
from asynctensor.kvstores.repo.tree import Pages, find

#: The version that wrote a value, and where it is.
Found = tuple[Version, Ref]


def lookup(tail: Tail, count: int, key: str) -> Pages[Found | None]:
    """What a snapshot that sees `count` commits of `tail` has at `key`; None: nothing."""
    space, inside, family = located(key)
    recent = tail.find(space, inside, key, count)
    if recent is not ELSEWHERE:
        version, ref = recent
        return None if ref is None else (version, ref)
    root = tail.roots.documents
    if family is not None:
        root = yield from family_root(tail, family)
    ref = yield from find(root, inside)
    return None if ref is None else (ref.version, ref)


def lookup_many(tail: Tail, count: int, keys: Sequence[str]) -> Pages[list[Found | None]]:
    """`lookup` of many keys; pages that several of them need are asked for once."""
    found: list[Found | None] = []
    for key in keys:
        one = yield from lookup(tail, count, key)
        found.append(one)
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
