"""`virtual_chunked`: an array whose chunks are a function's work."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Iterable

from asynctensor.chunked.virtual_functions import ChunkFunction, VirtualFunctions
from asynctensor.index_space.domain import IndexDomain
from asynctensor.opening import open_at_once
from asynctensor.registry import REGISTRY
from asynctensor.runtime.context import Context
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.data_type import DTypeLike
from asynctensor.schema.schema import Schema
from asynctensor.schema.unit import Unit
from asynctensor.spec_state import SpecState
from asynctensor.tensorstore import TensorStore
from asynctensor.transaction.transaction import Transaction


def virtual_chunked(
    read_function: ChunkFunction | None = None,
    write_function: ChunkFunction | None = None,
    *,
    loop: AbstractEventLoop | None = None,
    rank: int | None = None,
    dtype: DTypeLike | None = None,
    domain: IndexDomain | None = None,
    shape: Iterable[int] | None = None,
    chunk_layout: ChunkLayout | None = None,
    dimension_units: Iterable[Unit | str | float | tuple[float, str] | None] | None = None,
    schema: Schema | None = None,
    context: Context | None = None,
    transaction: Transaction | None = None,
) -> TensorStore:
    """An array whose chunks are read and written by functions.

    ``read_function(domain, array, parameters)`` fills `array`, whose shape is that of `domain`: one
    chunk, as far as it lies in the array. ``write_function(domain, array, parameters)`` stores it.
    A write that does not cover a chunk reads it first. Both may be

    - plain functions, which run on worker threads, and may block, also on other arrays;
    - coroutine functions, which run on `loop`. A read that is cancelled cancels them.

    What they raise is raised by the read or write, as it is. They return None, if the content
    never changes; or a `KvStore.TimestampedStorageGeneration`, by which chunks are cached if the
    context's ``cache_pool`` has room. A chunk is then asked for again with its generation as
    ``parameters.if_not_equal``; if that is the newest still, the function leaves the array alone
    and returns a stamp with an empty generation, or the same. In the same way
    ``parameters.if_equal`` makes a write conditional: an empty generation says that nothing was
    stored, and the write is begun again from fresh content, so that of concurrent writers none
    loses an update.

    Args:
        read_function: See above; None for an array that can only be written.
        write_function: See above; None for an array that can only be read.
        loop: Where coroutines run: by default the loop that is running now; without one, a loop
            of the library's own, on another thread.
        rank: Number of dimensions.
        dtype: Data type; required.
        domain: Domain; by default an infinite one of the rank given. Its bounds become explicit.
        shape: The same as a domain of this shape with origin 0.
        chunk_layout: What is read and written at once, the corner of the grid, and the order of
            the dimensions in the memory of the arrays that the functions get.
        dimension_units: Size of one step along each dimension.
        schema: All of these together, and more constraints.
        context: Where ``cache_pool`` and ``data_copy_concurrency`` come from.
        transaction: What reads and writes belong to. Only transactions with ``atomic=False`` can
            be written in: what they stage is written chunk by chunk at the commit.

    Returns:
        The array. It can be pickled if the functions can (see cloudpickle for others than those
        of modules); the copy runs coroutines on the loop that is running where it is loaded.

    Raises:
        InvalidArgument: There is no function, rank or data type, or the constraints contradict.
        IncompatibleType: An argument has the wrong type.
    """
    functions = VirtualFunctions(read_function, write_function, loop)
    wanted = Schema(
        rank=rank,
        dtype=dtype,
        domain=domain,
        shape=shape,
        chunk_layout=chunk_layout,
        dimension_units=dimension_units,
        schema=schema,
    )
    options = {"functions": functions}
    state = SpecState("virtual_chunked", REGISTRY, schema=wanted.state, options=options)
    return open_at_once(state, Context() if context is None else context, transaction)
