"""Tries a store out before a repository is made in it (R37).

What a repository needs, the store is asked to do, in objects of its own that are deleted then:
create if absent, alone and in a race; give back what was created; list it. A store that says that
it did and did not is refused here, and not found out when a commit is lost.

::

    probe/R/K                                ; R: 16 hex digits, random; K: 0, 1; whatever is in it
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from asynctensor.errors import Error, FailedPrecondition, Unavailable, Unimplemented
from asynctensor.kvstores.repo.objects import RANDOM_BYTES
from asynctensor.kvstores.repo.place import Created, Place
from asynctensor.runtime.entropy import random_hex

#: Who tries to create one object at the same time.
_RACERS = 8
#: Attempts at a request that the store does not answer.
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Probe:
    """What a store was seen to do.

    Attributes:
        creates: It creates an object only if it is absent, and gives it back.
        lists: It lists what was just created.
    """

    creates: bool = True
    lists: bool = True


async def probed(place: Place, *, unsafe: bool = False) -> Probe:
    """Tries a store out.

    Args:
        place: Where the repository shall be.
        unsafe: Whether a store will do that does not create if absent.

    Raises:
        Unimplemented: It cannot create an object only if it is absent.
        FailedPrecondition: It says that it does, and does not.
        Error: The store failed.
    """
    capabilities = place.store.capabilities
    if not capabilities.can_create_if_absent:
        if unsafe:
            return Probe(creates=False, lists=capabilities.listable)
        raise Unimplemented(
            f"a repository needs a store that can create an object only if it is absent, and "
            f'"{place.store.driver}" cannot; unsafe=True accepts it, for a single writer'
        )
    folder = f"probe/{random_hex(RANDOM_BYTES)}/"
    names = [f"{folder}0", f"{folder}1"]
    try:
        wrong = await _twice(place, names[0]) or await _race(place, names[1])
        lists = capabilities.listable and await _lists(place, folder, names)
    finally:
        await asyncio.gather(*map(place.delete, names), return_exceptions=True)
    if wrong is not None and not unsafe:
        raise FailedPrecondition(
            f'the store "{place.store.driver}" cannot be trusted with a repository: {wrong}. '
            "unsafe=True accepts it, for a single writer",
            key=place.key(folder),
        )
    return Probe(wrong is None, lists)


async def _twice(place: Place, name: str) -> str | None:
    """What is wrong if an object is created twice."""
    first, second = b"first", b"second"
    outcome = await place.create(name, first)
    found = await _read(place, name)
    if found != first:
        if outcome is Created.UNKNOWN and found is None:
            raise Unavailable("the store does not say what it did", key=place.key(name))
        return "it does not give back what was just created"
    outcome = await place.create(name, second)
    if outcome is Created.CREATED or await _read(place, name) != first:
        return "it creates an object that is there already"
    return None


async def _race(place: Place, name: str) -> str | None:
    """What is wrong if many create an object at the same time."""
    bodies = [f"racer {number}".encode() for number in range(_RACERS)]
    outcomes = await asyncio.gather(*(place.create(name, body) for body in bodies))
    found = await _read(place, name)
    won = [
        body for body, outcome in zip(bodies, outcomes, strict=True) if outcome is Created.CREATED
    ]
    if len(won) > 1:
        return (
            f"{len(won)} of {_RACERS} who create an object at the same time are told that they did"
        )
    if found is None and Created.UNKNOWN in outcomes:
        raise Unavailable("the store does not say what it did", key=place.key(name))
    if found not in (won or bodies):
        return "it does not give back what was just created"
    return None


async def _lists(place: Place, folder: str, names: list[str]) -> bool:
    """Whether the store lists what is there; if not, others' intents are not looked for."""
    try:
        return sorted([entry.key async for entry in place.names(folder)]) == names
    except Error:
        return False


async def _read(place: Place, name: str) -> bytes | None:
    for _ in range(_ATTEMPTS - 1):
        try:
            return await place.get(name)
        except Unavailable:
            continue
    return await place.get(name)
