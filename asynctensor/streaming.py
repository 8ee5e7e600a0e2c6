"""A view block by block, read ahead as far as its consumer keeps up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from asynctensor.chunked.pieces import pieces_of
from asynctensor.errors import InvalidArgument
from asynctensor.runtime.future import Future

if TYPE_CHECKING:
    from asynctensor.tensorstore import TensorStore

Array: TypeAlias = npt.NDArray[Any]
#: What to index the view with: positions in its domain.
Region: TypeAlias = tuple[slice, ...]


async def stream(view: TensorStore, ahead: int) -> AsyncGenerator[tuple[Region, Array], None]:
    """See `TensorStore.stream`."""
    pieces: Iterator[Region] = iter(
        pieces_of(view.domain, view.chunk_layout, view.dtype.numpy_dtype.itemsize)
    )
    reading: deque[tuple[Region, Future[Array]]] = deque()
    try:
        while True:
            while len(reading) <= ahead and (region := next(pieces, None)) is not None:
                reading.append((region, view[region].read()))
            if not reading:
                return
            region, future = reading.popleft()
            yield region, await future
    finally:
        left = [future for _, future in reading]
        for future in left:
            future.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def check_ahead(ahead: object) -> None:
    """Refuses what is no number of blocks.

    Raises:
        InvalidArgument: It is negative, or no whole number.
    """
    if not isinstance(ahead, (int, np.integer)) or ahead < 0:
        raise InvalidArgument(f"`ahead` is a number of blocks, at least 0, got {ahead!r}")
