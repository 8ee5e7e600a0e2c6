"""What a group is and holds: the half of `Group` that changes nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

from asynctensor.chunked.member import dump_document
from asynctensor.display.page import Display, Displayed
from asynctensor.display.picture import shape_text
from asynctensor.display.tree import Tree, TreeNode, tree_of
from asynctensor.errors import (
    Error,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from asynctensor.groups.attributes import Attributes
from asynctensor.groups.member import Member
from asynctensor.groups.place import GroupPlace
from asynctensor.hierarchy.consolidation import (
    below,
)
from asynctensor.hierarchy.node_format import Node
from asynctensor.hierarchy.node_path import split_path
from asynctensor.hierarchy.walk import child, descendants
from asynctensor.kvstore import KvStore
from asynctensor.registry import format_of
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.listing import Listing
from asynctensor.spec import Spec
from asynctensor.storage.store_name import store_name
from asynctensor.tensorstore import TensorStore
from asynctensor.transaction.transaction import Transaction

#: Attributes shown; levels of a tree.
_ATTRIBUTES, _MAX_TREE_DEPTH = 20, 64


class ReadableGroup(Displayed):
    """A group that can be looked at; see `Group`."""

    __slots__ = ("_attributes", "_copies", "_place")
    __hash__ = object.__hash__

    def __init__(
        self, place: GroupPlace, node: Node, copies: Mapping[str, Node] | None = None
    ) -> None:
        """Made by `open_group`.

        Args:
            place: Where it is.
            node: What its documents say.
            copies: What its consolidated metadata says, if that is to be used.
        """
        self._place = place
        self._copies = copies
        self._attributes = Attributes(
            place.view, place.prefix, place.format, node.attributes, writable="w" in place.mode
        )

    # -- what it is -------------------------------------------------------------------------

    @property
    def attrs(self) -> Attributes:
        """The attributes, as they were when the group was opened; writes are awaitable."""
        return self._attributes

    @property
    def path(self) -> str:
        """Path relative to the group that was opened first; empty for that one."""
        return self._place.path

    @property
    def name(self) -> str:
        """The last component of the path."""
        return self.path.rpartition("/")[2]

    @property
    def driver(self) -> str:
        """Name of the driver of its arrays: ``"zarr3"``, ``"zarr"`` ..."""
        return self._place.format.driver

    @property
    def zarr_format(self) -> int | None:
        """3 or 2; None if it is not zarr."""
        return self._place.format.zarr_format

    @property
    def kvstore(self) -> KvStore:
        """Where it is stored."""
        place = self._place
        return KvStore(
            place.store, place.prefix, transaction=place.transaction, context=place.context
        )

    @property
    def url(self) -> str:
        """URL of the group, without a format.

        Raises:
            Unimplemented: The store has none.
        """
        return self._place.store.url(self._place.prefix)

    @property
    def mode(self) -> str:
        """``"r"``, ``"w"`` or ``"rw"``."""
        return self._place.mode

    @property
    def context(self) -> Context:
        """The resources it uses."""
        return self._place.context

    @property
    def transaction(self) -> Transaction | None:
        """What reads and writes belong to."""
        return self._place.transaction

    @property
    def is_consolidated(self) -> bool:
        """Whether it shows its consolidated metadata instead of what is stored."""
        return self._copies is not None

    def with_transaction(self, transaction: Transaction | None) -> Self:
        """The same group, whose reads and writes belong to `transaction` (None: to none)."""
        place = replace(self._place, transaction=transaction)
        return type(self)(place, Node("group", self._attributes.asdict()), self._copies)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ReadableGroup):
            return NotImplemented
        one, two = self._place, other._place
        return (one.store.identity, one.prefix, one.format.driver, one.transaction) == (
            two.store.identity, two.prefix, two.format.driver, two.transaction,
        )  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        if self.transaction is not None:
            raise FailedPrecondition(
                "a group bound to a transaction cannot be pickled: what is staged is in this "
                "process; use with_transaction(None)"
            )
        return type(self), (self._place, Node("group", self._attributes.asdict()), self._copies)

    def _display(self) -> Display:
        shown = [(f"@{name}", json.dumps(self._attributes[name])) for name in self._attributes]
        rows = [("driver", self.driver), *shown[:_ATTRIBUTES]]
        if len(shown) > _ATTRIBUTES:
            rows.append(("", f"… and {len(shown) - _ATTRIBUTES} more attributes"))
        if self._copies is not None:
            rows.append(("metadata", f"consolidated: {len(self._copies)} nodes below"))
        if self.mode != "rw":
            rows.append(("mode", {"r": "read only", "w": "write only"}[self.mode]))
        if self.transaction is not None:
            rows.append(("transaction", "open" if self.transaction.open else "ended"))
        where = store_name(self._place.store, self._place.prefix)
        return Display("Group", where, tuple(rows))

    def __repr__(self) -> str:
        where = store_name(self._place.store, self._place.prefix)
        return f"Group({where!r}, driver={self.driver!r})"

    # -- opening ----------------------------------------------------------------------------

    def open(
        self, path: str, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[Self | TensorStore]:
        """Opens the array or group at `path`.

        Args:
            path: Names joined by ``/``; the empty path is the group itself.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of a `TensorStore` or a `Group`. It fails with `NotFound`, or with `DataLoss`
            if the documents are damaged. A cancelled call leaves nothing behind.

        Raises:
            InvalidArgument: The format does not allow a name in the path.
        """
        names = split_path(path, self._place.format)
        return start(self._open, names, timeout=timeout, deadline=deadline)

    async def _open(self, names: tuple[str, ...]) -> Self | TensorStore:
        if not names:
            return self
        node = await self._node(names)
        if node is None:
            raise self._not_found(names)
        if node.kind == "group":
            copies = None if self._copies is None else below(self._copies, "/".join(names))
            return type(self)(self._place.child(names), node, copies)
        return await self._array(names, node)

    async def _node(self, names: tuple[str, ...]) -> Node | None:
        place = self._place
        if self._copies is not None:
            return self._copies.get("/".join(names))
        return await child(place.view, place.child(names).prefix, place.format, sure=False)

    async def _array(self, names: tuple[str, ...], node: Node) -> TensorStore:
        spec: dict[str, Any] = {"driver": self.driver, "open": True}
        if self._copies is not None:
            # The copy stands in for the document until `TensorStore.resolve` looks.
            fmt = format_of(self.driver)
            spec["metadata"] = fmt.to_json(fmt.parse(dump_document(dict(node.document))))
            spec["assume_cached_metadata"] = True
        return await self._place.child(names).open_array(Spec(spec))

    def _not_found(self, names: tuple[str, ...]) -> Error:
        return NotFound(
            f"there is no array or group {'/'.join(names)!r} in this group",
            key=self._place.child(names).prefix,
            store=store_name(self._place.store),
        )

    def open_group(
        self, path: str, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[Self]:
        """Opens the group at a path.

        Args:
            path: Where, in this group.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of it. It fails with `NotFound` if nothing is there, and with
            `FailedPrecondition` if that is an array.
        """
        names = split_path(path, self._place.format)

        async def opened() -> Self:
            found = await self._open(names)
            if isinstance(found, TensorStore):
                raise FailedPrecondition(f"{path!r} is an array, no group; use open_array")
            return found

        return start(opened, timeout=timeout, deadline=deadline)

    def open_array(
        self, path: str, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[TensorStore]:
        """Opens the array at a path.

        Args:
            path: Where, in this group.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of it. It fails with `NotFound` if nothing is there, and with
            `FailedPrecondition` if that is a group.
        """
        names = split_path(path, self._place.format)

        async def opened() -> TensorStore:
            found = await self._open(names)
            if not isinstance(found, TensorStore):
                raise FailedPrecondition(f"{path!r} is a group, no array; use open_group")
            return found

        return start(opened, timeout=timeout, deadline=deadline)

    def contains(
        self, path: str, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[bool]:
        """Whether there is an array or a group at a path.

        Args:
            path: Where, in this group.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of it.
        """
        names = split_path(path, self._place.format)

        async def asked() -> bool:
            return not names or await self._node(names) is not None

        return start(asked, timeout=timeout, deadline=deadline)

    def __getitem__(self, path: str) -> Self | TensorStore:
        """The array or group at `path`, opened; waits. ``await group.open(path)`` does not.

        Raises:
            NotFound: There is none (a `KeyError`).
        """
        return self.open(path).result()

    def __contains__(self, path: object) -> bool:
        """Whether there is an array or group; waits."""
        if not isinstance(path, str):
            return False
        try:
            return self.contains(path).result()
        except InvalidArgument:
            return False

    # -- listing ----------------------------------------------------------------------------

    def members(self, max_depth: int | None = 0) -> Listing[tuple[str, Member]]:
        """What is below: pairs of path and `Member`; ``async for``, or ``await`` for a list.

        Each level is in order of names, nearer levels first. Members that come or go meanwhile
        may or may not be seen.

        Args:
            max_depth: Levels below the children; None for all.

        Returns:
            The listing. It fails with `DataLoss` if the documents of a node are damaged.
        """
        if max_depth is not None and max_depth < 0:
            raise InvalidArgument(f"max_depth is {max_depth}; expected 0 or more, or None")

        async def found() -> AsyncIterator[tuple[str, Member]]:
            async for path, node in self._nodes(max_depth):
                yield path, Member.of(path, node, self.open)

        return Listing(found)

    async def _nodes(self, max_depth: int | None) -> AsyncIterator[tuple[str, Node]]:
        place = self._place
        if self._copies is None:
            async for each in descendants(place.view, place.prefix, place.format, max_depth):
                yield each
            return
        for path in sorted(self._copies, key=lambda p: (p.count("/"), p)):
            if max_depth is None or path.count("/") <= max_depth:
                yield path, self._copies[path]

    def tree(
        self,
        max_depth: int | None = None,
        max_nodes: int = 500,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[Tree]:
        """What is below, to be looked at: ``print(await group.tree())``.

        Args:
            max_depth: Levels below the children; None for as many as are of use.
            max_nodes: Nodes shown at most, nearer ones first.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the tree, with `is_complete` false if nodes are left out. Notebooks and rich
            show it too.
        """
        depth = _MAX_TREE_DEPTH if max_depth is None else min(max_depth, _MAX_TREE_DEPTH)

        async def drawn() -> Tree:
            found: list[tuple[str, TreeNode]] = []
            complete = True
            # One level deeper, only to see whether something is there.
            async for path, node in self._nodes(depth + 1):
                if len(found) == max_nodes or path.count("/") > depth:
                    complete = False
                    break
                found.append((path, _tree_node(path, node)))
            return tree_of(self.path.rpartition("/")[2] or "/", found, is_complete=complete)

        return start(drawn, timeout=timeout, deadline=deadline)

    def keys(self) -> Listing[str]:
        """Names of the arrays and groups directly below."""

        async def found() -> AsyncIterator[str]:
            async for name, _ in self._nodes(0):
                yield name

        return Listing(found)

    def arrays(self) -> Listing[tuple[str, TensorStore]]:
        """Names and opened arrays directly below."""

        async def found() -> AsyncIterator[tuple[str, TensorStore]]:
            async for name, node in self._nodes(0):
                if node.kind == "array":
                    yield name, await self._array((name,), node)

        return Listing(found)

    def groups(self) -> Listing[tuple[str, Self]]:
        """Names and groups directly below."""

        async def found() -> AsyncIterator[tuple[str, Self]]:
            async for name, node in self._nodes(0):
                if node.kind == "group":
                    copies = None if self._copies is None else below(self._copies, name)
                    yield name, type(self)(self._place.child((name,)), node, copies)

        return Listing(found)

    def __iter__(self) -> Iterator[str]:
        """Names of the arrays and groups directly below; waits."""
        return iter(self.keys().result())

    def __len__(self) -> int:
        """Number of arrays and groups directly below; waits."""
        return len(self.keys().result())

    def __bool__(self) -> bool:
        return True


def _tree_node(path: str, node: Node) -> TreeNode:
    found = node.summary
    name = path.rpartition("/")[2]
    if found is None:
        return TreeNode(name, is_group=True)
    return TreeNode(name, f"({shape_text(found.shape)}) {found.dtype}")
