"""JAX: sharded loads whose blocks are read at the same time, and sources for Grain."""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

import jax
import numpy as np
import numpy.typing as npt

from asynctensor.errors import IncompatibleType
from asynctensor.integrations.loading.arrays import Arrays
from asynctensor.integrations.loading.gathering import all_of
from asynctensor.integrations.loading.pinned_samples import pinned_samples
from asynctensor.integrations.loading.samples import Samples
from asynctensor.integrations.other_dtype import check_array
from asynctensor.integrations.pinning import pinned
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.tensorstore import TensorStore

__all__ = ["GrainSource", "Samples", "as_jax", "from_jax", "to_jax"]

Array: TypeAlias = npt.NDArray[Any]

#: JAX shares memory that is aligned to so many bytes.
_ALIGNMENT = 64


def to_jax(view: TensorStore, sharding: Any = None) -> Future[jax.Array]:
    """Reads a view into an array of JAX, each device its part.

    Every distinct block that a device of this process needs is read once, and all of them at the
    same time; on a CPU their memory is shared.

    Args:
        view: What is read.
        sharding: A `jax.sharding.Sharding`, or a device; None: the default device.

    Returns:
        Future of the array. It fails as reads do; a cancelled call leaves nothing behind.

    Raises:
        IncompatibleType: JAX lacks the data type; without its 64-bit mode, all of 64 bits.
    """
    _check(view.dtype.numpy_dtype)
    if sharding is None or isinstance(sharding, jax.Device):
        sharding = jax.sharding.SingleDeviceSharding(sharding or jax.devices()[0])
    places = sharding.addressable_devices_indices_map(tuple(view.shape))
    return start(_loaded, view, sharding, places)


async def _loaded(given: TensorStore, sharding: Any, places: dict[Any, Any]) -> jax.Array:
    # Blocks are reads of their own: of one version, whatever is committed meanwhile.
    view = await pinned(given)
    shape = tuple(view.shape)
    blocks: dict[tuple[tuple[int, int], ...], Future[Array]] = {}
    of_device: dict[Any, tuple[tuple[int, int], ...]] = {}
    with Batch() as batch:
        for device, index in places.items():
            bounds = tuple(part.indices(size)[:2] for part, size in zip(index, shape, strict=True))
            of_device[device] = bounds
            if bounds not in blocks:
                block = tuple(
                    slice(low + at, high + at)
                    for (low, high), at in zip(bounds, view.domain.origin, strict=True)
                )
                blocks[bounds] = view[block].read(batch=batch)
    read = dict(zip(blocks, await all_of(list(blocks.values())), strict=True))

    def placed() -> jax.Array:
        parts = [jax.device_put(read[bounds], device) for device, bounds in of_device.items()]
        return jax.make_array_from_single_device_arrays(shape, sharding, parts)

    return await asyncio.to_thread(placed)


def _check(element: np.dtype[Any]) -> None:
    number = element.kind == "b" or jax.dtypes.issubdtype(element, np.number)
    if not number or jax.dtypes.canonicalize_dtype(element) != element:
        raise IncompatibleType(
            f"JAX as it is set up has no data type like {element.name}; read the array as another "
            "one, array.astype(...), or turn on its 64-bit mode: "
            'jax.config.update("jax_enable_x64", True)'
        )


def as_jax(array: Array, *, copy: bool | None = None) -> jax.Array:
    """An array of JAX of the same elements, shape and data type, on the default device.

    Args:
        array: Of a data type that JAX has.
        copy: False: never; True: always; None: where the memory cannot be shared. It can, on a
            processor, that of arrays that are writable, contiguous, in this machine's byte order
            and at an address that is a multiple of 64 bytes, as whatever asynctensor reads is; do
            not change such an array any more.

    Raises:
        IncompatibleType: JAX lacks the data type (without its 64-bit mode, all of 64 bits), or this
            is no array.
        ValueError: ``copy=False``, and it takes one.
    """
    check_array(array)
    _check(array.dtype.newbyteorder("="))
    shared = (
        array.dtype.isnative
        and array.flags.writeable
        and array.flags.c_contiguous
        and array.__array_interface__["data"][0] % _ALIGNMENT == 0
        and jax.default_backend() == "cpu"
    )
    if copy is False and not shared:
        raise ValueError(
            "JAX can share the memory of writable, contiguous arrays in this machine's byte order "
            "that begin at a multiple of 64 bytes, on a processor; let it be copied"
        )
    if jax.default_backend() == "cpu":
        if copy or not shared:
            array = np.array(array, array.dtype.newbyteorder("="), order="C")
        return jax.device_put(array, may_alias=not copy)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    # Copied there, and that is over before whoever called can change the array.
    return jax.device_put(native).block_until_ready()


def from_jax(array: jax.Array) -> Array:
    """An array of NumPy: read-only and of the same memory, if that is the processor's.

    Raises:
        IncompatibleType: Some of it is on devices of other processes, or this is no array of JAX.
    """
    given: Any = array
    if not isinstance(given, jax.Array):
        raise IncompatibleType(f"expected an array of JAX, got {array!r:.100}")
    if not array.is_fully_addressable:
        raise IncompatibleType("some of the array is on devices of other processes")
    return np.asarray(array)


class GrainSource:
    """Samples by number, as Grain's random-access sources are; in threads and in processes."""

    def __init__(self, samples: Samples | Arrays) -> None:
        """Looks up the state of arrays on branches, which holds for all epochs; reads nothing else.

        Args:
            samples: See `Samples`; of an array, or of several by name, the rows along the first
                dimension.

        Raises:
            IncompatibleType: These are no arrays.
            NotFound: A branch has no commit.
        """
        given = samples if isinstance(samples, Samples) else Samples.rows(samples)
        self.samples = pinned_samples(given).result().samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> Any:
        """A sample: an array, or one for each name.

        Raises:
            IndexError: There is no such sample.
        """
        found = self.samples.read([int(number)], warn=False).result()
        if isinstance(found, dict):
            return {name: each[0] for name, each in found.items()}
        return found[0]

    def __repr__(self) -> str:
        # What Grain tells checkpoints of one source from those of another by.
        return f"GrainSource({self.samples.identity})"
