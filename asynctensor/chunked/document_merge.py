"""Three versions of one metadata document become one: what two sides changed apart is kept. Pure.

Of a document we know how it was when a transaction read it (*base*), what the transaction made of
it (*ours*), and what is stored at the commit (*theirs*). A member that one side alone changed is
as that side left it; one that both changed to the same is the same. Some members are looked into:
objects whose members mean something each by itself (attributes), and the sizes of dimensions. A
dimension that ours only appended to grows by as much from wherever theirs ends. The rest is a
conflict, which names the members.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asynctensor.chunked.member import dump_document, load_document

#: What a member is that is not there.
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class MergeRules:
    """How versions of a kind of document merge.

    Attributes:
        by_name: Members that are objects, merged member by member.
        by_axis: Members that are lists of one size for each dimension, merged dimension by
            dimension.
        meaning: Members that say what stored chunks mean, and their kind; None: all that are
            neither of the above.
        is_json: Whether it is a JSON object at all; else it is one whole.
    """

    by_name: frozenset[str] = frozenset()
    by_axis: frozenset[str] = frozenset()
    meaning: frozenset[str] | None = None
    is_json: bool = True


#: Documents of which nothing is known but their bytes.
OPAQUE: Final = MergeRules(is_json=False)
#: JSON objects whose members mean something each by itself.
MEMBERS: Final = MergeRules()


class MergeConflict(Exception):
    """Both sides changed the same.

    Attributes:
        members: What, as paths: ``shape[0]``, ``attributes["x"]``; empty: the whole document.
    """

    def __init__(self, members: Iterable[str]) -> None:
        self.members = tuple(members)
        super().__init__(", ".join(self.members) or "the document")


def merged(
    rules: MergeRules,
    base: bytes | None,
    ours: bytes | None,
    theirs: bytes | None,
    appended: Mapping[int, int] | None = None,
) -> bytes | None:
    """One version with the changes of both sides.

    Args:
        rules: How.
        base: What both began with; None: nothing.
        ours: What one side made of it; None: it deleted it.
        theirs: What the other side made of it.
        appended: Elements that ours appended to dimensions, and did nothing else to these.

    Raises:
        MergeConflict: Both sides changed the same.
        DataLoss: A document is damaged.
    """
    if theirs == base:
        return ours
    if ours == base or (ours == theirs and not appended):
        return theirs
    if not rules.is_json or ours is None or theirs is None:
        raise MergeConflict(())
    mine, other = _loaded(ours), _loaded(theirs)
    if base is None:
        if _same(mine, other):
            return theirs
        raise MergeConflict(differences(rules, mine, other))
    before = _loaded(base)
    for name in rules.by_axis if appended else ():
        before, mine = _moved(name, before, mine, other, appended or {})
    conflicts: list[str] = []
    result = _members(rules, before, mine, other, conflicts)
    if conflicts:
        raise MergeConflict(conflicts)
    return theirs if _same(result, other) else dump_document(result)


def differences(
    rules: MergeRules, one: Mapping[str, Any], other: Mapping[str, Any]
) -> tuple[str, ...]:
    """The paths at which two documents differ, as deep as `rules` look into them."""
    found: list[str] = []
    for name in [*one, *(n for n in other if n not in one)]:
        a, b = one.get(name, _ABSENT), other.get(name, _ABSENT)
        if _same(a, b):
            continue
        if name in rules.by_name and isinstance(a, dict) and isinstance(b, dict):
            found += [f'{name}["{k}"]' for k in _changed(a, b)]
        elif name in rules.by_axis and _sizes(a, b):
            found += [f"{name}[{i}]" for i in range(len(a)) if a[i] != b[i]]
        else:
            found.append(name)
    return tuple(found)


def meaning_changes(rules: MergeRules, one: bytes, other: bytes) -> tuple[str, ...]:
    """The members of two documents, whose chunks then do not mean the same, that differ."""
    if one == other:
        return ()
    if not rules.is_json:
        return ("the document",)
    a, b = _loaded(one), _loaded(other)
    names: Iterable[str] | None = rules.meaning
    if names is None:
        names = (a.keys() | b.keys()) - rules.by_name - rules.by_axis
    return tuple(n for n in sorted(names) if not _same(a.get(n, _ABSENT), b.get(n, _ABSENT)))


def _loaded(document: bytes) -> dict[str, Any]:
    value: dict[str, Any] = load_document(document).value
    return value


def _same(a: Any, b: Any) -> bool:
    """Whether two JSON values are the same: 1, 1.0 and true are three."""
    if a is _ABSENT or b is _ABSENT:
        return a is b
    return a is b or _text(a) == _text(b)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _changed(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    names = [*a, *(n for n in b if n not in a)]
    return [n for n in names if not _same(a.get(n, _ABSENT), b.get(n, _ABSENT))]


def _sizes(*values: Any) -> bool:
    """Whether all are lists of as many plain numbers."""
    if not all(isinstance(v, list) and all(type(n) is int for n in v) for v in values):
        return False
    return len({len(v) for v in values}) == 1


def _members(
    rules: MergeRules,
    base: Mapping[str, Any],
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    conflicts: list[str],
) -> dict[str, Any]:
    """The object merged member by member, in the order of `theirs`, then of `ours`."""
    result: dict[str, Any] = {}
    for name in [*theirs, *(n for n in ours if n not in theirs)]:
        b: Any
        o: Any
        t: Any
        b, o, t = (version.get(name, _ABSENT) for version in (base, ours, theirs))
        if name in rules.by_name and not (_same(o, b) or _same(t, b)):
            b, o, t = ({} if value is _ABSENT else value for value in (b, o, t))
            if all(isinstance(value, dict) for value in (b, o, t)):
                inner: list[str] = []
                result[name] = _members(MEMBERS, b, o, t, inner)
                conflicts += [f'{name}["{each}"]' for each in inner]
                continue
        if name in rules.by_axis and _sizes(b, o, t):
            result[name] = _axes(name, b, o, t, conflicts)
            continue
        value = _one(b, o, t)
        if value is None:
            conflicts.append(name)
        elif value[0] is not _ABSENT:
            result[name] = value[0]
    return result


def _one(base: Any, ours: Any, theirs: Any) -> tuple[Any] | None:
    """The value of a member that is one whole, boxed; None: both changed it."""
    if _same(ours, base) or _same(ours, theirs):
        return (theirs,)
    return (ours,) if _same(theirs, base) else None


def _axes(
    name: str, base: list[int], ours: list[int], theirs: list[int], conflicts: list[str]
) -> list[int]:
    sizes = []
    for dim, (b, o, t) in enumerate(zip(base, ours, theirs, strict=True)):
        if o not in (b, t) and t != b:
            conflicts.append(f"{name}[{dim}]")
        sizes.append(t if o == b else o)
    return sizes


def _moved(
    name: str,
    base: dict[str, Any],
    ours: dict[str, Any],
    theirs: dict[str, Any],
    appended: Mapping[int, int],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """`base` and `ours` as if the appends had begun where `theirs` ends."""
    if not all(name in each for each in (base, ours, theirs)):
        return base, ours
    b, o, t = base[name], ours[name], theirs[name]
    if not _sizes(b, o, t):
        return base, ours
    b, o = list(b), list(o)
    for dim, count in appended.items():
        b[dim], o[dim] = t[dim], t[dim] + count
    return {**base, name: b}, {**ours, name: o}
