"""What `Repository.diff` says: arrays, groups and other values that differ in two states."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from asynctensor.hierarchy.array_summary import ArraySummary
from asynctensor.index_space.domain import IndexDomain

ChangeKind: TypeAlias = Literal["created", "changed", "deleted"]

_SIGNS = {"created": "+", "changed": "~", "deleted": "-"}
#: Lines and regions that a text shows.
_SHOWN, _SHOWN_REGIONS = 40, 4


@dataclass(frozen=True, slots=True)
class ChunkCounts:
    """How many stored chunks (shards, where there are such) differ."""

    created: int = 0
    changed: int = 0
    deleted: int = 0

    def __add__(self, other: ChunkCounts) -> ChunkCounts:
        return ChunkCounts(
            self.created + other.created,
            self.changed + other.changed,
            self.deleted + other.deleted,
        )

    @property
    def total(self) -> int:
        """All of them."""
        return self.created + self.changed + self.deleted

    def __str__(self) -> str:
        counts = {kind: getattr(self, kind) for kind in _SIGNS}
        parts = [f"{count:,} {kind}" for kind, count in counts.items() if count]
        return f"chunks {', '.join(parts)}" if parts else ""


@dataclass(frozen=True, slots=True)
class ArrayChange:
    """An array that differs.

    Attributes:
        path: Where it is: that of its directory, without a ``/`` at the end.
        kind: Whether it was created, changed or deleted.
        driver: Its format.
        before: What its metadata said; None if it was not there.
        after: What its metadata says; None if it is not there.
        attributes_before: Its attributes; empty if it was not there.
        attributes_after: Its attributes; empty if it is not there.
        chunks: How many stored chunks differ. A chunk that was written again with the same bytes
            may count as changed.
        regions: Boxes of the array's index space that cover the chunks that differ, within its
            shape (the larger one, where that changed).
        exact: Whether the boxes cover nothing else. False where that would take very many.
    """

    path: str
    kind: ChangeKind
    driver: str
    before: ArraySummary | None = None
    after: ArraySummary | None = None
    attributes_before: Mapping[str, Any] = field(default_factory=dict)
    attributes_after: Mapping[str, Any] = field(default_factory=dict)
    chunks: ChunkCounts = ChunkCounts()
    regions: tuple[IndexDomain, ...] = ()
    exact: bool = True

    @property
    def resized(self) -> bool:
        """Whether its shape differs."""
        return bool(self.before and self.after and self.before.shape != self.after.shape)

    @property
    def members(self) -> tuple[str, ...]:
        """What of its metadata differs: names of `ArraySummary` fields, and ``"attributes"``."""
        one, other = self.before, self.after
        if one is None or other is None:
            return ()
        names = [
            name for name in ArraySummary.__slots__ if getattr(one, name) != getattr(other, name)
        ]
        if self.attributes_before != self.attributes_after:
            names.append("attributes")
        return tuple(names)

    def __str__(self) -> str:
        said = [*self._metadata(), str(self.chunks)]
        if self.regions:
            boxes = [_box(each) for each in self.regions[:_SHOWN_REGIONS]]
            more = len(self.regions) - len(boxes)
            boxes += [f"and {more} more"] if more else []
            said.append(f"{'in' if self.exact else 'within'} {' '.join(boxes)}")
        text = ", ".join(each for each in said if each)
        return f"{_SIGNS[self.kind]} array {self.path or '/'}" + (f": {text}" if text else "")

    def _metadata(self) -> Iterator[str]:
        there = self.after or self.before
        if self.kind != "changed":
            if there is not None:
                yield f"{there.dtype} {list(there.shape)}"
            return
        for name in self.members:
            if name == "attributes":
                yield name
            else:
                old, new = getattr(self.before, name), getattr(self.after, name)
                yield f"{name} {_plain(old)} -> {_plain(new)}"


@dataclass(frozen=True, slots=True)
class GroupChange:
    """A group that differs.

    Attributes:
        path: Where it is: that of its directory, without a ``/`` at the end.
        kind: Whether it was created, changed or deleted.
        driver: Its format.
        attributes_before: Its attributes; empty if it was not there.
        attributes_after: Its attributes; empty if it is not there.
    """

    path: str
    kind: ChangeKind
    driver: str
    attributes_before: Mapping[str, Any] = field(default_factory=dict)
    attributes_after: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{_SIGNS[self.kind]} group {self.path or '/'}"


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """A value that differs, and belongs to no array or group that is known.

    Attributes:
        key: Its key.
        kind: Whether it was created, changed or deleted.
    """

    key: str
    kind: ChangeKind

    def __str__(self) -> str:
        return f"{_SIGNS[self.kind]} {self.key}"


@dataclass(frozen=True, slots=True)
class ChunksChange:
    """Numbered keys that differ, and belong to no array that is known.

    Attributes:
        prefix: What their keys begin with.
        separator: What is between the numbers.
        chunks: How many differ.
        regions: Boxes of numbers that cover them.
        exact: Whether the boxes cover nothing else.
    """

    prefix: str
    separator: str
    chunks: ChunkCounts
    regions: tuple[IndexDomain, ...] = ()
    exact: bool = True

    def __str__(self) -> str:
        return f"~ {self.prefix}*: {self.chunks}"


Change: TypeAlias = ArrayChange | GroupChange | DocumentChange | ChunksChange


class Diff:
    """All that differs in two states.

    Attributes:
        base: The id of the commit that the first state is after; empty for the state before all.
        target: The same of the second.
        arrays: The arrays that differ, by path.
        groups: The groups.
        documents: Other values.
        chunks: Numbered keys of no known array.
    """

    __slots__ = ("arrays", "base", "chunks", "documents", "groups", "target")

    def __init__(self, base: str, target: str, changes: Iterable[Change]) -> None:
        self.base, self.target = base, target
        found = sorted(changes, key=_place)
        self.arrays = tuple(each for each in found if isinstance(each, ArrayChange))
        self.groups = tuple(each for each in found if isinstance(each, GroupChange))
        self.documents = tuple(each for each in found if isinstance(each, DocumentChange))
        self.chunks = tuple(each for each in found if isinstance(each, ChunksChange))

    def __iter__(self) -> Iterator[Change]:
        yield from self.groups
        yield from self.arrays
        yield from self.documents
        yield from self.chunks

    def __len__(self) -> int:
        return len(self.arrays) + len(self.groups) + len(self.documents) + len(self.chunks)

    def array(self, path: str) -> ArrayChange | None:
        """What differs in the array at a path; None: nothing."""
        wanted = path.strip("/")
        return next((each for each in self.arrays if each.path == wanted), None)

    def __repr__(self) -> str:
        counts = Counter((type(each), getattr(each, "kind", "changed")) for each in self)
        names = {
            ArrayChange: "arrays",
            GroupChange: "groups",
            DocumentChange: "documents",
            ChunksChange: "kinds of numbered keys",
        }
        said = [f"{count} {names[kind]} {how}" for (kind, how), count in counts.items()]
        head = f"Diff {self.base or '(nothing)'} .. {self.target or '(nothing)'}: "
        lines = [f"  {each}" for _, each in zip(range(_SHOWN), self, strict=False)]
        if len(self) > _SHOWN:
            lines.append(f"  and {len(self) - _SHOWN} more")
        return "\n".join([head + (", ".join(said) or "no difference"), *lines])


def _place(change: Change) -> str:
    if isinstance(change, DocumentChange):
        return change.key
    return change.prefix if isinstance(change, ChunksChange) else change.path


def _box(domain: IndexDomain) -> str:
    bounds = zip(domain.inclusive_min, domain.exclusive_max, strict=True)
    return "[" + ", ".join(f"{low}:{high}" for low, high in bounds) + "]"


def _plain(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)
