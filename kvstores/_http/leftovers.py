"""What a write has a service keep until it is over, taken back also where the runtime ends first.

A write that is cancelled waits for the requests that are on their way, and then takes back what is
there already. Where the interpreter exits meanwhile, a slow service would be left with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from asynctensor.kvstores._http.shared_transport import shared_transport
from asynctensor.runtime.event_loop import at_exit
from asynctensor.runtime.process import PROCESS

#: Takes it back, if there is something; fails where that cannot be done at once.
TakeBack: TypeAlias = Callable[[], Awaitable[object]]
_NAME = "what writes leave"


@dataclass(slots=True, eq=False)
class _Leftovers:
    """Those of the running loop."""

    loop: asyncio.AbstractEventLoop
    known: set[TakeBack] = field(default_factory=set)

    async def take_back(self) -> None:
        await asyncio.gather(*[each() for each in self.known], return_exceptions=True)


@contextmanager
def taken_back_at_exit(take_back: TakeBack) -> Iterator[None]:
    """Has `take_back` called if the runtime ends within the body, on its loop; for that alone.

    It has about a second.
    """
    known = _of_loop().known
    known.add(take_back)
    try:
        yield
    finally:
        known.discard(take_back)


def _of_loop() -> _Leftovers:
    loop = asyncio.get_running_loop()
    found = PROCESS.shared.get(_NAME)
    if isinstance(found, _Leftovers) and found.loop is loop:
        return found
    made = PROCESS.shared[_NAME] = _Leftovers(loop)
    # What is registered first is closed last.
    shared_transport()
    at_exit(made.take_back)
    return made
