"""`Batch`: work that is handed over together, when the caller says so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from asynctensor.errors import InvalidArgument


class Batch:
    """Collects reads until `submit`, so that they are planned together.

    Reads made in one turn of an event loop are planned together anyhow; a batch does the same
    over several turns, and without a loop. Used as a context manager, leaving it submits. A batch
    that is dropped is submitted too.

    >>> array = at.array([1, 2, 3])
    >>> with at.Batch() as batch:
    ...     futures = [array[i].read(batch=batch) for i in (0, 2)]
    >>> [int(future.result()) for future in futures]
    [1, 3]
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = True
        self._collected: dict[Callable[[list[Any]], None], list[Any]] = {}

    def add(self, deliver: Callable[[list[Any]], None], item: Any) -> None:
        """Has ``deliver`` called with `item`, and what else it is to be given, at the submit.

        Raises:
            InvalidArgument: The batch was submitted.
        """
        with self._lock:
            if not self._open:
                raise InvalidArgument("batch was already submitted")
            self._collected.setdefault(deliver, []).append(item)

    def submit(self) -> None:
        """Starts everything that was collected.

        Raises:
            InvalidArgument: It was submitted before.
        """
        with self._lock:
            if not self._open:
                raise InvalidArgument("batch was already submitted")
            self._open = False
            collected, self._collected = self._collected, {}
        for deliver, items in collected.items():
            deliver(items)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._open:
            self.submit()

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            self.submit()
