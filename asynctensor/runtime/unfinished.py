"""What goes on in pieces, by workers or on a loop, until the last piece says that all has ended.

No task stands for it: where what does the pieces ends first, whoever waits has to be told.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from typing import Protocol
from weakref import ReferenceType, ref

from asynctensor.errors import Aborted, Error
from asynctensor.runtime.process import PROCESS


class Unfinished(Protocol):
    """A request of many pieces."""

    @property
    def loop(self) -> AbstractEventLoop | None:
        """Where its pieces are done; None: by workers alone."""
        ...

    def expire(self, error: Error) -> None:
        """Begins no further piece; whoever waits gets `error` once none is under way.

        It says in `error` what it is a request for.
        """
        ...

    def abandon(self, error: Error) -> None:
        """Gives whoever still waits `error` at once: nobody does a piece of it any more.

        It says in `error` what it is a request for.
        """
        ...


def begun(request: Unfinished) -> ReferenceType[Unfinished]:
    """Says that a request has begun; `ended` takes what this returns."""
    requests = PROCESS.requests
    # Weakly: of one that nobody holds, nobody waits for the end.
    mark = ref(request, requests.discard)
    requests.add(mark)
    return mark


def ended(mark: ReferenceType[Unfinished]) -> None:
    """Says that a request has ended."""
    PROCESS.requests.discard(mark)


def stop_requests(loop: AbstractEventLoop | None = None) -> None:
    """Stops those whose pieces are done on `loop`, or all: it is about to end, or workers are."""
    for request in _found(loop):
        request.expire(_runtime_ended())


def abandon_requests(loop: AbstractEventLoop | None = None) -> None:
    """Abandons those whose pieces were done on `loop`, or all: it has ended, or workers have."""
    for request in _found(loop):
        request.abandon(_runtime_ended())


def _found(loop: AbstractEventLoop | None) -> list[Unfinished]:
    requests = [mark() for mark in list(PROCESS.requests)]
    return [r for r in requests if r is not None and (loop is None or r.loop is loop)]


def _runtime_ended() -> Aborted:
    return Aborted(
        "the runtime ended during this operation, and how much of it was done is not known: do it "
        "again"
    )
