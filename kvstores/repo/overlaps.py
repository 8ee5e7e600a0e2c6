"""Which keys several parts of one transaction write.

Most parts are told apart by their spans alone. Of the others the keys are read, a few parts at a
time, and 8 bytes of each are kept: so many parts of many keys take little memory.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from asynctensor.errors import FailedPrecondition
from asynctensor.kvstores.repo.family import DOCUMENTS, Family, coordinates
from asynctensor.kvstores.repo.key_columns import KeyColumn
from asynctensor.kvstores.repo.part_ref import PartRef, Span
from asynctensor.kvstores.repo.part_runs import read_part
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.kvstores.repo.run import Run
from asynctensor.runtime.workers import shared_pool
from asynctensor.storage.partial_value import Written

_U64: TypeAlias = "NDArray[np.uint64]"

#: Writers, and keys, that a message names.
_NAMED = 3
#: An odd number whose multiples are far from each other.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
#: Keys of which it is known at a time who wrote which part of them: some hundred bytes of each.
_AT_ONCE = 1 << 16

#: Of a space, and a key in it, which part of the value was written; None: all.
WrittenAt: TypeAlias = "Callable[[bytes, bytes], Written | None]"


def _all_of_it(space: bytes, key: bytes) -> None:
    return None


#: Keys, and the number of who wrote them.
_Row: TypeAlias = tuple[Span, int]


@dataclass(frozen=True, slots=True)
class Writer:
    """Who wrote some keys.

    Attributes:
        name: For messages.
        spans: The keys, in short.
        part: Where the keys are; or
        runs: the keys, and
        written_at: which part of their values was written.
    """

    name: str
    spans: tuple[Span, ...]
    part: PartRef | None = None
    runs: tuple[Run, ...] = ()
    written_at: WrittenAt = _all_of_it


@dataclass(frozen=True, slots=True)
class Claim:
    """That somebody wrote a key of several.

    Attributes:
        writer: Who.
        ref: The value; None: deleted.
        written: Which part of it; None: all.
    """

    writer: Writer
    ref: Ref | None
    written: Written | None


@dataclass(frozen=True, slots=True)
class Clash:
    """A key that several wrote, at least one of them in part.

    Attributes:
        space: Of the key.
        key: In it.
        spelled: As stores spell it.
        claims: Who wrote it, in their order.
    """

    space: bytes
    key: bytes
    spelled: str
    claims: list[Claim]


async def find_clashes(
    writers: Sequence[Writer], families: dict[bytes, Family], place: Place
) -> AsyncIterator[list[Clash]]:
    """The keys that several wrote in part, some at a time; refuses two who wrote all of one.

    They may have written the same small value. Where there are few keys, what is refused is so
    before any is given.

    Args:
        writers: The parts, and what was written beside them.
        families: Those of the keys, by id.
        place: Where the parts are.

    Raises:
        FailedPrecondition: It says who wrote which keys.
        DataLoss: A part is missing or damaged.
        Error: The store failed.
    """
    close = [writers[i] for i in sorted(_close(writers))]
    if not close:
        return
    found: list[Clash] = []
    pool = shared_pool("data_copy", os.cpu_count() or 1)
    for space in sorted({span.space for each in close for span in each.spans}):
        marks = await pool.run(_repeated, await _twice(close, space, place))
        family = families.get(space)
        for start in range(0, len(marks), _AT_ONCE):
            some = marks[start : start + _AT_ONCE]
            found += await _clashes(close, space, family, some, place)
            if len(found) >= _AT_ONCE:
                yield found
                found = []
    if found:
        yield found


def _close(writers: Sequence[Writer]) -> set[int]:
    """Those whose spans do not tell them apart from all others."""
    found: set[int] = set()
    spaces: dict[bytes, list[_Row]] = {}
    for i, writer in enumerate(writers):
        for span in writer.spans:
            spaces.setdefault(span.space, []).append((span, i))
    for rows in spaces.values():
        boxed = all(span.low for span, _ in rows)
        pairs = _box_pairs(rows) if boxed else _span_pairs(rows)
        for (one, i), (other, j) in pairs:
            if (i not in found or j not in found) and one.may_share(other):
                found |= {i, j}
    return found


def _span_pairs(rows: list[_Row]) -> Iterator[tuple[_Row, _Row]]:
    """The pairs whose first and last keys do not tell them apart."""
    rows.sort(key=lambda row: row[0].first)
    begun: list[_Row] = []
    for row in rows:
        begun = [other for other in begun if other[0].last >= row[0].first]
        for other in begun:
            yield row, other
        begun.append(row)


def _box_pairs(rows: list[_Row]) -> Iterator[tuple[_Row, _Row]]:
    """The pairs of a family whose boxes have something in common."""
    lows, highs = (
        np.frombuffer(b"".join(corners), ">u8").reshape(len(rows), -1).astype(np.uint64)
        for corners in zip(*((span.low, span.high) for span, _ in rows), strict=True)
    )
    for at, row in enumerate(rows):
        common = (lows[:at] <= highs[at]) & (lows[at] <= highs[:at])
        for other in np.flatnonzero(common.all(1)).tolist():
            yield row, rows[other]


async def _runs(
    close: Sequence[Writer], space: bytes, place: Place
) -> AsyncIterator[tuple[Writer, Run, WrittenAt]]:
    for writer in close:
        if all(span.space != space for span in writer.spans):
            continue
        runs, written_at = writer.runs, writer.written_at
        if writer.part is not None:
            part = await read_part(place, writer.part)
            runs, written_at = part.runs, part.written_at
        for run in runs:
            if run.space == space:
                yield writer, run, written_at


async def _twice(close: Sequence[Writer], space: bytes, place: Place) -> _U64:
    """8 bytes of each key of a space."""
    count = sum(span.count for each in close for span in each.spans if span.space == space)
    marks = np.empty(count, np.uint64)
    at = 0
    async for _, run, _ in _runs(close, space, place):
        marks[at : at + len(run)] = _marks(run.keys)
        at += len(run)
    return marks


def _marks(keys: KeyColumn) -> _U64:
    """Numbers that differ for most different keys."""
    if isinstance(keys, list):
        digests = b"".join([blake2b(key, digest_size=8).digest() for key in keys])
        return np.frombuffer(digests, "<u8").astype(np.uint64, copy=False)
    axes = coordinates(keys, keys.dtype.itemsize // 8)
    marks = np.zeros(len(keys), np.uint64)
    for axis in range(axes.shape[1]):
        marks = (marks ^ (marks >> np.uint64(29))) * _SPREAD + axes[:, axis]
    return marks


def _repeated(marks: _U64) -> _U64:
    """The numbers that stand there more than once; sorts `marks`."""
    marks.sort()
    return np.unique(marks[1:][marks[1:] == marks[:-1]])


async def _clashes(
    close: Sequence[Writer], space: bytes, family: Family | None, twice: _U64, place: Place
) -> list[Clash]:
    """Reads once more the keys that may stand there twice, and tells those that do."""
    claims: dict[bytes, list[Claim]] = {}
    async for writer, run, written_at in _runs(close, space, place):
        for i in np.flatnonzero(np.isin(_marks(run.keys), twice)).tolist():
            key = run.key(i)
            claim = Claim(writer, run.ref(i), written_at(space, key))
            claims.setdefault(key, []).append(claim)
    claims = {key: some for key, some in claims.items() if len(some) > 1}
    whole = [(key, some) for key, some in claims.items() if not any(c.written for c in some)]
    _refuse(whole, space, family)
    return [
        Clash(space, key, _spell(key, space, family), some)
        for key, some in claims.items()
        if any(each.written for each in some)
    ]


def _refuse(
    claims: Sequence[tuple[bytes, list[Claim]]], space: bytes, family: Family | None
) -> None:
    """Refuses keys of which several wrote all, but for the same small values."""
    clashes: dict[tuple[str, str], list[bytes]] = {}
    for key, some in claims:
        for each in some[1:]:
            if not _same(some[0].ref, each.ref):
                clashes.setdefault((some[0].writer.name, each.writer.name), []).append(key)
    if not clashes:
        return
    said = [
        f"{one} and {other} both wrote {_spelled(keys, space, family)}"
        for (one, other), keys in list(clashes.items())[:_NAMED]
    ]
    more = f", and {len(clashes) - _NAMED} more pairs" if len(clashes) > _NAMED else ""
    raise FailedPrecondition(
        f"{'; '.join(said)}{more}: nothing was committed. Give every chunk, or shard, or parts of "
        "it that do not overlap, to one worker"
    )


def _same(one: Ref | None, other: Ref | None) -> bool:
    """Whether both wrote the same value, as far as can be told without reading it."""
    if one is None or other is None:
        return one is other
    return one.inline is not None and one.inline == other.inline


def _spell(key: bytes, space: bytes, family: Family | None) -> str:
    if space == DOCUMENTS or family is None:
        return key.decode("utf-8", "surrogatepass")
    return family.spell(key)


def _spelled(keys: list[bytes], space: bytes, family: Family | None) -> str:
    if len(keys) == 1:
        return repr(_spell(keys[0], space, family))
    first, last = (_spell(key, space, family) for key in (min(keys), max(keys)))
    return f"{len(keys)} keys from {first!r} to {last!r}"
