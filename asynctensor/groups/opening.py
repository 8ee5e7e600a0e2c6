"""`open_group`, `create_group` and `open_attributes`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from asynctensor.errors import FailedPrecondition, InvalidArgument, NotFound
from asynctensor.groups.attributes import Attributes
from asynctensor.groups.group import Group
from asynctensor.groups.location import HoldsNodes, Location, locate
from asynctensor.groups.place import GroupPlace
from asynctensor.hierarchy.attribute_values import attribute_values
from asynctensor.hierarchy.consolidation import drop_copies_above, read_consolidated
from asynctensor.hierarchy.creation import GroupMode, open_group_at
from asynctensor.hierarchy.node_format import NodeFormat
from asynctensor.hierarchy.walk import child, look_at
from asynctensor.kvstore import KvStore
from asynctensor.opening import access_mode
from asynctensor.registry import node_format, node_formats
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.storage.store_name import store_name
from asynctensor.tensorstore import TensorStore
from asynctensor.transaction.transaction import Transaction

#: Where a group is: a path, a URL, a kvstore or its spec, a spec with a driver, or a repository.
Where: TypeAlias = (
    "KvStore | KvStore.Spec | Mapping[str, Any] | str | os.PathLike[str] | HoldsNodes"
)
_DEFAULT = "zarr3"


def open_group(
    spec: Where,
    *,
    read: bool | None = None,
    write: bool | None = None,
    open: bool | None = None,  # noqa: A002 -- OpenMode's name
    create: bool | None = None,
    delete_existing: bool | None = None,
    driver: str | None = None,
    zarr_format: int | None = None,
    attributes: Mapping[str, Any] | None = None,
    use_consolidated: bool = False,
    context: Context | None = None,
    transaction: Transaction | None = None,
    timeout: float | None = None,
    deadline: float | None = None,
) -> Future[Group]:
    """Opens or creates a group.

    Args:
        spec: A path of the local file system; a URL (``"file:///data/a/"``, perhaps with
            ``|zarr3:``); a `KvStore`, its spec or JSON; JSON with ``driver`` and ``kvstore``; or a
            `Repository`, for its root.
        read: Allow reading. Without `read` and `write`, both are allowed.
        write: Allow writing.
        open: Open a group that exists; the default unless `create` is given alone.
        create: Create one where there is none.
        delete_existing: With `create`: delete what is there, and everything below it, first.
        driver: The format: ``"zarr3"``, ``"zarr2"`` ... By default, what is found there; a group
            that is created becomes ``"zarr3"``.
        zarr_format: The same as a number: 3 or 2.
        attributes: Of a new group: JSON values.
        use_consolidated: Take names, metadata and attributes of what is below from the group's
            consolidated metadata, as they were when that was written. By default, every call
            looks at what is stored.
        context: Resources to use, and to share with what else is opened with it.
        transaction: What opening, reads and writes belong to.
        timeout: Seconds after which to give up.
        deadline: The same as a Unix time.

    Returns:
        Future of the group. It fails with `NotFound` or `AlreadyExists`; with
        `FailedPrecondition` if an array is there, groups of several formats are, or the
        consolidated metadata that is asked for is not; with `DataLoss` if its documents are
        damaged. A cancelled call may have created it, or have deleted part of what was there if
        that was asked for.

    Raises:
        InvalidArgument: The spec or the open mode is wrong.
    """
    mode = _group_mode(open, create, delete_existing)
    given = attribute_values(attributes or {})
    access = access_mode(read, write)
    bound = Context() if context is None else context
    named = _named(driver, zarr_format)
    location = locate(spec, bound, named, transaction)

    async def opened() -> Group:
        place = await _placed(location, mode, access)
        fmt = place.format
        fmt.check_attributes(given)
        if mode.create:
            await drop_copies_above(place.view, place.prefix, fmt)
        node = await open_group_at(place.view, place.prefix, fmt, mode, given)
        copies = None
        if use_consolidated:
            copies = await read_consolidated(place.view, place.prefix, fmt)
            if copies is None:
                raise FailedPrecondition(
                    "the group has no consolidated metadata; open it without use_consolidated, or "
                    "call consolidate_metadata",
                    key=place.prefix,
                    store=store_name(place.store),
                )
        return Group(place, node, copies)

    return start(opened, timeout=timeout, deadline=deadline)


def create_group(
    spec: Where,
    *,
    delete_existing: bool = False,
    driver: str | None = None,
    zarr_format: int | None = None,
    attributes: Mapping[str, Any] | None = None,
    context: Context | None = None,
    transaction: Transaction | None = None,
    timeout: float | None = None,
    deadline: float | None = None,
) -> Future[Group]:
    """Creates a group: `open_group` with ``create=True``. Arguments and errors are as there.

    Returns:
        Future of the group. Of several that create it at once, one alone succeeds.
    """
    return open_group(
        spec,
        create=True,
        delete_existing=delete_existing,
        driver=driver,
        zarr_format=zarr_format,
        attributes=attributes,
        context=context,
        transaction=transaction,
        timeout=timeout,
        deadline=deadline,
    )


def open_attributes(
    spec: TensorStore | Where,
    *,
    driver: str | None = None,
    zarr_format: int | None = None,
    context: Context | None = None,
    transaction: Transaction | None = None,
    timeout: float | None = None,
    deadline: float | None = None,
) -> Future[Attributes]:
    """Opens the attributes of an array or a group.

    Args:
        spec: An opened array (any view of it), or where the node is, as for `open_group`.
        driver: The format; by default, what is found there.
        zarr_format: The same as a number: 3 or 2.
        context: Resources to use.
        transaction: What reads and writes belong to; that of an opened array by default.
        timeout: Seconds after which to give up.
        deadline: The same as a Unix time.

    Returns:
        Future of the attributes as they are stored now. It fails with `NotFound` if there is no
        node, and with `Unimplemented` if its format has no attributes here.

    Raises:
        InvalidArgument: The spec is wrong.
    """
    access = "rw"
    if isinstance(spec, TensorStore):
        access = spec.mode
        driver = spec.spec().driver
        transaction = spec.transaction if transaction is None else transaction
        kvstore = spec.kvstore
        if kvstore is None:
            raise InvalidArgument(f'arrays of driver "{driver}" are stored nowhere')
        spec = kvstore
    bound = Context() if context is None else context
    location = locate(spec, bound, _named(driver, zarr_format), transaction)

    async def opened() -> Attributes:
        place = await _placed(location, GroupMode(), access, "node")
        node = await child(place.view, place.prefix, place.format)
        if node is None:
            raise _nothing(location)
        return Attributes(
            place.view, place.prefix, place.format, node.attributes, writable="w" in access
        )

    return start(opened, timeout=timeout, deadline=deadline)


def _named(driver: str | None, zarr_format: int | None) -> str | None:
    """The driver that the arguments name."""
    if zarr_format is None:
        return None if driver is None else node_format(driver).driver
    found = [fmt.driver for fmt in node_formats() if fmt.zarr_format == zarr_format]
    if not found:
        raise InvalidArgument(f"zarr_format is {zarr_format!r}; expected 3 or 2")
    if driver is not None and node_format(driver).driver != found[0]:
        raise InvalidArgument(f"driver={driver!r} contradicts zarr_format={zarr_format}")
    return found[0]


def _group_mode(
    open: bool | None,  # noqa: A002 -- OpenMode's name
    create: bool | None,
    delete_existing: bool | None,
) -> GroupMode:
    mode = GroupMode(not create if open is None else open, bool(create), bool(delete_existing))
    if mode.delete_existing and (not mode.create or mode.open):
        raise InvalidArgument(
            "delete_existing=True needs create=True, and open=False: what is deleted cannot be "
            "opened"
        )
    if not mode.open and not mode.create:
        raise InvalidArgument("open=False without create=True leaves nothing to do")
    return mode


async def _placed(
    location: Location, mode: GroupMode, access: str, what: str = "group"
) -> GroupPlace:
    """The place, with the format that is found there if none is named."""
    place = GroupPlace(
        location.store,
        location.prefix,
        "",
        node_format(_DEFAULT if location.driver is None else location.driver),
        location.context,
        location.transaction,
        access,
    )
    if location.driver is not None:
        return place
    found = await look_at(place.view, place.prefix, node_formats(), glance=True)
    for each in found:
        if each.error is not None:
            raise each.error
    formats: list[NodeFormat] = [each.format for each in found if each.format is not None]
    if len(formats) > 1:
        names = ", ".join(fmt.driver for fmt in formats)
        raise FailedPrecondition(
            f"nodes of several formats are here ({names}); say which with driver="
        )
    if formats:
        return replace(place, format=formats[0])
    if not mode.create:
        # Who only reads creates none.
        raise _nothing(location, what, may_create=what == "group" and "w" in access)
    return place


def _nothing(location: Location, what: str = "node", *, may_create: bool = False) -> NotFound:
    hint = "; pass create=True to make one" if may_create else ""
    return NotFound(
        f"there is no {what} of a known format here{hint}",
        key=location.prefix,
        store=store_name(location.store),
    )
