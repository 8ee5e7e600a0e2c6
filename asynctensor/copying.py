"""Copying one array into another, piece by piece, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from asynctensor.chunked.array_driver import Progress, ProgressFunction
from asynctensor.chunked.pieces import Piece, for_each, pieces_of
from asynctensor.errors import IncompatibleType
from asynctensor.index_space.alignment import align_to
from asynctensor.schema.conversion import is_lossless

if TYPE_CHECKING:
    from asynctensor.tensorstore import TensorStore


async def copy_view(
    source: TensorStore, target: TensorStore, progress: ProgressFunction | None
) -> None:
    """Copies `source` into `target`, whose domain it must fit or be broadcast to.

    Raises:
        InvalidArgument: The domains do not fit.
        IncompatibleType: The data type cannot be converted without loss.

    A copy that fails or is cancelled has copied some pieces; none is being written any more.
    """
    theirs, ours = source.dtype, target.dtype
    if not is_lossless(theirs, ours):
        raise IncompatibleType(
            f"Explicit data type conversion required to convert {theirs.name} -> {ours.name}: "
            f"write source.astype({ours.name!r})"
        )
    source, target = await source.resolve(), await target.resolve()
    if theirs != ours:
        source = source.astype(ours)
    aligned = source[align_to(source.domain, target.domain)]
    workers = target.context.resolve("data_copy_concurrency").value
    done = 0

    async def copied(piece: Piece) -> None:
        nonlocal done
        data = await aligned[piece].read()
        await target[piece].write(data)
        done += 1
        if progress is not None:
            await workers.run(progress, Progress("copy", done, None))

    await for_each(list_pieces(target), copied)


def list_pieces(target: TensorStore) -> Iterator[Any]:
    """The pieces of `target`, along its write chunks."""
    itemsize = target.dtype.numpy_dtype.itemsize
    return pieces_of(target.domain, target.chunk_layout, itemsize, written=True)
