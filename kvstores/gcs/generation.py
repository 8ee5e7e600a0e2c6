"""Versions of objects: their generations. Pure.

Grammar of a generation, which is TensorStore's::

    generation = %x00 8OCTET      ; Google's number of the object's version, little-endian

Every version of a name has a number of its own, which never comes back.
"""

from __future__ import annotations

from typing import Final

from asynctensor.errors import FailedPrecondition
from asynctensor.storage.generation import NO_VALUE

_NUMBER: Final = b"\x00"
_SIZE: Final = 8


def generation_of(text: object) -> bytes:
    """The generation that a server names.

    Raises:
        FailedPrecondition: It names none.
    """
    number = str(text)
    if not number.isascii() or not number.isdigit() or not 0 < len(number) < 20:
        number = "0"
    if int(number) == 0:
        raise FailedPrecondition(
            "the server gave no generation, by which versions of objects are told"
        )
    return _NUMBER + int(number).to_bytes(_SIZE, "little")


def number_of(generation: bytes) -> str | None:
    """What Google calls a generation, ``"0"`` for no object; None if it is none of this store."""
    if generation == NO_VALUE:
        return "0"
    if generation[:1] != _NUMBER or len(generation) != 1 + _SIZE:
        return None
    # A condition of "0" would ask for no object.
    number = int.from_bytes(generation[1:], "little")
    return str(number) if 0 < number < 1 << 63 else None
