"""Sources of what says who asks: one of each for the whole process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from enum import Enum
from typing import Any, Final, TypeVar

from asynctensor.runtime.process import PROCESS

G = TypeVar("G", bound=Hashable)
S = TypeVar("S")


class Pending(Enum):
    """What a source says at once where it has to look first."""

    PENDING = "pending"


PENDING: Final = Pending.PENDING


def shared_source(name: str, given: G, make: Callable[[G], S]) -> S:
    """The process's source for these credentials: what was looked up is shared.

    Credentials that hold secrets are equal only where those are; so nobody is given what was looked
    up for others.

    Args:
        name: Of the kind of sources.
        given: The credentials.
        make: Makes a source, on the running loop.
    """
    sources: Any = PROCESS.shared.setdefault(name, {})
    place = (id(asyncio.get_running_loop()), given)
    found: S | None = sources.get(place)
    if found is None:
        found = sources[place] = make(given)
    return found
