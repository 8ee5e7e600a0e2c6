"""Reads of values that are begun without a task, where the way to the value is known.

For the I/O loop alone. Whatever is not plain is left to `RepositoryStore.read`, which finds out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from asynctensor.errors import Error, OutOfRange
from asynctensor.kvstores.repo.lookup import lookup
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.checksum import crc32c
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import Arrival, ReadOptions, Told


def begin_read(
    snapshot: Snapshot, place: Place, key: str, options: ReadOptions, told: Told
) -> Callable[[], object] | None:
    """Begins to read what a state has at a key; see `KeyValueStore.begin_read`.

    Args:
        snapshot: The state, as it stands now.
        place: Where the repository is; its store begins reads.
        key: The key.
        options: How to read it.
        told: Who is told.
    """
    if options.if_equal != UNKNOWN or options.if_not_equal != UNKNOWN:
        return None
    try:
        known = snapshot.pages.run_known(lookup(snapshot.tail, snapshot.count, key))
    except Error:
        return None
    if known is None:
        return None
    found = known[0]
    stamp = TimestampedStorageGeneration.now(snapshot.generation(found))
    if found is None:
        return _soon(told, Arrival("missing", b"", stamp))
    ref = found[1]
    try:
        start, stop = options.byte_range.resolve(ref.size)
    except OutOfRange:
        return None
    if ref.inline is not None or start == stop:
        return _soon(told, Arrival("value", (ref.inline or b"")[start:stop], stamp))
    if ref.object.startswith("idx/"):
        # Documents that lie among the pages are often at hand, and `read` knows what to do if not.
        return None

    def arrived(arrival: Arrival | Error | None) -> None:
        sound = isinstance(arrival, Arrival) and _is_sound(arrival, ref, start, stop)
        told(arrival._replace(stamp=stamp) if isinstance(arrival, Arrival) and sound else None)

    part = ReadOptions(ByteRange(ref.offset + start, ref.offset + stop))
    give_up = place.store.begin_read(place.key(ref.object), part, arrived)
    if give_up is not None:
        place.requests["read"] += 1
    return give_up


def _is_sound(arrival: Arrival, ref: Ref, start: int, stop: int) -> bool:
    """Whether the bytes of a value are what was asked for; a part has no checksum."""
    if arrival.state != "value" or len(arrival.value) != stop - start:
        return False
    return stop - start < ref.size or crc32c(arrival.value) == ref.crc


def _soon(told: Told, arrival: Arrival) -> Callable[[], object]:
    """Tells what is known already, in a turn of its own."""
    return asyncio.get_running_loop().call_soon(told, arrival).cancel
