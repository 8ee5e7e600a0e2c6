"""TensorFlow: tensors from NumPy arrays and back, and `tf.data` by batches that are one read."""

from __future__ import annotations

from typing import Any, TypeAlias, Unpack

import ml_dtypes
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from asynctensor.errors import IncompatibleType
from asynctensor.integrations.loading import loader
from asynctensor.integrations.loading.amplification import AmplificationWarning
from asynctensor.integrations.loading.arrays import Arrays
from asynctensor.integrations.loading.group import Values
from asynctensor.integrations.loading.samples import Samples
from asynctensor.integrations.other_dtype import advice, check_array
from asynctensor.integrations.tensorflow_generator import generated

__all__ = [
    "AmplificationWarning",
    "Loader",
    "Samples",
    "dtype_of",
    "from_tensor",
    "to_tensor",
    "to_tf_dataset",
]

Array: TypeAlias = npt.NDArray[Any]

#: TensorFlow's CPU kernels abort the process at memory that is aligned to less.
_ALIGNMENT = 64
#: What can be handed over by DLPack.
_SHARED = "?bhilqBHILQefdFD"


def dtype_of(element: npt.DTypeLike) -> tf.DType:
    """TensorFlow's name of a data type.

    Raises:
        IncompatibleType: It has none.
    """
    native = np.dtype(element).newbyteorder("=")
    try:
        return tf.dtypes.as_dtype(native)
    except TypeError:
        raise IncompatibleType(
            f"TensorFlow has no data type like {native.name}; {advice(native)}"
        ) from None


def to_tensor(array: Array, *, copy: bool | None = None) -> tf.Tensor:
    """A tensor of the same elements, shape and data type.

    Args:
        array: Of a data type that TensorFlow has.
        copy: False: never; True: always; None: where the memory cannot be shared: unless the array
            is writable, contiguous, in this machine's byte order and at an address that is a
            multiple of 64 bytes, as whatever asynctensor reads is.

    Returns:
        A tensor that shares the array's memory (do not change that any more) and keeps it alive,
        or one of its own.

    Raises:
        IncompatibleType: TensorFlow has no such data type, or this is no array.
        ValueError: ``copy=False``, and it takes one.
    """
    check_array(array)
    element = dtype_of(array.dtype)
    shared = (
        array.dtype.char in _SHARED
        and array.dtype.isnative
        and array.flags.writeable
        and array.flags.c_contiguous
        and array.__array_interface__["data"][0] % _ALIGNMENT == 0
        and array.size > 0
    )
    if copy is False and not shared:
        raise ValueError(
            "TensorFlow can share the memory of writable, contiguous arrays in this machine's byte "
            "order that begin at a multiple of 64 bytes; let it be copied"
        )
    if copy or not shared:
        return tf.constant(array.astype(array.dtype.newbyteorder("="), copy=False), element)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def from_tensor(tensor: Any, *, copy: bool = False) -> Array:
    """An array of a tensor's elements: read-only and of the same memory, unless it is copied.

    Args:
        tensor: An eager tensor, or a variable, whose value is copied.
        copy: A copy that can be written.

    Raises:
        IncompatibleType: It is symbolic, or NumPy has no such data type.
    """
    if not tf.is_tensor(tensor) or not hasattr(tensor, "numpy"):
        raise IncompatibleType(f"only eager tensors have values, got {tensor!r:.200}")
    if isinstance(tensor, tf.Variable):
        return np.array(tensor.numpy())
    if copy or tensor.dtype == tf.bfloat16 or tensor.dtype.as_numpy_dtype in _OF_ML_DTYPES:
        return np.array(tensor.numpy())
    return np.asarray(memoryview(tensor))


_OF_ML_DTYPES = (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.int4, ml_dtypes.uint4)


class Loader(loader.Loader[Any]):
    """Batches of tensors, resumable with any number of ranks: see the loaders of PyTorch's page."""

    def __init__(
        self,
        samples: Samples | Arrays,
        batch_size: int,
        **options: Unpack[loader.LoaderOptions],
    ) -> None:
        """Nothing is read before the first iteration.

        Args:
            samples: See `Samples`; of an array, or of several by name, the rows along the first
                dimension.
            batch_size: Samples of a batch of one rank.
            options: See `LoaderOptions`.

        Raises:
            IncompatibleType: These are no arrays, or TensorFlow lacks their data type.
            InvalidArgument: A number is out of range.
        """
        found = samples if isinstance(samples, Samples) else Samples.rows(samples)
        for element in found.dtypes.values():
            dtype_of(element)
        self._batch_size, self._drops = batch_size, options.get("drop_last", False)
        super().__init__(found, batch_size, convert=_tensors, **options)

    @property
    def signature(self) -> Any:
        """What a batch is, as `tf.TensorSpec`."""
        shapes, dtypes = self.samples.shapes, self.samples.dtypes
        size = self._batch_size if self._drops else None
        specs = {
            name: tf.TensorSpec((size, *shape), dtype_of(dtypes[name]))
            for name, shape in shapes.items()
        }
        return specs if self.samples.named else specs[""]


def _tensors(values: Values) -> Any:
    if isinstance(values, dict):
        return {name: to_tensor(value) for name, value in values.items()}
    return to_tensor(values)


def to_tf_dataset(
    samples: Loader | Samples | Arrays,
    batch_size: int | None = None,
    **options: Unpack[loader.LoaderOptions],
) -> tf.data.Dataset:
    """A dataset of whole batches, shaped and typed; each iteration is an epoch, shuffled anew.

    TensorFlow cannot save the position of an iterator over it. A `Loader` can: make one, give it
    here, and keep its `state_dict` (leave out ``prefetch`` then, which runs ahead of it).

    Args:
        samples: What is loaded, or a `Loader` of it.
        batch_size: Samples of a batch; unless a `Loader` is given.
        options: See `LoaderOptions`; unless a `Loader` is given.

    Raises:
        IncompatibleType, InvalidArgument: See `Loader`.
        TypeError: No `batch_size`, or one beside a `Loader`.
    """
    given = isinstance(samples, Loader)
    if isinstance(samples, Loader):
        if batch_size is not None or options:
            raise TypeError("a Loader has its batch size and options already")
        made = samples
    elif batch_size is None:
        raise TypeError("to_tf_dataset() needs a batch_size")
    else:
        made = Loader(samples, batch_size, **options)

    dataset = generated(made.unconverted, made.signature)
    if given:
        # Of an epoch that is resumed, less is left; and its state is to be that of the consumer.
        exact = tf.data.Options()
        exact.experimental_optimization.inject_prefetch = False
        return dataset.with_options(exact)
    return dataset.apply(tf.data.experimental.assert_cardinality(len(made)))
