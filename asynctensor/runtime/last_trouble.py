"""What went wrong with work that is tried again: told, if its time runs out meanwhile.

Who retries says so (`tried`), and who knows what the work is about (`at_work_on`); whoever set a
limit to it (`watched`) finds both there. Work that is shared tells those alone for whom it was
begun.
"""

from __future__ import annotations

from contextvars import ContextVar

from asynctensor.errors import Error


class LastTrouble:
    """The last failure of a piece of work.

    Attributes:
        failure: It; None as long as nothing failed.
        attempt: Which attempt that was, from 1 on, and at what.
        key: What the work reads or writes; None if nobody said it. `store` and `operation`
            likewise.
    """

    __slots__ = ("attempt", "failure", "key", "operation", "store")

    def __init__(self) -> None:
        self.failure: Error | None = None
        self.attempt = ""
        self.key: str | None = None
        self.store: str | None = None
        self.operation: str | None = None


_WATCHED: ContextVar[LastTrouble | None] = ContextVar("last trouble", default=None)


def watched() -> LastTrouble:
    """Has the failures of what the running task does from now on noted in what this gives."""
    trouble = LastTrouble()
    _WATCHED.set(trouble)
    return trouble


def at_work_on(key: str | None, store: str, operation: str) -> None:
    """Says what the running task is about, for the error that its time has run out."""
    trouble = _WATCHED.get()
    if trouble is not None:
        trouble.key, trouble.store, trouble.operation = key, store, operation


def tried(failure: Error, number: int, what: object) -> None:
    """Notes that an attempt failed, and that another one follows.

    Args:
        failure: Why.
        number: Which attempt that was, from 1 on.
        what: What was tried; its repr has no secret in it.
    """
    trouble = _WATCHED.get()
    if trouble is not None:
        trouble.failure, trouble.attempt = failure, f"{number} at {what!r}"
