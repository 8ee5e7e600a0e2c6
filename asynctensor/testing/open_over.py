"""`open_over`: an array over a store object, for stores that no spec names."""

from __future__ import annotations

from typing import Any

from asynctensor.chunked.array import ChunkOptions
from asynctensor.chunked.cache import ChunkCache
from asynctensor.chunked.driver import ChunkedOptions, Pools
from asynctensor.chunked.driver_request import Mode
from asynctensor.chunked.opening import OpenRequest, open_chunked
from asynctensor.registry import format_of
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.tensorstore import TensorStore
from asynctensor.transaction.transaction import Transaction


def open_over(
    store: KeyValueStore,
    path: str = "",
    *,
    driver: str = "zarr3",
    mode: Mode | None = None,
    metadata: dict[str, Any] | None = None,
    context: Context | None = None,
    transaction: Transaction | None = None,
    recheck_data: bool | float = True,
    chunks: ChunkOptions | None = None,
    **schema: Any,
) -> Future[TensorStore]:
    """Opens or creates an array over any store object: a wrapped one, or a stranger's.

    Args:
        store: The store.
        path: Key prefix of the array.
        driver: A chunked format.
        mode: By default an existing array is opened, and a missing one made.
        metadata: Constraints, as in a spec.
        context: Pools to use; by default new ones, without a cache.
        transaction: What it belongs to.
        recheck_data: See `ChunkedOptions`.
        chunks: See `ChunkOptions`.
        **schema: What `Schema` takes: ``dtype``, ``shape``, ``chunk_layout`` ...

    Returns:
        Future of the array; it fails as that of `asynctensor.open` does.
    """
    bound = Context() if context is None else context
    pool = bound.resolve("cache_pool").value
    pools = Pools(
        pool.slots.setdefault("chunks", ChunkCache(pool.total_bytes_limit)),
        bound.resolve("data_copy_concurrency").value,
        bound.resolve("file_io_concurrency").value,
    )
    request = OpenRequest(
        store,
        path,
        Mode(open=True, create=True) if mode is None else mode,
        pools,
        metadata or {},
        Schema(**schema),
        ChunkedOptions(recheck_data=recheck_data, chunks=chunks or ChunkOptions()),
        transaction,
    )

    async def opened() -> TensorStore:
        made = await open_chunked(format_of(driver), request)
        return TensorStore(made, made.transform(), bound)

    return start(opened)
