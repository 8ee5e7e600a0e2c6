"""Consolidated metadata: a group's copy of all documents below it.

It is a copy, and true only as long as nothing below changes. So it is used by those alone who ask
for it; and whatever changes a node through a hierarchy first drops the copies of all groups above,
as far up as there are groups: nobody, with whatever library, is then shown an old state.
"""

from __future__ import annotations

from collections.abc import Mapping

from asynctensor.errors import Error, FailedPrecondition, Unimplemented
from asynctensor.hierarchy.documents import (
    change_document,
    glance_node,
    read_documents,
    read_node,
)
from asynctensor.hierarchy.node_format import Node, NodeFormat
from asynctensor.hierarchy.walk import descendants
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_name import store_name


async def read_consolidated(
    store: KeyValueStore, prefix: str, fmt: NodeFormat
) -> dict[str, Node] | None:
    """The nodes below the group at `prefix` as its copy has them, by path; None without a copy.

    Raises:
        DataLoss: The copy is damaged.
    """
    if fmt.consolidated_document is None:
        return None
    documents = await read_documents(store, prefix, (fmt.consolidated_document,))
    try:
        return fmt.consolidated(documents)
    except Error as error:
        key = prefix + fmt.consolidated_document
        raise error.located(store=store_name(store), key=key, operation="open") from None


async def consolidate(store: KeyValueStore, prefix: str, fmt: NodeFormat) -> dict[str, Node]:
    """Writes the copy of all that is below the group at `prefix` now; returns what it holds.

    Raises:
        Unimplemented: The format has no such copy.
        FailedPrecondition: There is no group.
    """
    key = fmt.consolidated_document
    if key is None:
        raise Unimplemented(f"{fmt.driver} has no consolidated metadata")
    group = await read_node(store, prefix, fmt)
    if group is None or group.kind != "group":
        raise FailedPrecondition("there is no group here", key=prefix, store=store_name(store))
    below = {path: node async for path, node in descendants(store, prefix, fmt, None)}
    await change_document(
        store,
        prefix + key,
        lambda stored: fmt.with_consolidated(stored, group, below),
        rules=fmt.merge_rules(key),
    )
    return below


async def drop_copy(store: KeyValueStore, prefix: str, fmt: NodeFormat) -> None:
    """Removes the copy that the group at `prefix` has, if it has one."""
    if fmt.consolidated_document is not None:
        nothing = Node("group")
        await change_document(
            store,
            prefix + fmt.consolidated_document,
            lambda stored: fmt.with_consolidated(stored, nothing, None),
            rules=fmt.merge_rules(fmt.consolidated_document),
        )


async def drop_copies_above(store: KeyValueStore, prefix: str, fmt: NodeFormat) -> None:
    """Removes the copies in all groups above the node at `prefix`.

    Looks up to the first place that is no group; what lies above the root of the store is not
    looked at.
    """
    while prefix and fmt.consolidated_document is not None:
        prefix = parent_of(prefix)
        node = await glance_node(store, prefix, fmt)
        if node is None or node.kind != "group":
            return
        await drop_copy(store, prefix, fmt)


def parent_of(prefix: str) -> str:
    """The directory that holds the directory `prefix`."""
    return prefix[: prefix.rstrip("/").rfind("/") + 1]


def below(copies: Mapping[str, Node], path: str) -> dict[str, Node]:
    """The part of a copy that is below the group at `path`, by path relative to it."""
    start = f"{path}/"
    return {k[len(start) :]: node for k, node in copies.items() if k.startswith(start)}
