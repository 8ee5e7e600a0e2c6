"""Who must come before whom, and the shortest circles in it.

Adya's dependencies (A. Adya, "Weak Consistency: A Generalized Theory and Optimistic Implementations
for Distributed Transactions", MIT, 1999): ``ww`` (one wrote over the other), ``wr`` (one read what
the other wrote), ``rw`` (one read what the other then replaced); and ``rt``, which is none of his:
one had ended before the other began.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

#: From, to, kind, and why: the key concerned.
Edge: TypeAlias = "tuple[int, int, str, str]"


@dataclass(slots=True)
class DependencyGraph:
    """A graph of transactions, numbered from 0 on, with edges of several kinds."""

    _edges: dict[str, dict[int, dict[int, str]]] = field(default_factory=dict)

    def add(self, before: int, after: int, kind: str, why: str) -> None:
        """One depends on the other; on itself nobody does."""
        if before != after:
            self._edges.setdefault(kind, {}).setdefault(before, {}).setdefault(after, why)

    def _after(self, node: int, kinds: Iterable[str]) -> Iterator[Edge]:
        for kind in kinds:
            for other, why in self._edges.get(kind, {}).get(node, {}).items():
                yield node, other, kind, why

    def shortest_cycle(
        self, kinds: Sequence[str], having: str, *, times: int = 1
    ) -> list[Edge] | None:
        """The shortest circle of edges of `kinds`, with edges of kind `having` among them.

        Args:
            kinds: Which edges may be used.
            having: A kind that must occur; it may be one of `kinds` or not. If it is not, it
                occurs once.
            times: How often it must occur at least: once or twice.
        """
        best: list[Edge] | None = None
        component = self._components({*kinds, having})
        for before, others in self._edges.get(having, {}).items():
            for after, why in others.items():
                if component.get(before) != component.get(after):
                    continue
                back = self._path(after, before, kinds, having if times == 2 else None)
                if back is not None and (best is None or len(back) + 1 < len(best)):
                    best = [(before, after, having, why), *back]
        return best

    def _path(
        self, start: int, end: int, kinds: Sequence[str], having: str | None
    ) -> list[Edge] | None:
        """The shortest way that passes nobody twice, with an edge of kind `having` if given."""
        first = (start, having is None)
        came: dict[tuple[int, bool], tuple[tuple[int, bool], Edge] | None] = {first: None}
        queue = deque([first])
        while queue:
            state = queue.popleft()
            node, had = state
            if node == end:
                if had:
                    path = _walked(came, state)
                    nodes = [edge[1] for edge in path]
                    return path if len(set(nodes)) == len(nodes) else None
                continue
            for edge in self._after(node, kinds):
                following = (edge[1], had or edge[2] == having)
                if edge[1] != start and following not in came:
                    came[following] = (state, edge)
                    queue.append(following)
        return None

    def _components(self, kinds: set[str]) -> dict[int, int]:
        """The strongly connected component of each node (R. Tarjan, 1972); without recursion."""
        order: dict[int, int] = {}
        low: dict[int, int] = {}
        component: dict[int, int] = {}
        stack: list[int] = []
        every = sorted({node for kind in kinds for node in self._edges.get(kind, {})})
        for root in every:
            if root in order:
                continue
            order[root] = low[root] = len(order)
            stack.append(root)
            work = [(root, self._after(root, sorted(kinds)))]
            while work:
                node, edges = work[-1]
                for _, other, _, _ in edges:
                    if other not in order:
                        order[other] = low[other] = len(order)
                        stack.append(other)
                        work.append((other, self._after(other, sorted(kinds))))
                        break
                    if other not in component:
                        low[node] = min(low[node], order[other])
                else:
                    work.pop()
                    if work:
                        low[work[-1][0]] = min(low[work[-1][0]], low[node])
                    if low[node] == order[node]:
                        while True:
                            member = stack.pop()
                            component[member] = node
                            if member == node:
                                break
        return component


def _walked(
    came: dict[tuple[int, bool], tuple[tuple[int, bool], Edge] | None], state: tuple[int, bool]
) -> list[Edge]:
    path = []
    while (step := came[state]) is not None:
        state, edge = step
        path.append(edge)
    return path[::-1]
