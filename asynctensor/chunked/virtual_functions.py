"""The functions that serve the chunks of a virtual array, and what they are told."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.future import Future
from asynctensor.runtime.guest import Guest, is_coroutine_function
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration


@dataclass(frozen=True, slots=True)
class VirtualChunkedReadParameters:
    """What a read function is told besides the domain and the array to fill.

    >>> def read(domain, chunk, parameters):
    ...     chunk[...] = domain.origin[0]
    ...     return at.KvStore.TimestampedStorageGeneration(b"always the same", at.inf)
    >>> at.virtual_chunked(read, dtype=at.int32, shape=[2]).read().result()
    array([0, 0], dtype=int32)

    Attributes:
        if_not_equal: Generation of a cached chunk. If it is still the newest, the array need not
            be filled: return a stamp whose generation is empty. Empty if nothing is cached.
        staleness_bound: Content that was current at this time (Unix seconds) will do.
        batch: The batch of the read.
    """

    if_not_equal: bytes = UNKNOWN
    staleness_bound: float = float("inf")
    batch: Batch | None = None


@dataclass(frozen=True, slots=True)
class VirtualChunkedWriteParameters:
    """What a write function is told besides the domain and the array to store.

    >>> kept = {}
    >>> def write(domain, chunk, parameters):
    ...     kept[domain.origin] = chunk.tolist()
    >>> array = at.virtual_chunked(write_function=write, dtype=at.int32, shape=[2])
    >>> array.write([1, 2]).result()
    >>> kept
    {(0,): [1, 2]}

    Attributes:
        if_equal: If not empty, store only if this is the generation now, since the array rests on
            content of that generation; else return a stamp whose generation is empty, and the
            write is begun again from fresh content.
    """

    if_equal: bytes = UNKNOWN


#: Called with a domain, an array and parameters; returns a generation with its time, or None.
ChunkFunction: TypeAlias = Callable[..., Any]


class VirtualFunctions:
    """A read function, a write function, or both, and where they run (`runtime.guest`).

    Equal to itself only. A copy that was pickled runs coroutines on the loop that is running where
    it is loaded, or on the guest loop.

    Args:
        read: Fills an array.
        write: Stores one.
        loop: Where coroutines run.

    Raises:
        InvalidArgument: There is neither.
        IncompatibleType: One is no function, or `loop` is no event loop.
    """

    __slots__ = ("__weakref__", "_guest", "read", "write")

    def __init__(
        self,
        read: ChunkFunction | None = None,
        write: ChunkFunction | None = None,
        loop: AbstractEventLoop | None = None,
    ) -> None:
        if read is None and write is None:
            raise InvalidArgument("Must specify `read_function`, `write_function`, or both")
        for name, function in (("read_function", read), ("write_function", write)):
            if function is not None and not callable(function):
                raise IncompatibleType(f"{name} must be a function, but is: {function!r}")
        self.read, self.write = read, write
        self._guest = Guest(loop)

    async def call(
        self, function: ChunkFunction, *args: Any
    ) -> TimestampedStorageGeneration | None:
        """Calls one of the functions; None means that the content never changes.

        Raises:
            IncompatibleType: It returned something else than it may.
            Exception: What it raises.
        """
        stamp = await self._guest.call(function, *args)
        if stamp is None:
            return None
        generation, time = getattr(stamp, "generation", None), getattr(stamp, "time", None)
        if not isinstance(generation, bytes) or not isinstance(time, int | float):
            raise IncompatibleType(
                "a function of a virtual array returns None or a "
                f"KvStore.TimestampedStorageGeneration, but returned: {stamp!r}"
            )
        return TimestampedStorageGeneration(generation, float(time))

    def bind(self, future: Future[Any], function: ChunkFunction | None) -> None:
        """Has ``future.result()`` refuse to block the loop on which `function` is to run."""
        if is_coroutine_function(function) and not future.done():
            future._home = self._guest.loop

    def __deepcopy__(self, memo: dict[int, Any]) -> VirtualFunctions:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return VirtualFunctions, (self.read, self.write)

    def __repr__(self) -> str:
        return f"VirtualFunctions({self.read!r}, {self.write!r})"
