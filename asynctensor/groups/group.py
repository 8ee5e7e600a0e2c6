"""`Group`: a node of a hierarchy that holds arrays and other groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from asynctensor.errors import (
    AlreadyExists,
    InvalidArgument,
    PermissionDenied,
)
from asynctensor.groups.place import GroupPlace
from asynctensor.groups.reading import ReadableGroup
from asynctensor.hierarchy.attribute_values import attribute_values
from asynctensor.hierarchy.consolidation import (
    consolidate,
    drop_copies_above,
    drop_copy,
)
from asynctensor.hierarchy.creation import (
    GroupMode,
    delete_node,
    make_parents,
    open_group_at,
)
from asynctensor.hierarchy.documents import glance_node
from asynctensor.hierarchy.node_format import Node
from asynctensor.hierarchy.node_path import split_path
from asynctensor.hierarchy.walk import child
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.spec import Spec
from asynctensor.storage.store_name import store_name
from asynctensor.tensorstore import TensorStore


class Group(ReadableGroup):
    """A group: arrays and other groups by name, and attributes.

    Made by `open_group` and `create_group`. Cheap to copy, safe to use from any thread and any
    event loop, picklable. Methods return at once, with a `Future` or a `Listing`; the operators
    (``group["a/b"]``, ``in``, ``del``, iteration, ``len``) wait.

    Nothing is cached but the attributes that `attrs` shows: every call looks at the store. If the
    group was opened with ``use_consolidated=True``, it looks at the consolidated metadata that
    was read then, until something is changed through the group.
    """

    __slots__ = ()

    def create_group(
        self,
        path: str,
        *,
        open: bool = False,  # noqa: A002 -- OpenMode's name
        delete_existing: bool = False,
        attributes: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[Group]:
        """Creates a group, and the groups on the way to it.

        Args:
            path: Names joined by ``/``.
            open: Use the group that is there, if there is one; its attributes stay as they are.
            delete_existing: Delete what is there, and everything below it, first.
            attributes: Of the new group: JSON values.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the group. Of several that create it at once, without `open`, one alone
            succeeds. It fails with `AlreadyExists`, or with `FailedPrecondition` if an array is
            there or on the way. A cancelled call may have created it, or some of the parents.

        Raises:
            InvalidArgument: The format does not allow a name, or JSON not an attribute.
            PermissionDenied: The group was opened for reading only.
        """
        names = self._new_names(path)
        if open and delete_existing:
            raise InvalidArgument("delete_existing=True needs open=False")
        mode = GroupMode(open, True, delete_existing)
        given = attribute_values(attributes or {})
        self._place.format.check_attributes(given)

        async def created() -> Group:
            place = self._place.child(names)
            await self._make_way(names)
            node = await open_group_at(place.view, place.prefix, place.format, mode, given)
            return Group(place, node)

        return start(created, timeout=timeout, deadline=deadline)

    def require_group(
        self,
        path: str,
        *,
        attributes: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[Group]:
        """The group at `path`, created if there is none; see `create_group`."""
        return self.create_group(
            path, open=True, attributes=attributes, timeout=timeout, deadline=deadline
        )

    def create_array(
        self,
        path: str,
        *,
        open: bool = False,  # noqa: A002 -- OpenMode's name
        delete_existing: bool = False,
        attributes: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        chunks: Sequence[int] | None = None,
        shards: Sequence[int] | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
        **constraints: Any,
    ) -> Future[TensorStore]:
        """Creates an array, and the groups on the way to it.

        Args:
            path: Names joined by ``/``.
            open: Use the array that is there, if there is one and it satisfies the constraints.
            delete_existing: Delete what is there, and everything below it, first.
            attributes: Of the new array: JSON values.
            metadata: Constraints in the format's own terms, as in a spec.
            chunks: zarr's short name: shape of what is read at once.
            shards: zarr's short name: shape of what one key holds, a multiple of `chunks`.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.
            **constraints: As for `asynctensor.open`: `dtype`, `shape`, `chunk_layout`, `codec`,
                `fill_value`, `schema` ...

        Returns:
            Future of the array; see `asynctensor.open`, and `create_group` for the parents.

        Raises:
            InvalidArgument: The arguments are wrong.
            PermissionDenied: The group was opened for reading only.
        """
        names = self._new_names(path)
        given = attribute_values(attributes or {})
        self._place.format.check_attributes(given)
        spec = Spec(
            {"driver": self.driver, **({"metadata": dict(metadata)} if metadata else {})},
        )
        if chunks is not None or shards is not None:
            constraints["chunk_layout"] = _layout(chunks, shards, constraints)
        spec.update(create=True, open=open, delete_existing=delete_existing, **constraints)

        async def created() -> TensorStore:
            await self._make_way(names)
            new = delete_existing or await self._is_free(self._place.child(names))
            return await self._created(names, spec, given if new else {})

        return start(created, timeout=timeout, deadline=deadline)

    async def _created(
        self, names: tuple[str, ...], spec: Spec, attributes: Mapping[str, Any]
    ) -> TensorStore:
        place = self._place.child(names)
        within = place.format.array_metadata(attributes)
        if within:
            options = spec.state.options
            metadata = {**options.get("metadata", {}), **within}
            spec = Spec.from_state(replace(spec.state, options={**options, "metadata": metadata}))
        array = await place.open_array(spec)
        if attributes and within is None:
            key = place.prefix + place.format.attributes_document
            await place.view.write(key, place.format.with_attributes(None, attributes))
        return array

    def require_array(
        self,
        path: str,
        *,
        attributes: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
        **constraints: Any,
    ) -> Future[TensorStore]:
        """The array at `path`, created if there is none; see `create_array`.

        Returns:
            Future of the array. It fails with `FailedPrecondition` if the one that is there does
            not satisfy the constraints; attributes are no constraints.
        """
        return self.create_array(
            path,
            open=True,
            attributes=attributes,
            timeout=timeout,
            deadline=deadline,
            **constraints,
        )

    def delete(
        self, path: str, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[None]:
        """Deletes the array or group at `path` and everything below it; not atomic.

        Args:
            path: Names joined by ``/``.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future that is done when all is gone. It fails with `NotFound`. If it fails otherwise
            or is cancelled, the node itself is gone first, and keys may be left below it.

        Raises:
            InvalidArgument: The path is empty, or the format does not allow a name.
            PermissionDenied: The group was opened for reading only.
        """
        names = self._new_names(path)

        async def deleted() -> None:
            place = self._place.child(names)
            if await child(place.view, place.prefix, place.format, sure=False) is None:
                raise self._not_found(names)
            await drop_copies_above(place.view, place.prefix, place.format)
            self._copies = None
            await delete_node(place.view, place.prefix, place.format)

        return start(deleted, timeout=timeout, deadline=deadline)

    def __delitem__(self, path: str) -> None:
        """Deletes the array or group at `path`, and waits."""
        self.delete(path).result()

    def _new_names(self, path: str) -> tuple[str, ...]:
        names = split_path(path, self._place.format)
        if not names:
            raise InvalidArgument("the path is empty: it would be this group itself")
        if "w" not in self._place.mode:
            raise PermissionDenied("the group was opened for reading only; open it with write=True")
        return names

    async def _make_way(self, names: tuple[str, ...]) -> None:
        """Drops the copies that will be wrong, and creates the parents."""
        place = self._place
        await drop_copies_above(place.view, place.child(names).prefix, place.format)
        self._copies = None
        await make_parents(place.view, place.prefix, names, place.format)

    async def _is_free(self, place: GroupPlace) -> bool:
        """Whether there is no array; a group there is an error."""
        node = await glance_node(place.view, place.prefix, place.format)
        if node is not None and node.kind == "group":
            raise AlreadyExists(
                "there is a group here already; pass delete_existing=True to replace it and "
                "everything below it",
                key=place.prefix,
                store=store_name(place.store),
            )
        return node is None

    # -- consolidated metadata --------------------------------------------------------------

    def consolidate_metadata(
        self, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[Group]:
        """Writes a copy of all metadata below into the group's own, for those who ask for it.

        It is a copy of what is stored now. Whatever is changed later through a `Group`, or the
        `Attributes` of a node, drops it first, and so it is never wrong for those who only use
        these; changes made through an array's own handle (`TensorStore.resize`, `open` with
        ``create=True``) or by other programs leave it as it is.

        Args:
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the group that uses it. It fails with `Unimplemented` if the format has no
            such thing. A cancelled call has written it or never will.
        """
        self._check_writable()

        async def written() -> Group:
            place = self._place
            await drop_copies_above(place.view, place.prefix, place.format)
            copies = await consolidate(place.view, place.prefix, place.format)
            return Group(place, Node("group", self._attributes.asdict()), copies)

        return start(written, timeout=timeout, deadline=deadline)

    def drop_consolidated_metadata(
        self, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[Group]:
        """Removes the copy again; see `consolidate_metadata`.

        Returns:
            Future of the group that looks at what is stored.
        """
        self._check_writable()

        async def dropped() -> Group:
            place = self._place
            await drop_copy(place.view, place.prefix, place.format)
            return Group(place, Node("group", self._attributes.asdict()))

        return start(dropped, timeout=timeout, deadline=deadline)

    def _check_writable(self) -> None:
        if "w" not in self._place.mode:
            raise PermissionDenied("the group was opened for reading only; open it with write=True")


def _layout(
    chunks: Sequence[int] | None, shards: Sequence[int] | None, constraints: Mapping[str, Any]
) -> ChunkLayout:
    """The chunk layout that zarr's short names mean."""
    layout = ChunkLayout(constraints.get("chunk_layout", {}))
    if chunks is not None:
        layout.update(read_chunk_shape=chunks)
    written = chunks if shards is None else shards
    if written is not None:
        layout.update(write_chunk_shape=written)
    return layout
