"""What went wrong with work that is tried again: told, if its time runs out meanwhile.

Who retries says so (`LastTrouble.tried`), and who knows what the work is about (`at_work_on`);
whoever set a limit to it (`watched`) finds both there. Work that is shared tells those alone for
whom it was begun.

Only whoever set the limit holds on to it: contexts live on with what was made in them (connections,
say), and a failure's traceback with what it was about.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TypeAlias
from weakref import ReferenceType, ref

from asynctensor.errors import DeadlineExceeded, Error


class LastTrouble:
    """The last failure of a piece of work.

    Attributes:
        failure: It; None as long as nothing failed.
        attempt: Which attempt that was, from 1 on, and at what.
        key: What the work reads or writes; None if nobody said it. `store` and `operation`
            likewise.
    """

    __slots__ = ("__weakref__", "attempt", "failure", "key", "operation", "store")

    def __init__(self) -> None:
        self.failure: Error | None = None
        self.attempt = ""
        self.key: str | None = None
        self.store: str | None = None
        self.operation: str | None = None

    def tried(self, failure: Error, number: int, what: object) -> None:
        """Notes that an attempt failed, and that another one follows.

        Args:
            failure: Why.
            number: Which attempt that was, from 1 on.
            what: What was tried; its repr has no secret in it.
        """
        self.failure, self.attempt = failure, f"{number} at {what!r}"

    def too_late(self, text: str) -> DeadlineExceeded:
        """The error that says that time has run out, and what had failed meanwhile."""
        failure = self.failure
        if failure is not None:
            text = f"{text}, after attempt {self.attempt} had failed: {failure.message}"
        error = DeadlineExceeded(text)
        if failure is not None:
            error.located(key=failure.key, store=failure.store, operation=failure.operation)
            error.__cause__ = failure
        error.located(key=self.key, store=self.store, operation=self.operation)
        return error


#: Where the last failure is to be noted, as it is handed on.
Watch: TypeAlias = "ReferenceType[LastTrouble] | None"
#: That of what the running task does.
WATCHED: ContextVar[Watch] = ContextVar("last trouble", default=None)


def watched(trouble: LastTrouble | None = None) -> LastTrouble:
    """Has the failures of what the running task does from now on noted in what this gives."""
    trouble = trouble or LastTrouble()
    WATCHED.set(ref(trouble))
    return trouble


def found(watch: Watch) -> LastTrouble | None:
    """What `watch` stands for, as long as somebody wants to know."""
    return None if watch is None else watch()


def at_work_on(key: str | None, store: str, operation: str) -> None:
    """Says what the running task is about, for the error that its time has run out."""
    trouble = found(WATCHED.get())
    if trouble is not None:
        trouble.key, trouble.store, trouble.operation = key, store, operation
