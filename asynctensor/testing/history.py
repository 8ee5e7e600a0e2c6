"""What transactions did and saw: what an isolation checker judges."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias


class Outcome(Enum):
    """What the client of a transaction was told."""

    COMMITTED = "committed"
    #: Told that nothing of it happened, or given up before the commit.
    ABORTED = "aborted"
    #: Nobody could tell: it counts as committed if anybody saw it, and otherwise not at all.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Read:
    """A key was read.

    Attributes:
        key: Which.
        value: What was there: of a list, a tuple of all that was appended; of a register, the value
            (None: never written).
    """

    key: str
    value: Any


@dataclass(frozen=True, slots=True)
class Append:
    """A value was added to the end of a list; nobody else adds this value to this list."""

    key: str
    value: Hashable


@dataclass(frozen=True, slots=True)
class Write:
    """The value of a register was replaced; nobody else writes this value there."""

    key: str
    value: Hashable


Operation: TypeAlias = Read | Append | Write


@dataclass(frozen=True, slots=True)
class Transacted:
    """One transaction.

    Attributes:
        name: For reports; no two have the same.
        operations: What it did, in order.
        outcome: How it ended.
        began: When; any clock, the same for all.
        ended: When its client was told the outcome.
    """

    name: str
    operations: tuple[Operation, ...]
    outcome: Outcome = Outcome.COMMITTED
    began: float = 0.0
    ended: float = float("inf")
