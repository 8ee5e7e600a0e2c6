"""Versions of objects: their generations. Pure.

Grammar of a generation::

    generation = %x00 1*20DIGIT      ; Google's number of the object's version

Every version of a name has a number of its own, which never comes back.
"""

from __future__ import annotations

from asynctensor.errors import FailedPrecondition
from asynctensor.storage.generation import NO_VALUE

_NUMBER = b"\x00"


def generation_of(text: object) -> bytes:
    """The generation that a server names.

    Raises:
        FailedPrecondition: It names none.
    """
    number = str(text)
    if not number.isascii() or not number.isdigit() or len(number) > 20 or not int(number):
        raise FailedPrecondition(
            "the server gave no generation, by which versions of objects are told"
        )
    return _NUMBER + number.encode()


def number_of(generation: bytes) -> str | None:
    """What Google calls a generation, ``"0"`` for no object; None if it is none of this store."""
    if generation == NO_VALUE:
        return "0"
    number = generation[1:]
    if generation[:1] != _NUMBER or not number.isdigit() or len(number) > 20:
        return None
    return number.decode()
