"""Opens a virtual array as a spec says, which holds the functions themselves."""

from __future__ import annotations

from asynctensor.chunked.cache import ChunkCache
from asynctensor.chunked.driver_request import DriverRequest
from asynctensor.chunked.virtual_functions import VirtualFunctions
from asynctensor.drivers.virtual_chunked.array import VirtualArray
from asynctensor.drivers.virtual_chunked.driver import VirtualDriver
from asynctensor.drivers.virtual_chunked.layout import VirtualLayout
from asynctensor.errors import InvalidArgument


async def open_driver(request: DriverRequest) -> VirtualDriver:
    """The array that a spec names; waits for nothing.

    Raises:
        InvalidArgument: The schema leaves something out, or contradicts itself.
    """
    functions = request.options.get("functions")
    if not isinstance(functions, VirtualFunctions):
        raise InvalidArgument(
            'an array of driver "virtual_chunked" is made by virtual_chunked(), not from JSON'
        )
    layout = VirtualLayout.of(request.schema)
    pool = request.resource("cache_pool")
    cache = pool.slots.setdefault("chunks", ChunkCache(pool.total_bytes_limit))
    workers = request.resource("data_copy_concurrency")

    # Those who open the same spec again share its cached chunks, and its writer.
    array = cache.shared(
        ("virtual_chunked", functions, layout),
        lambda: VirtualArray(functions, layout, cache, workers),
    )
    driver = VirtualDriver(array)
    return driver if request.transaction is None else driver.bound(request.transaction)
