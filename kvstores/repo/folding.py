"""Folding: the commits of a tail become pages of the index, and a checkpoint that names them.

Off the path of any commit. Whoever does it first is believed; a fold that nobody does costs
readers time, and nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from asynctensor.errors import DataLoss, Error
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.branch import Branch, now
from asynctensor.kvstores.repo.caller_keys import run_of
from asynctensor.kvstores.repo.changes import Changes
from asynctensor.kvstores.repo.checkpoint import Checkpoint, pack_root
from asynctensor.kvstores.repo.family import CATALOG, DOCUMENTS, Family
from asynctensor.kvstores.repo.fold import fold
from asynctensor.kvstores.repo.hint import Hint
from asynctensor.kvstores.repo.listing import families
from asynctensor.kvstores.repo.lookup import family_root
from asynctensor.kvstores.repo.pack import PagePacks
from asynctensor.kvstores.repo.page import PageRef
from asynctensor.kvstores.repo.pages import PageCache
from asynctensor.kvstores.repo.part_ref import PartRef
from asynctensor.kvstores.repo.part_runs import read_parts
from asynctensor.kvstores.repo.part_slices import interleaved, slices
from asynctensor.kvstores.repo.place import Created, Place
from asynctensor.kvstores.repo.record import Record
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.kvstores.repo.run import Run
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.tail import Roots, Tail
from asynctensor.runtime.entropy import random_bytes
from asynctensor.storage.key_range import KeyRange

#: Changes that are folded at a time where they come from parts.
_BATCH = 1 << 17
#: The same of parts whose keys interleave, which are read anew each time.
_SLICE = 1 << 18


async def folded(snapshot: Snapshot, record: Record, place: Place) -> Checkpoint:
    """Writes the checkpoint of a state after a whole record, unless it is there already.

    Args:
        snapshot: The state.
        record: The last record that it contains.
        place: Where the repository is.

    Raises:
        DataLoss: The index is damaged.
        Error: The store failed; what was written is named by nobody.
    """
    packs = PagePacks(lambda: objects.page_pack(random_bytes(objects.RANDOM_BYTES)))
    documents, catalog = snapshot.tail.roots.documents, snapshot.tail.roots.catalog
    state = snapshot
    async for changes in _batches(snapshot, place):
        documents, catalog = await _trees(state, changes, packs, record.seq)
        for name, data in packs.take_all():
            await _create(place, name, data)
        state = replace(state, tail=Tail(Roots(documents, catalog), state.tail.base), count=0)
    keys = await snapshot.pages.run_on_workers(
        fold(
            snapshot.tail.keys.root,
            run_of(snapshot.tail.keys.since, snapshot.version),
            (),
            None,
            packs,
        )
    )
    for name, data in packs.take_all():
        await _create(place, name, data)
    made = Checkpoint(
        record.branch,
        record.seq,
        record.digest,
        record.time,
        documents,
        catalog,
        keys.root,
        previous=snapshot.tail.base[0] or None,
        created=now(),
    )
    return await _published(made, place)


async def _batches(snapshot: Snapshot, place: Place) -> AsyncIterator[Changes]:
    """What the commits come to, in order; of many parts, so much at a time as memory takes."""
    changes = Changes()
    for applied in snapshot.tail.applied[: snapshot.count]:
        changes.add(applied)
        # Neighbours together: then each batch touches pages of its own.
        parts = sorted(applied.entry.parts, key=_first)
        async for runs in _part_runs(place, parts):
            changes.add_runs(runs, applied.version)
            if len(changes) >= _BATCH:
                families = changes.families
                yield changes
                changes = Changes()
                changes.families = families
    yield changes


async def _part_runs(place: Place, parts: Sequence[PartRef]) -> AsyncIterator[Sequence[Run]]:
    """The runs of parts, neighbours together even where the keys of parts interleave."""
    spaces = interleaved(parts, _BATCH)
    for space in sorted(spaces):
        async for run in slices(place, parts, space, _SLICE):
            yield [run]
    rest = [each for each in parts if any(span.space not in spaces for span in each.spans)]
    async for part in read_parts(place, rest):
        yield [run for run in part.runs if run.space not in spaces]


def _first(part: PartRef) -> tuple[bytes, bytes]:
    return (part.spans[0].space, part.spans[0].first) if part.spans else (b"", b"")


async def _trees(
    snapshot: Snapshot, changes: Changes, packs: PagePacks, seq: int
) -> tuple[PageRef | None, PageRef | None]:
    tail, pages = snapshot.tail, snapshot.pages
    touched = dict(changes.families)
    for key_range in changes.cleared:
        async for family in families(snapshot, key_range):
            touched[family.id] = family
    roots: list[tuple[bytes, Ref | None]] = []
    for family in sorted(touched.values(), key=lambda each: each.key):
        root = await pages.run(family_root(tail, family))
        run = changes.runs.get(family.id)
        if run is None:
            run = Run.of(family.id, ())
        new = await _folded_tree(pages, root, run, changes.cleared, family, packs)
        value = Ref.of_inline(pack_root(new), (seq, 0)) if new is not None else None
        roots.append((family.key.encode(), value))
    catalog = await _folded_tree(pages, tail.roots.catalog, Run.of(CATALOG, roots), (), None, packs)
    run = changes.runs.get(DOCUMENTS)
    if run is None:
        run = Run.of(DOCUMENTS, ())
    documents = await _folded_tree(pages, tail.roots.documents, run, changes.cleared, None, packs)
    return documents, catalog


async def _folded_tree(
    pages: PageCache,
    root: PageRef | None,
    run: Run,
    cleared: list[KeyRange] | tuple[()],
    family: Family | None,
    packs: PagePacks,
) -> PageRef | None:
    tree = await pages.run_on_workers(fold(root, run, cleared, family, packs))
    return tree.root


async def _create(place: Place, name: str, data: bytes) -> None:
    """Stores a new object under a name of its own (R3: acknowledged, or read back)."""
    if await place.create(name, data) is Created.CREATED:
        return
    if await place.get(name) != data:
        raise DataLoss("the store does not give back what was written", key=place.key(name))
    await place.confirm(name, data)


async def _published(made: Checkpoint, place: Place) -> Checkpoint:
    """The checkpoint that stands: ours, or that of who was first (R20)."""
    name = objects.checkpoint(made.branch, made.seq)
    if await place.create(name, made.encode()) is Created.CREATED:
        return made
    body = await place.get(name)
    if body is None:
        raise DataLoss("the store does not give a checkpoint that it has", key=place.key(name))
    return Checkpoint.decode(body, object=name)


async def fold_branch(branch: Branch, place: Place) -> None:
    """Folds the tail of a branch, and goes on from the checkpoint.

    Raises:
        Error: See `folded`.
    """
    snapshot = branch.newest()
    seq = snapshot.version[0]
    record = await branch.record(seq)
    checkpoint = await snapshot.mended(lambda state: folded(state, record, place))
    await branch.rest_on(checkpoint)
    hint = Hint(branch.id, seq, seq, checkpoint)
    try:
        await place.put(objects.hint(branch.id), hint.encode())
    except Error:
        # It would only have saved others some requests.
        return
