"""Packs of pages: what a fold writes, one behind the other, in few objects.

::

    pack = *( page | value )         ; found by the references to them alone
"""

from __future__ import annotations

from collections.abc import Callable

#: A pack is closed when it has this many bytes.
PACK_BYTES = 1 << 25


class PagePacks:
    """Collects the pages of one fold, and of any number of trees.

    Args:
        new_name: Gives a name that was never used before.
        limit: A pack of this many bytes takes no more.
    """

    def __init__(self, new_name: Callable[[], str], limit: int = PACK_BYTES) -> None:
        self._new_name = new_name
        self._limit = limit
        self._name = ""
        self._open = bytearray()
        self._closed: list[tuple[str, bytes]] = []
        #: Bytes added so far.
        self.size = 0

    def add(self, data: bytes) -> tuple[str, int]:
        """Adds `data`, and returns the object that will hold it, and where."""
        if len(self._open) >= self._limit:
            self._close()
        if not self._name:
            self._name = self._new_name()
        offset = len(self._open)
        self._open += data
        self.size += len(data)
        return self._name, offset

    def take_closed(self) -> list[tuple[str, bytes]]:
        """Hands over the packs that are full, so that they can be written meanwhile."""
        closed, self._closed = self._closed, []
        return closed

    def take_all(self) -> list[tuple[str, bytes]]:
        """Hands over all that is left, each an object's name and bytes."""
        if self._name:
            self._close()
        return self.take_closed()

    def _close(self) -> None:
        self._closed.append((self._name, bytes(self._open)))
        self._name, self._open = "", bytearray()
