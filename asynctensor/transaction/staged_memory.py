"""How much of what a transaction has staged is in memory, and when it is too much. Pure."""

from __future__ import annotations

import threading

from asynctensor.errors import InvalidArgument

#: Bytes of staged data that a transaction holds in memory unless it is told otherwise.
DEFAULT_LIMIT = 1 << 30


class StagedMemory:
    """Counts bytes; thread-safe.

    Args:
        limit: So many may be in memory.

    Raises:
        InvalidArgument: `limit` is no number of bytes.
    """

    def __init__(self, limit: int) -> None:
        if type(limit) is not int or limit < 0:
            raise InvalidArgument(f"staged_bytes_limit is a number of bytes, not {limit!r}")
        self.limit = limit
        self._lock = threading.Lock()
        self._held = 0
        #: What cannot be moved out of memory.
        self._rest = 0
        self._moving = False

    def add(self, nbytes: int) -> bool:
        """Counts what was staged; gives whether it is time to move it out of memory."""
        with self._lock:
            self._held += nbytes
            # What stays in any case must not have all of it looked at again and again.
            if self._moving or self._held - self._rest <= max(self.limit - self._rest, self._rest):
                return False
            self._moving = True
            return True

    def moved(self, rest: int) -> None:
        """Says that all is moved but `rest`."""
        with self._lock:
            self._held = self._rest = rest
            self._moving = False
