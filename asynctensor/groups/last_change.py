"""`last_changed`: when something was last written, as far as the store knows."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass

from asynctensor.errors import Unimplemented
from asynctensor.groups.location import locate
from asynctensor.groups.opening import Where
from asynctensor.hierarchy.documents import store_name
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import KeyValueStore, ListEntry
from asynctensor.tensorstore import TensorStore


@dataclass(frozen=True, slots=True)
class LastChange:
    """The newest of some stored values.

    It is the store's time: when it says that the value was written, by its own clock. Copying or
    restoring a folder may set other times, a clock may be wrong, and a deleted value has none.

    Attributes:
        time: Seconds since the Unix epoch; None if nothing is stored.
        key: The key that was written last; None if nothing is stored.
        values: How many values were looked at.
        store: Names the place that was looked at.
    """

    time: float | None
    key: str | None
    values: int
    store: str

    @property
    def datetime(self) -> dt.datetime | None:
        """The time in UTC; None if nothing is stored."""
        if self.time is None:
            return None
        return dt.datetime.fromtimestamp(self.time, dt.UTC)

    def __str__(self) -> str:
        if self.datetime is None:
            return f"nothing is stored in {self.store}"
        when = self.datetime.isoformat(sep=" ", timespec="milliseconds")
        return f"{self.key!r} was written last, at {when} by the clock of {self.store}"


def last_changed(
    what: TensorStore | Where,
    *,
    context: Context | None = None,
    timeout: float | None = None,
    deadline: float | None = None,
) -> Future[LastChange]:
    """When the stored values of a view, or below a path, were last written.

    Only listings are looked at. The time is what the store knows: see `LastChange`.

    Args:
        what: A view of an array: the chunks that it touches, and not its metadata. Or a path of
            the local file system, a URL, a `KvStore`, its spec or JSON: all keys below.
        context: Resources to use.
        timeout: Seconds after which to give up.
        deadline: The same as a Unix time.

    Returns:
        Future of the newest time. It fails with `Unimplemented` if the store keeps no times, or
        the array is stored in no chunks. What a transaction has staged is not stored yet, and
        has no time.
    """
    if isinstance(what, TensorStore):
        return start(_of_view, what, timeout=timeout, deadline=deadline)
    location = locate(what, Context() if context is None else context)
    listing = location.store.list(KeyRange.prefix(location.prefix))
    name = store_name(location.store, location.prefix)
    return start(_newest, listing, location.store, name, timeout=timeout, deadline=deadline)


async def _of_view(view: TensorStore) -> LastChange:
    stored = view.with_transaction(None)
    kvstore = stored.kvstore
    if kvstore is None:
        raise Unimplemented("the array is not stored in chunks")
    name = store_name(kvstore.store, kvstore.key_prefix)
    return await _newest(stored.stored_entries().search(), kvstore.store, name)


async def _newest(entries: AsyncIterator[ListEntry], store: KeyValueStore, name: str) -> LastChange:
    time: float | None = None
    key: str | None = None
    count = 0
    async for entry in entries:
        if entry.time is None:
            raise Unimplemented(
                f'a "{store.driver}" store does not tell when a value was written',
                key=entry.key,
                store=name,
                operation="list",
            )
        count += 1
        if time is None or entry.time > time:
            time, key = entry.time, entry.key
    return LastChange(time, key, count, name)
