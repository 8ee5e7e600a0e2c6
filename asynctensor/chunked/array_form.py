"""What another process needs to know of an array to take its chunks apart. Pure.

::

    form      = driver NUL document  ; the name of a format, and the array's metadata
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from asynctensor.chunked.format import ArrayFormat, ArrayLayout
from asynctensor.errors import Error, InvalidArgument


def encode_form(fmt: ArrayFormat[Any], metadata: Any) -> bytes | None:
    """The form of an array; None if its document does not tell how its chunks are seen.

    That is so where records are seen as bytes, or by one of their fields.
    """
    try:
        document = fmt.serialize(metadata)
        stored = fmt.layout(fmt.parse(document))
    except Error:
        return None
    seen = fmt.layout(metadata)
    if (stored.dtype, stored.chunk_shape) != (seen.dtype, seen.chunk_shape):
        return None
    return fmt.driver.encode() + b"\0" + document


def decode_form(data: bytes, format_of: Callable[[str], ArrayFormat[Any]]) -> ArrayLayout:
    """The layout of the array that has a form.

    Args:
        data: The form.
        format_of: Finds a format by its name.

    Raises:
        InvalidArgument, DataLoss, Unimplemented: It is none, or none that is known here.
    """
    driver, _, document = data.partition(b"\0")
    if not driver.isascii():
        raise InvalidArgument("what an array is, is told wrongly: it names no format")
    fmt = format_of(driver.decode())
    return fmt.layout(fmt.parse(document))


def form_of(fmt: ArrayFormat[Any], metadata: Any) -> Callable[[], bytes | None]:
    """`encode_form`, once it is asked for, and once only."""
    return cache(lambda: encode_form(fmt, metadata))
