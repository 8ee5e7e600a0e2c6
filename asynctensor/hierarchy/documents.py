"""Reading the documents of nodes, and changing one of them without losing anybody's change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from asynctensor.chunked.document_merge import MergeRules
from asynctensor.chunked.documents import merge_by
from asynctensor.errors import DataLoss, Error, NotFound
from asynctensor.hierarchy.node_format import Node, NodeFormat
from asynctensor.storage.generation import UNKNOWN
from asynctensor.storage.kvstore import KeyValueStore, ReadResult
from asynctensor.storage.store_name import store_name
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.staged_value import Reliance


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


async def glance_documents(
    store: KeyValueStore, prefix: str, names: Iterable[str]
) -> dict[str, bytes]:
    """What `read_documents` gives; the commit of a transaction does not rest on it."""
    if not isinstance(store, StagedStore):
        return await read_documents(store, prefix, names)
    keys = list(names)
    found = await asyncio.gather(*(store.glance(prefix + key) for key in keys))
    return {
        key: bytes(each.value)
        for key, each in zip(keys, found, strict=True)
        if each.state == "value"
    }


async def glance_node(store: KeyValueStore, prefix: str, fmt: NodeFormat) -> Node | None:
    """The node at `prefix` as `read_node` gives it, for those who rely on no more than its kind.

    In a transaction, the commit rests on that, not on all of its documents.
    """
    if not isinstance(store, StagedStore):
        return await read_node(store, prefix, fmt)
    documents = await glance_documents(store, prefix, fmt.documents)
    rely_on_kind(store, prefix, fmt, documents)
    return node_of(store, prefix, fmt, documents)


def rely_on_kind(
    store: StagedStore, prefix: str, fmt: NodeFormat, documents: Mapping[str, bytes]
) -> None:
    """Has the commit rest on there being a group, an array or nothing, as `documents` say."""
    staging = store.staging()
    for name in fmt.documents:
        seen = staging.seen.get(prefix + name)
        if seen is not None and staging.staged(prefix + name) is None:
            reliance = KindReliance(seen.stamp.generation, fmt, name, documents.get(name))
            store.rely_on(prefix + name, reliance)


class KindReliance(Reliance):
    """Whether there is a node, and whether it is a group or an array, as one document says.

    Args:
        generation: The document's.
        fmt: The format.
        name: The document.
        document: As it is known; None: there is none.
    """

    def __init__(
        self, generation: bytes, fmt: NodeFormat, name: str, document: bytes | None
    ) -> None:
        super().__init__(generation)
        self._format, self._name = fmt, name
        self._kind = self._kind_of(document)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KindReliance) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        return self.generation, self._format.driver, self._name, self._kind

    def _kind_of(self, document: bytes | None) -> str | None:
        node = None if document is None else self._format.node({self._name: document})
        return None if node is None else node.kind

    def broken(
        self, stored: bytes | None, outcome: bytes | None, reads: bool
    ) -> tuple[str, ...] | None:
        """See `Reliance.broken`."""
        if not reads or self._kind_of(stored) == self._kind:
            return None
        # That a group has come where there was none is in nobody's way who makes the same.
        return None if self._kind is None and outcome == stored is not None else ()


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
    rules: MergeRules,
    required: bool = False,
) -> None:
    """Replaces a document by what `change` makes of it, on condition that it is still the same.

    Begun again, and `change` called again, as often as somebody else was faster. Stores that
    cannot compare and swap are written unconditionally. In a transaction, the change is staged,
    and merged with what others change.

    Args:
        store: The store.
        key: Key of the document.
        change: From the stored bytes (None: nothing is stored) to the new ones (None: delete).
        rules: How versions of the document merge.
        required: Fail if nothing is stored.

    Raises:
        NotFound: Nothing is stored, and it is `required`.

    A cancelled call has changed it or never will.
    """

    def changed(current: bytes | None) -> bytes | None:
        if required and current is None:
            raise NotFound("the node was deleted", key=key, store=store_name(store))
        try:
            return change(current)
        except DataLoss as error:
            raise error.located(store=store_name(store), key=key, operation="write") from None

    if isinstance(store, StagedStore):
        await store.change(key, changed, merge_by(rules))
        return
    conditional = store.capabilities.can_compare_and_swap
    while True:
        found = await store.read(key)
        current = bytes(found.value) if found.state == "value" else None
        new = changed(current)
        if new == current:
            return
        condition = found.stamp.generation if conditional else UNKNOWN
        if (await store.write(key, new, condition)).generation != UNKNOWN:
            return
