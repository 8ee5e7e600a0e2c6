"""Reading the documents of nodes, and changing one of them without losing anybody's change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from asynctensor.errors import DataLoss, Error, NotFound
from asynctensor.hierarchy.node_format import Node, NodeFormat
from asynctensor.storage.generation import UNKNOWN
from asynctensor.storage.kvstore import KeyValueStore, ReadResult


async def read_documents(
    store: KeyValueStore, prefix: str, names: Iterable[str]
) -> dict[str, bytes]:
    """Those of the documents `names` below `prefix` that exist, asked for at once."""
    keys = list(names)
    if len(keys) == 1:
        found: list[ReadResult] = [await store.read(prefix + keys[0])]
    else:
        found = await asyncio.gather(*(store.read(prefix + key) for key in keys))
    return {
        key: bytes(each.value)
        for key, each in zip(keys, found, strict=True)
        if each.state == "value"
    }


async def read_node(store: KeyValueStore, prefix: str, fmt: NodeFormat) -> Node | None:
    """The node at `prefix`, which is empty or ends in ``/``; None if there is none.

    Raises:
        DataLoss: Its documents are damaged; the error names where.
    """
    return node_of(store, prefix, fmt, await read_documents(store, prefix, fmt.documents))


def node_of(
    store: KeyValueStore, prefix: str, fmt: NodeFormat, documents: Mapping[str, bytes]
) -> Node | None:
    """The node that documents read at `prefix` make; see `read_node`."""
    try:
        return fmt.node({k: v for k, v in documents.items() if k in fmt.documents})
    except Error as error:
        raise error.located(store=store_name(store), key=prefix, operation="open") from None


async def change_document(
    store: KeyValueStore,
    key: str,
    change: Callable[[bytes | None], bytes | None],
    *,
    required: bool = False,
) -> None:
    """Replaces a document by what `change` makes of it, on condition that it is still the same.

    Begun again, and `change` called again, as often as somebody else was faster. Stores that
    cannot compare and swap are written unconditionally.

    Args:
        store: The store.
        key: Key of the document.
        change: From the stored bytes (None: nothing is stored) to the new ones (None: delete).
        required: Fail if nothing is stored.

    Raises:
        NotFound: Nothing is stored, and it is `required`.

    A cancelled call has changed it or never will.
    """
    conditional = store.capabilities.can_compare_and_swap
    while True:
        found = await store.read(key)
        current = bytes(found.value) if found.state == "value" else None
        if required and current is None:
            raise NotFound("the node was deleted", key=key, store=store_name(store))
        try:
            new = change(current)
        except DataLoss as error:
            raise error.located(store=store_name(store), key=key, operation="write") from None
        if new == current:
            return
        condition = found.stamp.generation if conditional else UNKNOWN
        if (await store.write(key, new, condition)).generation != UNKNOWN:
            return


def store_name(store: KeyValueStore, path: str = "") -> str:
    """What errors call a place in a store."""
    try:
        return store.url(path)
    except Error:
        return f"{store.driver}:{path}"
