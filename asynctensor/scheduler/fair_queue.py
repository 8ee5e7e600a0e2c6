"""A queue whose flows take turns: pure.

Whoever has asked for little is served next, however much others have asked for before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class FairQueue(Generic[T]):
    """Items in the order of their flows' turns; those of one flow in the order they came."""

    __slots__ = ("_flows", "_size")

    def __init__(self) -> None:
        #: Flows in the order of their turns; none is empty. Dicts, so that leaving costs nothing.
        self._flows: OrderedDict[Hashable, OrderedDict[T, None]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(self, flow: Hashable, item: T) -> None:
        """Puts an item, which is in no queue yet, behind the others of its flow."""
        queue = self._flows.get(flow)
        if queue is None:
            queue = self._flows[flow] = OrderedDict()
        queue[item] = None
        self._size += 1

    def first(self) -> T | None:
        """Whose turn it is; None if the queue is empty."""
        if not self._size:
            return None
        return next(iter(next(iter(self._flows.values()))))

    def pop(self) -> T:
        """Takes out what `first` says; its flow goes to the end of the line.

        Raises:
            KeyError: The queue is empty.
        """
        flow, queue = self._flows.popitem(last=False)
        item, _ = queue.popitem(last=False)
        if queue:
            self._flows[flow] = queue
        self._size -= 1
        return item

    def remove(self, flow: Hashable, item: T) -> bool:
        """Takes an item out; False if it is not there any more."""
        queue = self._flows.get(flow)
        if queue is None or item not in queue:
            return False
        del queue[item]
        if not queue:
            del self._flows[flow]
        self._size -= 1
        return True
