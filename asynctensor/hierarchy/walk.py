"""Finding nodes: the children of a group, all that is below it, and whatever is in a store."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from asynctensor.errors import Error, InvalidArgument
from asynctensor.hierarchy.documents import (
    glance_documents,
    glance_node,
    node_of,
    read_documents,
    read_node,
    rely_on_kind,
)
from asynctensor.hierarchy.node_format import Node, NodeFormat
from asynctensor.runtime.in_order import in_order
from asynctensor.storage.directory import list_directory
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.value_history import ValueHistory
from asynctensor.transaction.staged_store import StagedStore


async def child_names(store: KeyValueStore, prefix: str, fmt: NodeFormat) -> list[str]:
    """Names below `prefix` that may be nodes, in order."""
    names = []
    async for entry in list_directory(store, prefix):
        name = entry.key[len(prefix) :]
        if name.endswith("/") and _may_be_node(name[:-1], fmt):
            names.append(name[:-1])
    return sorted(names)


async def children(
    store: KeyValueStore, prefix: str, fmt: NodeFormat
) -> AsyncIterator[tuple[str, Node]]:
    """The nodes directly below the group at `prefix`, by name.

    Raises:
        DataLoss: The documents of one are damaged.
    """
    names = await child_names(store, prefix, fmt)

    async def named(name: str) -> tuple[str, Node | None]:
        return name, await child(store, f"{prefix}{name}/", fmt, sure=True)

    async for name, node in in_order(_each(names), named):
        if node is not None:
            yield name, node


async def child(
    store: KeyValueStore, prefix: str, fmt: NodeFormat, *, sure: bool = False
) -> Node | None:
    """The node at `prefix`, groups without documents included.

    Args:
        store: The store.
        prefix: Where it is.
        fmt: Its format.
        sure: Whether keys below it are known to exist, as in a listing, which shows the whole
            node; else a transaction relies on its kind alone.
    """
    node = await (read_node if sure else glance_node)(store, prefix, fmt)
    if node is not None or not fmt.implicit_groups:
        return node
    if not sure:
        async for _ in store.list(KeyRange.prefix(prefix)):
            break
        else:
            return None
    return Node("group")


async def descendants(
    store: KeyValueStore, prefix: str, fmt: NodeFormat, depth: int | None
) -> AsyncIterator[tuple[str, Node]]:
    """All nodes below the group at `prefix`, by path; nearer ones first.

    Args:
        store: The store.
        prefix: Where the group is.
        fmt: Its format.
        depth: Levels below the children; None for all.
    """
    level = [""]
    while level:
        following: list[str] = []
        for path in level:
            async for name, node in children(store, prefix + path, fmt):
                yield path + name, node
                if node.kind == "group":
                    following.append(f"{path}{name}/")
        level = following if depth is None or depth > 0 else []
        depth = None if depth is None else depth - 1


@dataclass(frozen=True, slots=True)
class Place:
    """What is at one prefix of a store.

    Attributes:
        prefix: Empty, or ending in ``/``.
        format: Of the node; None if there is none.
        node: The node; None if there is none, or its documents are damaged.
        error: What is wrong with them.
    """

    prefix: str
    format: NodeFormat | None = None
    node: Node | None = None
    error: Error | None = None


async def look_at(
    store: KeyValueStore, prefix: str, formats: Sequence[NodeFormat], *, glance: bool = False
) -> list[Place]:
    """The nodes of any of `formats` at `prefix`: mostly one or none.

    Args:
        store: The store.
        prefix: Where.
        formats: The formats.
        glance: Whether a transaction relies on their kinds alone.
    """
    documents = sorted({name for fmt in formats for name in fmt.documents})
    look = glance_documents if glance else read_documents
    found: Mapping[str, bytes] = await look(store, prefix, documents)
    if glance and isinstance(store, StagedStore):
        for fmt in formats:
            rely_on_kind(store, prefix, fmt, found)
    return _places(store, prefix, formats, found)


def _places(
    store: KeyValueStore,
    prefix: str,
    formats: Sequence[NodeFormat],
    found: Mapping[str, bytes],
) -> list[Place]:
    """The nodes that documents make."""
    places = []
    for fmt in formats:
        try:
            node = node_of(store, prefix, fmt, found)
        except Error as error:
            places.append(Place(prefix, fmt, None, error))
            continue
        if node is not None:
            places.append(Place(prefix, fmt, node))
    return places


async def everything(
    store: KeyValueStore, prefix: str, formats: Sequence[NodeFormat]
) -> AsyncIterator[Place]:
    """All nodes at and below `prefix`, in plain folders too; what is below arrays is left alone.

    A store that has an index is asked for all documents at once. Any other is walked directory by
    directory, nearer ones first, some dozens at a time.
    """
    if store.history is not None:
        async for place in _indexed(store, store.history, prefix, formats):
            yield place
        return
    waiting = deque([prefix])

    async def prefixes() -> AsyncIterator[str]:
        while waiting:
            yield waiting.popleft()

    async def looked(at: str) -> tuple[list[Place], list[str]]:
        places = await look_at(store, at, formats)
        if any(place.node is not None and place.node.kind == "array" for place in places):
            return places, []
        below = [e.key async for e in list_directory(store, at) if e.key.endswith("/")]
        return places, sorted(below)

    while waiting:
        # What `in_order` has asked for may bring more: it is asked again until nothing is left.
        async for places, below in in_order(prefixes(), looked):
            waiting.extend(below)
            for place in places:
                yield place


async def _indexed(
    store: KeyValueStore, history: ValueHistory, prefix: str, formats: Sequence[NodeFormat]
) -> AsyncIterator[Place]:
    """`everything`, where the documents are found without a walk; nearer ones first."""
    arrays: set[str] = set()
    names = {name for fmt in formats for name in fmt.documents}
    async for at, documents in history.named(prefix, names):
        if any(above in arrays for above in _above(at)):
            continue
        found = {name: each.value for name, each in documents.items() if each is not None}
        if len(found) < len(documents):
            found |= await read_documents(store, at, documents.keys() - found.keys())
        places = _places(store, at, formats, found)
        if any(place.node is not None and place.node.kind == "array" for place in places):
            arrays.add(at)
        for place in places:
            yield place
        if at == prefix and arrays:
            return


def _above(prefix: str) -> Iterator[str]:
    """The directories that one is in."""
    while prefix:
        prefix = prefix[: prefix.rstrip("/").rfind("/") + 1]
        yield prefix


async def _each(names: Sequence[str]) -> AsyncIterator[str]:
    for name in names:
        yield name


def _may_be_node(name: str, fmt: NodeFormat) -> bool:
    try:
        fmt.check_name(name)
    except InvalidArgument:
        return False
    return True
