"""What a transaction writes to one JSON document: edits, applied to whatever is stored then."""

from __future__ import annotations

import threading

from asynctensor.drivers.json.edit import Edit, edited
from asynctensor.transaction.staged_value import StagedValue


class StagedEdits(StagedValue):
    """Edits of one document, in order. Thread-safe.

    Args:
        before: What was staged for the key before; None for what is stored.
    """

    def __init__(self, before: StagedValue | None) -> None:
        self._before = before
        self._lock = threading.Lock()
        self._edits: list[Edit] = []

    def add(self, edit: Edit) -> None:
        """Adds an edit after those that are there."""
        with self._lock:
            if not edit.tokens:
                self._edits.clear()
            self._edits.append(edit)

    @property
    def needs_current(self) -> bool:
        """Whether the document is not replaced as a whole."""
        with self._lock:
            if self._edits and not self._edits[0].tokens:
                return False
        return self._before is None or self._before.needs_current

    async def value(self, current: bytes | None) -> bytes | None:
        """The document after the edits.

        Raises:
            FailedPrecondition: One of them leads nowhere.
        """
        with self._lock:
            edits = list(self._edits)
        if self._before is not None:
            current = await self._before.value(current)
        new, errors = edited(current, edits)
        for error in errors:
            if error is not None:
                raise error
        return new
