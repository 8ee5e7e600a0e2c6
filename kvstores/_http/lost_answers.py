"""What became of a conditional write whose answer was lost.

It is looked for. Each such write says of itself, in the metadata of the object that it makes::

    mark = token SP replaced     ; unique; the version that it was to replace, or "-"

What carries the token is what this write made. What stands there instead, and is marked as having
replaced the same object or is older than this write, shows that the condition failed. If neither
can be seen, and the server has not even said that it failed, nobody can know, and `OutcomeUnknown`
says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from asynctensor.errors import Error
from asynctensor.kvstores._http.attempts import OutcomeUnknown
from asynctensor.kvstores._http.errors import NoAnswer
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores._http.stored import Head
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.runtime.entropy import random_hex, uniform
from asynctensor.scheduler.retry import RetryPolicy
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration

#: Seconds that the clocks of one service may differ by, whole seconds included.
_SLACK: Final = 5.0
#: Sends the write: once more each time it is called.
Send: TypeAlias = Callable[[], Awaitable[Response]]
#: Looks at what is stored now.
Look: TypeAlias = Callable[[], Awaitable[Head]]
#: What an answer says that leaves no doubt: the new generation, or `UNKNOWN` where the condition
#: did not hold. Raises where it says something else.
Outcome: TypeAlias = Callable[[Response], TimestampedStorageGeneration]


def new_mark(replaced: str | None) -> str:
    """What a write is to say of itself.

    Args:
        replaced: The version that it replaces, in the service's own words; None: nothing.
    """
    return f"{random_hex(12)} {replaced or '-'}"


class Fate(Enum):
    """What became of a conditional write, as far as what is stored shows it."""

    HAPPENED = "it was done"
    REFUSED = "its condition did not hold"
    PENDING = "its condition holds still"
    HIDDEN = "others have written since"


@dataclass(frozen=True, slots=True)
class ConditionalWrite:
    """A conditional write.

    Attributes:
        if_equal: Its condition.
        mark: What it says of itself; None: it is a delete.
    """

    if_equal: bytes
    mark: str | None

    def fate(self, found: Head, seconds: float) -> Fate:
        """What `found` shows, `seconds` after the write was begun."""
        if self.mark is None:
            # Whoever deleted it, it is deleted.
            if found.generation == NO_VALUE:
                return Fate.HAPPENED
        elif found.mark == self.mark:
            return Fate.HAPPENED
        if self.if_equal in (UNKNOWN, found.generation):
            return Fate.PENDING
        if self.mark is not None and found.mark.partition(" ")[2] == self.mark.partition(" ")[2]:
            return Fate.REFUSED
        if found.age > seconds + _SLACK:
            return Fate.REFUSED
        return Fate.HIDDEN


def _never(answer: Response) -> bool:
    return False


@contextmanager
def _still(doubt: OutcomeUnknown) -> Iterator[None]:
    """An error that only says that the doubt cannot be resolved is no sign of nothing done."""
    try:
        yield
    except Error as error:
        raise _unresolved(doubt, error) from error


def _unresolved(doubt: OutcomeUnknown, error: Error) -> OutcomeUnknown:
    return OutcomeUnknown(f"{doubt.message}; asked again: {error.message}")


async def until_known(
    write: ConditionalWrite,
    send: Send,
    look: Look,
    outcome: Outcome,
    retries: RetryPolicy,
    is_over: Callable[[Response], bool] = _never,
) -> TimestampedStorageGeneration:
    """Sends a conditional write, and again while it is surely not done, until its outcome is known.

    Args:
        write: Which.
        send: Sends it; raises `OutcomeUnknown` where its answer is lost.
        look: Looks at what is stored.
        outcome: Reads an answer.
        retries: How often it is sent.
        is_over: Whether an answer says that an earlier attempt may have been done, and that it
            cannot be done again.

    Raises:
        OutcomeUnknown: What is stored does not show whether it was done.
        Error: As `send`, `look` and `outcome` do, while nothing is in doubt.
    """
    attempt, delay, begun = 0, 0.0, SYSTEM_CLOCK.monotonic()
    doubt: OutcomeUnknown | None = None
    while True:
        attempt += 1
        over = False
        try:
            answer = await send()
        except OutcomeUnknown as error:
            doubt = error
        except Error as error:
            if doubt is None:
                raise
            raise _unresolved(doubt, error) from error
        else:
            if doubt is None:
                return outcome(answer)
            over = is_over(answer)
            if not over:
                with _still(doubt):
                    stamp = outcome(answer)
                if stamp.generation != UNKNOWN:
                    return stamp
                # That an earlier attempt was done may be why.
        with _still(doubt):
            found = await look()
        fate = write.fate(found, SYSTEM_CLOCK.monotonic() - begun)
        if fate is Fate.HAPPENED:
            return TimestampedStorageGeneration(found.generation, found.time)
        lost = isinstance(doubt.__cause__, NoAnswer)
        if fate is Fate.REFUSED or (fate is Fate.HIDDEN and not lost):
            # Of the hidden ones, the server has said that it failed.
            return TimestampedStorageGeneration(UNKNOWN, found.time)
        after = retries.delay(attempt, delay, None, float("inf"), uniform)
        if fate is Fate.HIDDEN or over or after is None:
            raise doubt
        delay = after
        if attempt > 1 or not lost:
            await asyncio.sleep(after)
