"""Memory that answers are read into, and that those of some size are handed out in.

All connections of a loop read into one slot, as long as each takes out at once what it has read. An
answer that came in one piece is not copied: whoever waits for it is given its part of the slot, and
what comes next is read behind it, or into another slot when there is little room left. A slot is
read into again when nobody refers to any part of it, which a bytearray tells: it refuses to change
its length before.

A copy would be into memory that malloc gives back to the system between two waves of answers, page
by page: fetching those again took more time than copying.
"""

from __future__ import annotations

from collections import deque
from typing import Final

#: Bytes of a slot.
SLOT: Final = 2**20
#: Bytes of the least room to read into: most chunks come in one read.
ROOM: Final = 256 * 1024
#: Slots of which parts are handed out, at most; beyond them, answers are copied.
_MOST: Final = 24
#: Slots that are looked at for one that nobody refers to: some may be kept for long.
_LOOKS: Final = 4


class ReadSlots:
    """The slots of one loop; for it alone.

    Attributes:
        view: What is to be read into now, at least `ROOM` bytes; another after `taken`.
    """

    __slots__ = ("_current", "_handed_out", "_start", "view")

    def __init__(self) -> None:
        #: The oldest first, more or less.
        self._handed_out: deque[bytearray] = deque()
        self._current = bytearray(ROOM)
        #: Where `view` begins in the current slot.
        self._start = 0
        self.view = memoryview(self._current)

    def find(self, what: bytes, stop: int) -> int:
        """Where `what` begins in the first `stop` bytes of `view`; -1: it is not there."""
        found = self._current.find(what, self._start, self._start + stop)
        return found if found < 0 else found - self._start

    def taken(self, start: int, stop: int) -> memoryview | None:
        """Hands out a part of `view` as it is; None if there is no other room to read into."""
        part = self.view[start:stop]
        at = self._start + stop
        if len(self._current) - at < ROOM:
            following = self._unused()
            if following is None:
                return None
            self._handed_out.append(self._current)
            self._current, at = following, 0
        self._start, self.view = at, memoryview(self._current)[at:]
        return part

    def forget(self) -> None:
        """Lets go of all that is handed out: who has it keeps it."""
        self._handed_out.clear()

    def _unused(self) -> bytearray | None:
        slots = self._handed_out
        for _ in range(min(_LOOKS, len(slots))):
            slot = slots.popleft()
            if len(slot) < SLOT:
                continue  # The first one.
            try:
                # Refused while a memoryview or an array is left.
                slot.append(slot.pop())
            except BufferError:
                slots.append(slot)
            else:
                return slot
        return bytearray(SLOT) if len(slots) < _MOST else None
