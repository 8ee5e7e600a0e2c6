"""What all formats check of a spec's constraints, in the same words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any

from asynctensor.chunked.chunk_choice import choose_chunk_shape
from asynctensor.errors import InvalidArgument, Unimplemented
from asynctensor.schema.chunk_grid import grid_of
from asynctensor.schema.codec_spec import CodecSpec
from asynctensor.schema.contradiction import contradiction
from asynctensor.schema.layout_state import LayoutState, grid_origin_of

_COUNTABLE = 2**63 - 1


@contextmanager
def within_spec() -> Iterator[None]:
    """Where a spec is read: what is not known here is a mistake of whoever wrote it."""
    try:
        yield
    except Unimplemented as error:
        refused = InvalidArgument(error.message)
        refused.contradicting = error.contradicting
        raise refused from error


def codec_members(codec: CodecSpec | None, driver: str, *aliases: str) -> Mapping[str, Any] | None:
    """The members of a schema's codec; None if the schema asks for none.

    Args:
        codec: The schema's.
        driver: Whose codec is expected.
        aliases: Its other names.

    Raises:
        InvalidArgument: It is another driver's.
    """
    if codec is None:
        return None
    if codec.driver not in (driver, *aliases):
        raise contradiction(
            f'the codec of the schema is of the driver "{codec.driver}", expected "{driver}"',
            "schema.codec.driver",
            "driver",
        )
    return codec.members


def only_chunk_shape(
    layout: LayoutState, chunk_shape: tuple[int, ...] | None, shape: tuple[int, ...]
) -> tuple[int, ...]:
    """The chunk shape of a new array whose chunks are read and written whole, from the origin on.

    Args:
        layout: What the schema wants.
        chunk_shape: What a spec's ``metadata`` says.
        shape: Shape of the array.

    Raises:
        InvalidArgument: They contradict each other, or ask for chunks within chunks.
    """
    layout = layout.with_grid_origin(grid_origin_of([0] * len(shape), True))
    if chunk_shape is not None:
        layout = layout.with_grid("write", grid_of("shape", True, chunk_shape))
    if layout.codec.normalized().shape:
        raise contradiction(
            "codec_chunk_shape not supported", "schema.chunk_layout.codec_chunk", "driver"
        )
    # What is read is what is written.
    return choose_chunk_shape(layout.with_grid("write", layout.read).write, shape)


def check_chunk_bytes(
    member: str, chunk_shape: tuple[int, ...], itemsize: int, most: int = _COUNTABLE
) -> None:
    """Checks that a chunk has no more bytes than a format allows, or than can be counted.

    Args:
        member: Path of the member that says the shape.
        chunk_shape: The shape.
        itemsize: Bytes of one element.
        most: How many bytes are allowed.

    Raises:
        InvalidArgument: It has more.
    """
    if prod(chunk_shape) * itemsize > most:
        limit = "2^63 bytes or more" if most == _COUNTABLE else f"more than {most} bytes"
        raise InvalidArgument(
            f'member "{member}": a chunk of shape {list(chunk_shape)} has {limit}'
        )
