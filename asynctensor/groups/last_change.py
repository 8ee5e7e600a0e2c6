"""`last_changed`: when something was last written, as far as the store knows."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass

from asynctensor.errors import Unimplemented
from asynctensor.groups.attributes import Attributes
from asynctensor.groups.location import locate
from asynctensor.groups.opening import Where
from asynctensor.groups.reading import ReadableGroup
from asynctensor.hierarchy.documents import store_name
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import KeyValueStore, ListEntry
from asynctensor.storage.value_history import ValueChange
from asynctensor.tensorstore import TensorStore


@dataclass(frozen=True, slots=True)
class LastChange:
    """The newest of some stored values.

    In a repository it is exact: the commit that wrote it, as the index has it. Anywhere else the
    time is the store's: when it says that the value was written, by its own clock. Copying or
    restoring a folder may set other times, a clock may be wrong. A deleted value has none.

    Attributes:
        time: Seconds since the Unix epoch; None if nothing is stored.
        key: The key that was written last; None if nothing is stored.
        values: How many values were looked at.
        store: Names the place that was looked at.
        commit: In a repository, the id of the commit that wrote it.
        author: By whom, where the commit says so.
        message: Why, where the commit says so.
    """

    time: float | None
    key: str | None
    values: int
    store: str
    commit: str | None = None
    author: str | None = None
    message: str | None = None

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
        if self.commit is None:
            return f"{self.key!r} was written last, at {when} by the clock of {self.store}"
        who = f" by {self.author}" if self.author else ""
        why = f": {self.message}" if self.message else ""
        return f"{self.key!r} was written last, at {when}{who} in commit {self.commit}{why}"


def last_changed(
    what: TensorStore | ReadableGroup | Attributes | Where,
    *,
    context: Context | None = None,
    timeout: float | None = None,
    deadline: float | None = None,
) -> Future[LastChange]:
    """When stored values were last written: of a view, of attributes, or below a path.

    In a repository, its index is asked: for the newest commit, with time, author and message.
    Elsewhere listings are looked at; the time is what the store knows: see `LastChange`.

    Args:
        what: A view of an array: the chunks that it touches, and not its metadata. A group: all
            keys below. Attributes: the document that they are in. Or a path of the local file
            system, a URL, a `KvStore`, its spec or JSON: all keys below; if there are none, the
            key itself.
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
    if isinstance(what, Attributes):
        place, key = what.stored_in
        ranges = [KeyRange.singleton(key)]
        return start(_of_ranges, place, ranges, key, timeout=timeout, deadline=deadline)
    given = what.kvstore if isinstance(what, ReadableGroup) else what
    location = locate(given, Context() if context is None else context)
    prefix = location.prefix
    ranges = [KeyRange.prefix(prefix)]
    if prefix:
        ranges.append(KeyRange.singleton(prefix.removesuffix("/")))
    return start(_of_ranges, location.store, ranges, prefix, timeout=timeout, deadline=deadline)


async def _of_view(view: TensorStore) -> LastChange:
    stored = view.with_transaction(None)
    kvstore = stored.kvstore
    if kvstore is None:
        raise Unimplemented("the array is not stored in chunks")
    name = store_name(kvstore.store, kvstore.key_prefix)
    known = await stored._driver.last_change(stored._transform)
    if known is not None:
        return _of_history(*known, name)
    return await _newest(stored.stored_entries().search(), kvstore.store, name)


async def _of_ranges(store: KeyValueStore, ranges: list[KeyRange], path: str) -> LastChange:
    """The newest in the first of some ranges in which anything is stored."""
    name, history = store_name(store, path), store.history
    found = LastChange(None, None, 0, name)
    for each in ranges:
        if history is not None:
            found = _of_history(*await history.newest(each), name)
        else:
            found = await _newest(store.list(each), store, name)
        if found.values:
            break
    return found


def _of_history(count: int, newest: ValueChange | None, name: str) -> LastChange:
    if newest is None:
        return LastChange(None, None, count, name)
    return LastChange(
        newest.time, newest.key, count, name, newest.commit, newest.author, newest.message
    )


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
