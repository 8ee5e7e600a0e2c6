"""One turn of an event loop: what is collected during it, and when a task should let it end."""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop
from asyncio.events import _get_running_loop
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from asynctensor.runtime.process import PROCESS, ThreadState
from asynctensor.runtime.sources import SOURCES

T = TypeVar("T")

#: Seconds for which tasks may go on with finished futures before their loop gets a turn.
BREATH = 0.002

_log = logging.getLogger(__name__)


class Turn:
    """What the collectors gathered in one thread since its loop last came round."""

    __slots__ = ("_items", "_loop")

    def __init__(self) -> None:
        self._items: dict[TurnCollector[Any], list[Any]] = {}
        self._loop: AbstractEventLoop | None = None

    def items_of(self, collector: TurnCollector[T], loop: AbstractEventLoop) -> list[T]:
        """The list to which `collector` adds during this turn of `loop`."""
        items = self._items.get(collector)
        if items is None or self._loop is not loop:
            if self._loop is not loop:
                # Left over from a loop that was stopped before it came round.
                self.end()
                loop.call_soon(self.end)
                self._loop = loop
            items = self._items.setdefault(collector, [])
        return items

    def end(self) -> None:
        """Delivers everything, one call per collector."""
        self._loop = None
        collected, self._items = self._items, {}
        for collector, items in collected.items():
            try:
                collector.deliver(items)
            except Exception:  # noqa: BLE001 -- the other collectors still deliver
                _log.exception("What was collected in a turn could not be delivered")


class TurnCollector(Generic[T]):
    """Collects items during one turn of the caller's event loop and delivers them together.

    In a thread without a running loop each item is delivered at once. Any thread may add; each has
    a turn of its own. Whoever blocks a thread calls `end_turn` first, as `Future.result` does.

    Args:
        deliver: Takes the items of one turn, in the order in which they were added. Called in the
            thread that added them. What it raises is logged, or, where an item is delivered at
            once, raised to whoever added it.
    """

    __slots__ = ("deliver",)

    def __init__(self, deliver: Callable[[list[T]], None]) -> None:
        self.deliver = deliver

    def add(self, item: T) -> None:
        """Has `item` delivered at the end of this turn; at once where no loop is running."""
        loop = _get_running_loop()
        if loop is None:
            self.deliver([item])
            return
        local = PROCESS.local
        if local.turn is None:
            local.turn = Turn()
        local.turn.items_of(self, loop).append(item)


def end_turn() -> None:
    """Delivers now what this thread collected: it is about to block, and its loop with it."""
    turn = PROCESS.local.turn
    if turn is not None:
        turn.end()


def breath_due() -> bool:
    """Whether a task that need not wait should let its loop run all the same (a bare ``yield``).

    True once `BREATH` seconds passed since this thread's loop last came round for that reason;
    then true for every task until it has, so that many tasks together hold it no longer than one.
    """
    local = PROCESS.local
    if SOURCES.monotonic() < local.breath_until:
        return False
    loop = _get_running_loop()
    if loop is None:
        return False
    if local.breath_loop is not loop:
        local.breath_loop = loop
        loop.call_soon(_breathe, local)
    return True


def _breathe(local: ThreadState) -> None:
    local.breath_loop = None
    local.breath_until = SOURCES.monotonic() + BREATH
