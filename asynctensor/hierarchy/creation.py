"""Creating and deleting nodes. Of two that create one group at once, one alone does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asynctensor.chunked.documents import created
from asynctensor.errors import AlreadyExists, FailedPrecondition, NotFound
from asynctensor.hierarchy.documents import glance_node
from asynctensor.hierarchy.node_format import Node, NodeFormat
from asynctensor.hierarchy.walk import child
from asynctensor.storage.clearing import check_clearing, clear
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.kvstore import Json, KeyValueStore
from asynctensor.storage.store_name import store_name
from asynctensor.transaction.staged_store import StagedStore


@dataclass(frozen=True, slots=True)
class GroupMode:
    """What to do about a group that is there, and one that is not (`OpenMode`'s flags)."""

    open: bool = True
    create: bool = False
    delete_existing: bool = False


async def open_group_at(
    store: KeyValueStore,
    prefix: str,
    fmt: NodeFormat,
    mode: GroupMode,
    attributes: Mapping[str, Json],
) -> Node:
    """Opens or creates the group at `prefix`; its parents are not looked at.

    Raises:
        NotFound, AlreadyExists: It is not, or already, there.
        FailedPrecondition: An array is there.

    A cancelled call may have created the group, perhaps without attributes, or have deleted part
    of what was there if that was asked for.
    """
    if mode.delete_existing:
        await delete_node(store, prefix, fmt)
    while True:
        # What is a group without documents gets them if it may be created.
        node = await (glance_node if mode.create else child)(store, prefix, fmt)
        if node is not None:
            return _existing(store, prefix, fmt, mode, node)
        if not mode.create:
            raise NotFound(
                f"there is no {fmt.driver} group here; pass create=True to make one",
                key=prefix,
                store=store_name(store),
            )
        documents = fmt.new_group(attributes)
        key = prefix + fmt.group_document
        if mode.open and isinstance(store, StagedStore):
            rules = fmt.merge_rules(fmt.group_document)
            alike = await created(store, key, documents[fmt.group_document], rules)
            made = alike is not None
        else:
            made = await _created(store, key, documents[fmt.group_document])
        if made:
            for name, document in documents.items():
                if name != fmt.group_document:
                    await store.write(prefix + name, document)
            return Node("group", dict(attributes))


async def make_parents(
    store: KeyValueStore, root: str, names: Sequence[str], fmt: NodeFormat
) -> None:
    """Creates the groups on the way from `root` (left out) to the node of `names` (left out).

    Raises:
        FailedPrecondition: An array is in the way.
    """
    mode = GroupMode(open=True, create=True)
    for depth in range(1, len(names)):
        await open_group_at(store, root + "/".join(names[:depth]) + "/", fmt, mode, {})


async def delete_node(store: KeyValueStore, prefix: str, fmt: NodeFormat) -> None:
    """Deletes the node at `prefix` and everything below it; not atomic.

    Its own documents go first, so that nobody opens an array that has lost half of its chunks.
    """
    await check_clearing(store, prefix)
    for name in fmt.documents:
        await store.write(prefix + name, None)
    await clear(store, prefix)


def _existing(
    store: KeyValueStore, prefix: str, fmt: NodeFormat, mode: GroupMode, node: Node
) -> Node:
    if node.kind == "array":
        raise FailedPrecondition(
            f"there is a {fmt.driver} array here, no group; open it as an array",
            key=prefix,
            store=store_name(store),
        )
    if not mode.open:
        raise AlreadyExists(
            "there is a group here already; pass open=True to use it, or delete_existing=True "
            "to replace it and everything below it",
            key=prefix,
            store=store_name(store),
        )
    return node


async def _created(store: KeyValueStore, key: str, document: bytes) -> bool:
    """Stores a document; False if there is one."""
    if store.capabilities.can_create_if_absent:
        return (await store.write(key, document, NO_VALUE)).generation != UNKNOWN
    if (await store.read(key)).state != "missing":
        return False
    await store.write(key, document)
    return True
