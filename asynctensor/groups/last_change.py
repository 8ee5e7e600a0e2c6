"""`last_changed`: when something was last written, as far as the store knows."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from json import dumps

from asynctensor.chunked.adapter import AdapterDriver
from asynctensor.errors import DataLoss, IncompatibleType, Unimplemented
from asynctensor.groups.attributes import Attributes
from asynctensor.groups.location import Location, locate
from asynctensor.groups.opening import Where, open_attributes
from asynctensor.groups.reading import ReadableGroup
from asynctensor.hierarchy.walk import look_at
from asynctensor.registry import node_formats
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import KeyValueStore, ListEntry
from asynctensor.storage.store_name import store_name
from asynctensor.storage.value_history import ValueChange
from asynctensor.tensorstore import TensorStore

#: The last whole second that `datetime` can tell.
_LAST = dt.datetime.max.replace(tzinfo=dt.UTC, microsecond=0).timestamp()


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
        format: In which format it is: the driver of the array or the node; None if it is of none.
        attribute: The attribute that was asked for; None: whole values were.
    """

    time: float | None
    key: str | None
    values: int
    store: str
    commit: str | None = None
    author: str | None = None
    message: str | None = None
    format: str | None = None
    attribute: str | None = None

    @property
    def datetime(self) -> dt.datetime | None:
        """The time in UTC; None if nothing is stored."""
        if self.time is None:
            return None
        # A clock that is far off may note a time that `datetime` cannot tell.
        return dt.datetime.fromtimestamp(min(self.time, _LAST), dt.UTC)

    def __str__(self) -> str:
        what = "nothing" if self.attribute is None else f"no attribute {self.attribute!r}"
        if self.datetime is None:
            return f"{what} is stored in {self.store}"
        what = repr(self.key)
        if self.attribute is not None:
            what = f"attribute {self.attribute!r} in {what}"
        when = self.datetime.isoformat(sep=" ", timespec="milliseconds")
        if self.commit is None:
            return f"{what} was written last, at {when} by the clock of {self.store}"
        who = f" by {self.author}" if self.author else ""
        why = f": {self.message}" if self.message else ""
        return f"{what} was written last, at {when}{who} in commit {self.commit}{why}"


def last_changed(
    what: TensorStore | ReadableGroup | Attributes | Where,
    *,
    attribute: str | None = None,
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
            system, a URL, a `KvStore`, its spec or JSON, a `Repository`: all keys below; if there
            are none, the key itself.
        attribute: Only this attribute of the node that `what` is, or is a view of: the newest
            commit of a repository that set it, changed it or deleted it. A node that was deleted
            and made anew begins anew. It costs some requests for each 64 commits since.
        context: Resources to use.
        timeout: Seconds after which to give up.
        deadline: The same as a Unix time.

    Returns:
        Future of the newest time. It fails with `Unimplemented` if the store keeps no times, or
        of an attribute no history, or the array is stored in no chunks; and with `NotFound` if
        an attribute is asked for where no node is. What a transaction has staged is not stored
        yet, and has no time.

    Raises:
        IncompatibleType: `attribute` is no string, or `what` is nothing of these.
    """
    bound = Context() if context is None else context
    limits: dict[str, float | None] = {"timeout": timeout, "deadline": deadline}
    if attribute is not None:
        if not isinstance(attribute, str):
            raise IncompatibleType(
                f"names of attributes are str, not {type(attribute).__name__}: {attribute!r}"
            )
        return start(_of_attribute, what, attribute, bound, **limits)
    if isinstance(what, TensorStore):
        return start(_of_view, what, **limits)
    if isinstance(what, Attributes):
        place, key = what.stored_in
        ranges = [KeyRange.singleton(key)]
        return start(_of_ranges, place, ranges, key, what.node_format.driver, **limits)
    driver = what.driver if isinstance(what, ReadableGroup) else None
    location = locate(what.kvstore if isinstance(what, ReadableGroup) else what, bound, driver)
    return start(_of_location, location, **limits)


async def _of_view(view: TensorStore) -> LastChange:
    stored = view.with_transaction(None)
    kvstore = stored.kvstore
    if kvstore is None:
        raise Unimplemented("the array is not stored in chunks")
    name, driver = store_name(kvstore.store, kvstore.key_prefix), _format_of(stored)
    known = await stored._driver.last_change(stored._transform)
    if known is not None:
        return _of_history(*known, name, driver)
    return await _newest(stored.stored_entries().search(), kvstore.store, name, driver)


def _format_of(view: TensorStore) -> str:
    """The driver of the array that is stored, below whatever shows it otherwise."""
    driver = view._driver
    while isinstance(driver, AdapterDriver):
        driver = driver.below
    return driver.driver


async def _of_location(location: Location) -> LastChange:
    prefix, driver = location.prefix, location.driver
    ranges = [KeyRange.prefix(prefix)]
    if prefix:
        ranges.append(KeyRange.singleton(prefix.removesuffix("/")))
    if driver is None:
        nodes = await look_at(location.store, prefix, node_formats())
        driver = next((each.format.driver for each in nodes if each.format is not None), None)
    return await _of_ranges(location.store, ranges, prefix, driver)


async def _of_ranges(
    store: KeyValueStore, ranges: list[KeyRange], path: str, driver: str | None
) -> LastChange:
    """The newest in the first of some ranges in which anything is stored."""
    name, history = store_name(store, path), store.history
    found = LastChange(None, None, 0, name, format=driver)
    for each in ranges:
        if history is not None:
            found = _of_history(*await history.newest(each), name, driver)
        else:
            found = await _newest(store.list(each), store, name, driver)
        if found.values:
            break
    return found


async def _of_attribute(
    what: TensorStore | ReadableGroup | Attributes | Where, attribute: str, context: Context
) -> LastChange:
    if isinstance(what, ReadableGroup):
        what = what.attrs
    if not isinstance(what, Attributes):
        what = await open_attributes(what, context=context)
    (store, key), fmt = what.stored_in, what.node_format
    name, history = store_name(store, key), store.history
    if history is None:
        raise Unimplemented(
            f'a "{store.driver}" store keeps no history: when one attribute was changed is not '
            "known, but only when their document was (leave attribute= out)",
            key=key,
            store=name,
            operation="last_changed",
        )

    def spelled(document: bytes | None) -> str | None:
        try:
            values = fmt.attributes(document)
        except DataLoss:
            # What was no document then had no attributes.
            return None
        return dumps(values[attribute], sort_keys=True) if attribute in values else None

    found = _of_history(*await history.newest_of_part(key, spelled), name, fmt.driver)
    return replace(found, attribute=attribute)


def _of_history(
    count: int, newest: ValueChange | None, name: str, driver: str | None
) -> LastChange:
    if newest is None:
        return LastChange(None, None, count, name, format=driver)
    return LastChange(
        newest.time, newest.key, count, name, newest.commit, newest.author, newest.message, driver
    )


async def _newest(
    entries: AsyncIterator[ListEntry], store: KeyValueStore, name: str, driver: str | None
) -> LastChange:
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
    return LastChange(time, key, count, name, format=driver)
