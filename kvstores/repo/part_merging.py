"""Keys of which several processes have written parts: one value is made of each.

The values go into packs, and among what whoever commits has written by itself; parts are stored
anew without these keys, so that every key stands in a commit once. A part that is stored anew has a
name that follows from what it is, so that the same receipts give the same parts again (R9). A
collector never takes it before the outcome of the transaction is in the log, and after that nobody
commits it: so that name may be created twice (R19).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

from asynctensor.errors import DataLoss, Unavailable
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.damage import damaged, lost
from asynctensor.kvstores.repo.overlaps import Claim, Clash
from asynctensor.kvstores.repo.packs import Packs
from asynctensor.kvstores.repo.part_ref import PartRef
from asynctensor.kvstores.repo.part_runs import read_part
from asynctensor.kvstores.repo.place import Created, Place
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.runtime.workers import data_copy_pool
from asynctensor.storage.checksum import crc32c
from asynctensor.storage.partial_value import Contribution, Merge

#: Bytes of merged values that are stored together.
_TOGETHER = 8 * 2**20
#: Attempts to store a part.
_ATTEMPTS = 3


async def merged_values(
    clashes: Sequence[Clash], merge: Merge, packs: Packs, place: Place
) -> dict[str, Ref | None]:
    """One value for each key; a few are in memory at any time.

    Args:
        clashes: The keys, and who wrote what.
        merge: Makes one value of several.
        packs: Stores them.
        place: Where the values are.

    Raises:
        FailedPrecondition: Two wrote different things in one place.
        DataLoss: A value is missing or damaged.
        Error: The store failed.
    """
    refs: dict[str, Ref | None] = {}
    kept: dict[str, bytes] = {}
    size = 0
    for clash in clashes:
        value = await merge(
            clash.spelled, [await _read(each, clash, place) for each in clash.claims]
        )
        if value is None:
            refs[clash.spelled] = None
            continue
        kept[clash.spelled] = value
        size += len(value)
        if size >= _TOGETHER:
            refs |= await packs.pack(kept)
            kept, size = {}, 0
    return refs | await packs.pack(kept)


async def _read(claim: Claim, clash: Clash, place: Place) -> Contribution:
    ref = claim.ref
    value = None if ref is None else ref.inline
    if ref is not None and value is None:
        value = await place.get_part(ref.object, ref.offset, ref.size) if ref.size else b""
        if value is None:
            raise lost(clash.spelled, ref.object)
        if crc32c(value) != ref.crc:
            raise damaged(clash.spelled, ref.object)
    return Contribution(claim.writer.name, value, claim.written)


class MergedKeys:
    """The keys that were merged, by the parts that have them."""

    def __init__(self) -> None:
        self._of: dict[str, dict[bytes, list[bytes]]] = {}

    def add(self, clashes: Sequence[Clash]) -> None:
        """Notes some more."""
        for clash in clashes:
            for claim in clash.claims:
                part = claim.writer.part
                if part is not None:
                    mine = self._of.setdefault(part.object, {})
                    mine.setdefault(clash.space, []).append(clash.key)

    def of(self, part: PartRef) -> Mapping[bytes, Sequence[bytes]]:
        """Those of a part, by space."""
        return self._of.get(part.object, {})


async def without_keys(
    place: Place, ref: PartRef, keys: Mapping[bytes, Sequence[bytes]]
) -> PartRef:
    """A part without keys that were merged; stored when this returns.

    Args:
        place: Where the part is.
        ref: The part.
        keys: The keys, by space.

    Raises:
        DataLoss: The part is missing or damaged.
        Error: The store failed.
    """
    if not keys:
        return ref
    part = await read_part(place, ref)
    rest = await data_copy_pool().run(part.without, keys, ref.object)
    body = rest.encode()
    name = objects.part(part.branch, part.txn, _name(ref, keys))
    await _store(place, name, body)
    return rest.ref(name, body)


def _name(ref: PartRef, keys: Mapping[bytes, Sequence[bytes]]) -> bytes:
    digest = blake2b(ref.object.encode(), digest_size=objects.RANDOM_BYTES)
    for space, some in sorted(keys.items()):
        digest.update(space)
        for key in sorted(some):
            digest.update(b"%d " % len(key) + key)
    return digest.digest()


async def _store(place: Place, name: str, body: bytes) -> None:
    for _ in range(_ATTEMPTS):
        if await place.create(name, body) is Created.CREATED:
            return
        # An earlier attempt of ours, or of whoever committed with the same receipts.
        found = await place.get(name)
        if found == body:
            return
        if found is not None:
            raise DataLoss("a part of a commit is damaged", key=place.key(name))
    raise Unavailable("the store did not take a part of a transaction", key=place.key(name))
