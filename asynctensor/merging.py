"""Making one value of what several processes of one transaction have written in parts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from asynctensor.chunked.array_form import decode_form
from asynctensor.chunked.format import ArrayLayout
from asynctensor.chunked.merged_chunk import Different, merged_chunk
from asynctensor.chunked.written_part import WrittenPart
from asynctensor.errors import Error, FailedPrecondition
from asynctensor.registry import format_of
from asynctensor.runtime.workers import data_copy_pool
from asynctensor.storage.partial_value import Contribution

#: Arrays whose layouts are kept.
_KEPT = 64


async def merge(key: str, contributions: Sequence[Contribution]) -> bytes | None:
    """See `storage.partial_value.Merge`.

    Takes the memory of two decoded chunks, or shards.

    Raises:
        FailedPrecondition: Two have written different elements in one place; it names the array,
            the chunk and the box of these elements.
        DataLoss: A value is damaged.
    """
    return await data_copy_pool().run(_merged, key, contributions)


def _merged(key: str, contributions: Sequence[Contribution]) -> bytes | None:
    forms = {each.written.of for each in contributions if each.written is not None}
    layouts = [_layout(form) for form in sorted(forms)]
    layout = layouts[0]
    alike = {(each.chunk_shape, each.dtype) for each in layouts}
    if len(alike) > 1:
        raise FailedPrecondition("several processes see the array differently", key=key)
    shape = layout.codec.shape
    parts = [
        WrittenPart.whole(shape)
        if each.written is None
        else WrittenPart.decode(each.written.part, shape)
        for each in contributions
    ]
    try:
        return merged_chunk(layout, [each.value for each in contributions], parts)
    except Different as error:
        raise _conflict(key, contributions, layout, error) from None
    except Error as error:
        error.located(key=key)
        raise


@lru_cache(_KEPT)
def _layout(form: bytes) -> ArrayLayout:
    return decode_form(form, format_of)


def _conflict(
    key: str, contributions: Sequence[Contribution], layout: ArrayLayout, error: Different
) -> FailedPrecondition:
    one, other = contributions[error.first].writer, contributions[error.second].writer
    array, cell = _place(key, layout)
    box = error.box
    if cell is not None:
        origin = [i * size for i, size in zip(cell, layout.chunk_shape, strict=True)]
        box = tuple(
            slice(at + dim.start, at + dim.stop) for at, dim in zip(origin, box, strict=True)
        )
    where = ", ".join(f"{dim.start}:{dim.stop}" for dim in box)
    chunk = key if cell is None else str(list(cell))
    return FailedPrecondition(
        f"{one} and {other} both wrote elements [{where}] of {array!r}, in chunk {chunk}, and not "
        "the same: nothing was committed. Give every element to one worker",
        key=key,
    )


def _place(key: str, layout: ArrayLayout) -> tuple[str, tuple[int, ...] | None]:
    """The path of the array, and the grid position of the chunk."""
    pieces = key.split("/")
    for at in range(len(pieces)):
        cell = layout.keys.cell("/".join(pieces[at:]))
        if cell is not None:
            return "".join(f"{each}/" for each in pieces[:at]), cell
    return key, None
