"""The keys of a state: the trees of its checkpoint, with its tail over them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from heapq import merge

from asynctensor.kvstores.repo.family import CATALOG, DOCUMENTS, Family, coordinates
from asynctensor.kvstores.repo.lookup import Found, family_root, recent, touched
from asynctensor.kvstores.repo.page import PageRef
from asynctensor.kvstores.repo.record import CommitEntry
from asynctensor.kvstores.repo.run import Run
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.tail import ELSEWHERE
from asynctensor.kvstores.repo.tree import scan
from asynctensor.storage.key_range import KeyRange


async def listed(snapshot: Snapshot, key_range: KeyRange) -> AsyncIterator[tuple[str, Found]]:
    """The keys of a state in a range, and where their values are; documents first, in order.

    Raises:
        DataLoss: The index is damaged.
        Error: The store failed.
    """
    if key_range.empty:
        return
    async for each in snapshot.mended_stream(lambda state: _listed(state, key_range)):
        yield each


async def _listed(snapshot: Snapshot, key_range: KeyRange) -> AsyncIterator[tuple[str, Found]]:
    async for each in _documents(snapshot, key_range):
        yield each
    async for family in families(snapshot, key_range):
        async for each in _chunks(snapshot, family, key_range):
            yield each


async def documents(snapshot: Snapshot, key_range: KeyRange) -> AsyncIterator[tuple[str, Found]]:
    """`listed` without the chunks."""
    async for each in snapshot.mended_stream(lambda state: _documents(state, key_range)):
        yield each


async def families(snapshot: Snapshot, key_range: KeyRange) -> AsyncIterator[Family]:
    """The families that may have keys in a range, in the order of their catalog keys."""
    newer = {f.key.encode(): f for f in snapshot.tail.families(snapshot.count).values()}
    waiting = sorted((key for key in newer if _meets(newer[key], key_range)), reverse=True)
    # A family sorts by its prefix, which is shorter than the keys that it has.
    last = key_range.exclusive_max.encode("utf-8", "surrogatepass") or None
    async for run in snapshot.pages.stream(scan(snapshot.tail.roots.catalog, b"", last)):
        for key in _keys(run):
            while waiting and waiting[-1] <= key:
                yield newer[waiting.pop()]
            family = Family.from_key(key.decode())
            if key not in newer and _meets(family, key_range):
                yield family
    while waiting:
        yield newer[waiting.pop()]


def _meets(family: Family, key_range: KeyRange) -> bool:
    return not key_range.intersection(KeyRange.prefix(family.prefix)).empty


async def _documents(snapshot: Snapshot, key_range: KeyRange) -> AsyncIterator[tuple[str, Found]]:
    tail, count = snapshot.tail, snapshot.count
    first = key_range.inclusive_min.encode("utf-8", "surrogatepass")
    last = key_range.exclusive_max.encode("utf-8", "surrogatepass") or None
    changed = await snapshot.pages.run(touched(tail, DOCUMENTS, count))
    newer = sorted(key for key in changed if first <= key and (last is None or key < last))
    async for key, stored in _over(snapshot, tail.roots.documents, newer, first, last):
        spelled = key.decode("utf-8", "surrogatepass")
        newest = await snapshot.pages.run(recent(tail, DOCUMENTS, key, spelled, count))
        if newest is ELSEWHERE:
            if stored is not None:
                yield spelled, stored
        elif newest[1] is not None:
            yield spelled, (newest[0], newest[1])


async def _over(
    snapshot: Snapshot, root: PageRef | None, recent: list[bytes], first: bytes, last: bytes | None
) -> AsyncIterator[tuple[bytes, Found | None]]:
    """The keys of a tree and those of a sorted list, in order, each once."""
    at = 0
    async for run in snapshot.pages.stream(scan(root, first, last)):
        highest = run.key(len(run) - 1)
        stop = at
        while stop < len(recent) and recent[stop] <= highest:
            stop += 1
        seen: bytes | None = None
        for key, found in merge(_found(run), ((k, None) for k in recent[at:stop]), key=_key):
            if key != seen:
                seen = key
                yield key, found
        at = stop
    for key in recent[at:]:
        yield key, None


def _key(item: tuple[bytes, Found | None]) -> bytes:
    return item[0]


def _found(run: Run) -> Iterator[tuple[bytes, Found | None]]:
    for key, ref in run.items():
        yield key, None if ref is None else (ref.version, ref)


async def _chunks(
    snapshot: Snapshot, family: Family, key_range: KeyRange
) -> AsyncIterator[tuple[str, Found]]:
    tail, count = snapshot.tail, snapshot.count
    changed = await snapshot.pages.run(touched(tail, family.id, count))
    cleared = any(_meets(family, each) for each in tail.cleared(count))
    within = key_range.intersection(KeyRange.prefix(family.prefix))
    all_of_it = within == KeyRange.prefix(family.prefix)
    root = await snapshot.pages.run(family_root(tail, family))
    first, last = family.extent(key_range)
    async for run in snapshot.pages.stream(scan(root, first, last + b"\0")):
        spelled = family.spell_many(run.keys)  # type: ignore[arg-type]
        for i, key in enumerate(spelled):
            inside = run.key(i)
            if inside in changed or not (all_of_it or key in key_range):
                continue
            if cleared and tail.find(family.id, inside, key, count) is not ELSEWHERE:
                continue
            ref = run.ref(i)
            if ref is not None:
                yield key, (ref.version, ref)
    for inside in sorted(changed):
        key = family.spell(inside)
        newest = await snapshot.pages.run(recent(tail, family.id, inside, key, count))
        if key in key_range and newest is not ELSEWHERE and newest[1] is not None:
            yield key, (newest[0], newest[1])


async def names_below(snapshot: Snapshot, prefix: str) -> AsyncIterator[tuple[str, int]]:
    """What is directly below `prefix`: keys with their sizes, and directories with -1.

    Chunks of arrays further below are not looked at one by one: that there is a family will do.
    """
    async for each in snapshot.mended_stream(lambda state: _names_below(state, prefix)):
        yield each


async def _names_below(snapshot: Snapshot, prefix: str) -> AsyncIterator[tuple[str, int]]:
    seen: set[str] = set()
    async for key, (_, ref) in _documents(snapshot, KeyRange.prefix(prefix)):
        name, slash, _ = key[len(prefix) :].partition("/")
        if not slash:
            yield key, ref.size
        elif name not in seen:
            seen.add(name)
            yield f"{prefix}{name}/", -1
    async for family in families(snapshot, KeyRange.prefix(prefix)):
        name, slash, _ = family.prefix[len(prefix) :].partition("/")
        if slash:
            if name not in seen and await _any(_chunks(snapshot, family, KeyRange())):
                seen.add(name)
                yield f"{prefix}{name}/", -1
            continue
        axis = _axis_below(family, prefix)
        if axis is not None:
            async for number in _numbers(snapshot, family, prefix, axis):
                if str(number) not in seen:
                    seen.add(str(number))
                    yield f"{prefix}{number}/", -1
            continue
        async for key, (_, ref) in _chunks(snapshot, family, KeyRange.prefix(prefix)):
            yield key, ref.size


def _axis_below(family: Family, prefix: str) -> int | None:
    """The dimension whose numbers are directories directly below `prefix`; None if none is."""
    if family.separator != "/" or not prefix.startswith(family.prefix):
        return None
    axis = prefix[len(family.prefix) :].count("/")
    return axis if axis < family.rank - 1 else None


async def _numbers(
    snapshot: Snapshot, family: Family, prefix: str, axis: int
) -> AsyncIterator[int]:
    """The numbers that keys of a family that begin with `prefix` have in a dimension.

    What is below one is passed over as soon as it is known.
    """
    tail, count, within = snapshot.tail, snapshot.count, KeyRange.prefix(prefix)
    changed = await snapshot.pages.run(touched(tail, family.id, count))
    cleared = any(_meets(family, each) for each in tail.cleared(count))
    seen: set[int] = set()
    for inside in changed:
        key = family.spell(inside)
        newest = await snapshot.pages.run(recent(tail, family.id, inside, key, count))
        if key in within and newest is not ELSEWHERE and newest[1] is not None:
            seen.add(_number(inside, axis))
    root = await snapshot.pages.run(family_root(tail, family))
    first, last = family.extent(within)
    more = True
    while more:
        more = False
        async for run in snapshot.pages.stream(scan(root, first, last + b"\0", 1)):
            seen |= _standing(snapshot, family, run, axis, changed, cleared=cleared)
            end = _number(run.key(len(run) - 1), axis)
            if end in seen:
                # On behind all that is below this one.
                first = first[: 8 * axis] + (end + 1).to_bytes(8, "big").ljust(
                    family.width - 8 * axis, b"\0"
                )
                more = True
                break
    for number in sorted(seen):
        yield number


def _number(inside: bytes, axis: int) -> int:
    return int.from_bytes(inside[8 * axis : 8 * axis + 8], "big")


def _standing(
    snapshot: Snapshot, family: Family, run: Run, axis: int, changed: set[bytes], *, cleared: bool
) -> set[int]:
    """The numbers of rows of a tree that no commit of the tail replaced."""
    if not changed and not cleared:
        return set(coordinates(run.keys, family.rank)[:, axis].tolist())  # type: ignore[arg-type]
    found = set()
    for key in _keys(run):
        number = _number(key, axis)
        if number not in found and key not in changed:
            newest = snapshot.tail.find(family.id, key, family.spell(key), snapshot.count)
            if newest is ELSEWHERE:
                found.add(number)
    return found


async def _any(keys: AsyncIterator[tuple[str, Found]]) -> bool:
    async for _ in keys:
        return True
    return False


def spelled_keys(entry: CommitEntry) -> Iterator[str]:
    """The keys that a commit wrote or deleted one by one."""
    by_id = {family.id: family for family in entry.families}
    for run in entry.runs:
        if run.space == DOCUMENTS:
            for key in _keys(run):
                yield key.decode("utf-8", "surrogatepass")
        elif run.space != CATALOG:
            for key in _keys(run):
                yield by_id[run.space].spell(key)


def _keys(run: Run) -> Iterator[bytes]:
    return (run.key(i) for i in range(len(run)))
