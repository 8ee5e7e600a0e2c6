"""Digests of bodies, taken by worker threads: those that are asked for in one turn share a hop.

A hop costs both threads more than the digest of a chunk of some hundred kilobytes takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from asynctensor.runtime.process import PROCESS
from asynctensor.storage.kvstore import Buffer

T = TypeVar("T")
#: Bytes for one hop, unless it is one body alone: about a millisecond of work.
_HOP: Final = 1 << 20
_NAME: Final = "digests"


@dataclass(slots=True, eq=False)
class _Asked:
    """One digest that somebody waits for."""

    compute: Callable[[Any], Any]
    body: Buffer
    found: asyncio.Future[Any]
    error: BaseException | None = None
    value: Any = None


@dataclass(slots=True, eq=False)
class _Turn:
    """What was asked for in this turn of a loop."""

    loop: asyncio.AbstractEventLoop
    asked: list[_Asked] = field(default_factory=list)


async def digest_of(compute: Callable[[Buffer], T], body: Buffer) -> T:
    """What a function says of a body, computed on a worker thread; for the I/O loop alone.

    Args:
        compute: It; it should let go of the GIL where it takes long.
        body: The body, which must not change meanwhile, also where the call is cancelled.

    Raises:
        Exception: What `compute` raises.
    """
    loop = asyncio.get_running_loop()
    turn = PROCESS.shared.get(_NAME)
    if not isinstance(turn, _Turn) or turn.loop is not loop:
        turn = PROCESS.shared[_NAME] = _Turn(loop)
    if not turn.asked:
        loop.call_soon(_end, turn)
    asked = _Asked(compute, body, loop.create_future())
    turn.asked.append(asked)
    found: T = await asked.found
    return found


def _end(turn: _Turn) -> None:
    """Hands to workers what was asked for in a turn."""
    asked, turn.asked = turn.asked, []
    for group in _groups(asked):
        try:
            done = turn.loop.run_in_executor(None, _compute, group)
        except RuntimeError as error:
            # The loop is about to end.
            for each in group:
                each.error = error
            _tell(group, None)
        else:
            done.add_done_callback(partial(_tell, group))


def _groups(asked: list[_Asked]) -> Iterator[list[_Asked]]:
    group: list[_Asked] = []
    size = 0
    for each in asked:
        if group and size + len(each.body) > _HOP:
            yield group
            group, size = [], 0
        group.append(each)
        size += len(each.body)
    yield group


def _compute(group: list[_Asked]) -> None:
    """On a worker."""
    for each in group:
        try:
            each.value = each.compute(each.body)
        except Exception as error:  # noqa: BLE001 -- for whoever waits
            each.error = error


def _tell(group: list[_Asked], _: object) -> None:
    for each in group:
        if each.found.done():
            # Given up meanwhile.
            continue
        if each.error is None:
            each.found.set_result(each.value)
        else:
            each.found.set_exception(each.error)
