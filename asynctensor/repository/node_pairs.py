"""Arrays and groups as they are in two states of a repository."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from asynctensor.hierarchy.array_summary import ArraySummary
from asynctensor.hierarchy.node_format import Node, NodeFormat
from asynctensor.hierarchy.walk import Place, look_at
from asynctensor.kvstores.repo.lookup import Found
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.source import FixedSource
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.state_difference import same_value
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.registry import node_formats

#: Directories that are remembered.
_KEPT = 4096


@dataclass(frozen=True, slots=True)
class NodePair:
    """The nodes of one format at one path.

    Attributes:
        path: Without a ``/`` at the end.
        format: Their format.
        nodes: What is there in either state; not both are None.
    """

    path: str
    format: NodeFormat
    nodes: tuple[Node | None, Node | None]

    @property
    def array(self) -> bool:
        """Whether one of them is an array."""
        return any(node is not None and node.kind == "array" for node in self.nodes)

    def summary(self, side: int) -> ArraySummary | None:
        """What the array of one state is; None if it is none there."""
        node = self.nodes[side]
        return None if node is None or node.kind != "array" else node.summary


class NodePairs:
    """Looks into directories of two states.

    Args:
        state: The repository.
        one: A state.
        other: Another.
    """

    def __init__(self, state: RepositoryState, one: Snapshot, other: Snapshot) -> None:
        self._sides = (one, other)
        self._stores = tuple(RepositoryStore(state, shown(each)) for each in self._sides)
        self._formats = node_formats()
        self._known: OrderedDict[str, tuple[NodePair, ...]] = OrderedDict()

    async def at(self, path: str) -> tuple[NodePair, ...]:
        """The nodes at a path; none of formats whose documents are damaged.

        Raises:
            DataLoss: The index is damaged, or a document's bytes are lost.
            Error: The store failed.
        """
        known = self._known.get(path)
        if known is not None:
            self._known.move_to_end(path)
            return known
        prefix = f"{path}/" if path else ""
        found = [await look_at(store, prefix, self._formats) for store in self._stores]
        pairs = []
        for fmt in self._formats:
            nodes = (_node(found[0], fmt), _node(found[1], fmt))
            if nodes != (None, None):
                pairs.append(NodePair(path, fmt, nodes))
        self._known[path] = tuple(pairs)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return self._known[path]

    async def speaks(self, pair: NodePair, name: str) -> bool:
        """Whether a document is the first of those that differ at its node: it speaks for all."""
        prefix = f"{pair.path}/" if pair.path else ""
        for other in sorted(pair.format.documents):
            if other >= name:
                return True
            if await self._differs(prefix + other):
                return False
        return True

    async def _differs(self, key: str) -> bool:
        before, after = await self._found(key)
        if before is None or after is None:
            return before is not after
        return not same_value(before, after)

    async def _found(self, key: str) -> tuple[Found | None, Found | None]:
        return await self._sides[0].find(key), await self._sides[1].find(key)


def _node(places: list[Place], fmt: NodeFormat) -> Node | None:
    return next((each.node for each in places if each.format is fmt), None)


def shown(snapshot: Snapshot) -> FixedSource:
    """What a store shows that shows a state."""

    async def given() -> Snapshot:
        return snapshot

    return FixedSource({"snapshot": f"{snapshot.branch}-{snapshot.version[0]}"}, given)
