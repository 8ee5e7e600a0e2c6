"""Values of which a transaction wrote a part: what several processes need to make one of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class Written(NamedTuple):
    """Which part of a value was written; the rest is as it was. Opaque to stores.

    Attributes:
        of: What the value is a chunk of; the same for many values.
        part: Which part of it.
    """

    of: bytes
    part: bytes


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one writer made of a value.

    Attributes:
        writer: Who, for messages.
        value: All of it, with what was there before in the rest; None: nothing is to be stored.
        written: Which part is the writer's; None: all.
    """

    writer: str
    value: bytes | None
    written: Written | None


#: Makes one value of what several have contributed to that at a key, at least one of them a part.
#: Raises `FailedPrecondition` where they wrote different things in one place.
Merge: TypeAlias = "Callable[[str, Sequence[Contribution]], Awaitable[bytes | None]]"
