"""What may be written: checked, converted and shaped like the view; TensorStore's rules."""

from __future__ import annotations

from bisect import bisect_left
from contextlib import suppress
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.errors import IncompatibleType, InvalidArgument, OutOfRange, ResourceExhausted
from asynctensor.index_space.alignment import align_shape_to
from asynctensor.index_space.domain import IndexDomain
from asynctensor.schema import data_type
from asynctensor.schema.json_element import copied, copied_elements


def as_source_of(value: object, element: data_type.dtype) -> Array:
    """`value` as an array that can be assigned to elements of `element`.

    Strings are taken from arrays of objects, of NumPy's fixed-length texts and of its StringDType,
    and from nested sequences.

    Raises:
        IncompatibleType: As for `as_source`; or an element is no string of that kind, or no JSON.
        OverflowError, InvalidArgument: As for `as_source`.
    """
    if element.name == "json":
        return copied_elements(as_source(value, element.numpy_dtype))
    if element.name not in ("string", "ustring"):
        return as_source(value, element.numpy_dtype)
    if not isinstance(value, np.ndarray | np.generic) and hasattr(value, "__array__"):
        value = array_of(value)
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "T":
        # NumPy would give None for what StringDType calls missing; the check below refuses it.
        array = np.asarray(value).astype(object)
    else:
        array = np.array(value, dtype=object)
    kind = element.type
    wrong = [part for part in array.flat if not isinstance(part, kind)]
    if wrong:
        raise IncompatibleType(
            f"expected elements of type {kind.__name__} for {element.name}, got {wrong[0]!r:.80}"
        )
    return array


def as_source(value: object, dtype: np.dtype[Any]) -> Array:
    """`value` as an array that can be assigned to elements of `dtype`.

    Arrays are converted only where nothing can be lost (NumPy's ``safe`` rule); Python numbers and
    nested sequences as ``numpy.array(value, dtype)`` would. Times that the unit of `dtype` cannot
    say are an error, where NumPy would make other times of them.

    Raises:
        IncompatibleType: The value has a type that cannot be converted.
        OverflowError: A Python integer is outside the range of `dtype`.
        OutOfRange: A time is.
        InvalidArgument: A nested sequence is ragged, or a text is no number.
    """
    if isinstance(value, np.ndarray):
        if value.dtype != dtype and not np.can_cast(value.dtype, dtype, "safe"):
            raise IncompatibleType(
                f"Cannot cast array data from {value.dtype!r} to {dtype!r} according to the rule "
                f"'safe'; convert it first: source.astype({dtype.name!r})"
            )
        if dtype.kind in "mM" and value.dtype.kind == dtype.kind:
            _check_times(value, dtype)
        return value
    if not isinstance(value, np.generic) and hasattr(value, "__array__"):
        return as_source(array_of(value), dtype)
    if dtype.kind == "U":
        # Told its length, NumPy would cut off what is too long.
        return as_source(np.asarray(value), dtype)
    if dtype.kind in "mM":
        # Before: some versions of NumPy raise what says less, others take other times.
        _check_times(_times(value, dtype.kind), dtype)
    try:
        return np.array(value, dtype=dtype)
    except TypeError as error:
        raise IncompatibleType(f"cannot convert to {dtype.name}: {error}") from error
    except OverflowError:
        raise
    except ValueError as error:
        raise InvalidArgument(f"cannot convert to {dtype.name}: {error}") from error


def _times(value: object, kind: str) -> Array:
    """Times in a unit of their own; none of what has no unit, as numbers."""
    with suppress(TypeError, ValueError):
        return np.array(value, dtype=kind)
    return np.array([], dtype=kind)


def _check_times(times: Array, dtype: np.dtype[Any]) -> None:
    """Whether all of `times` lie in the range of a `dtype` of another unit."""
    if times.dtype == dtype or not np.can_cast(times.dtype, dtype, "safe"):
        # A coarser unit reaches farther.
        return
    lost = _lost(times, dtype)
    if count := np.count_nonzero(lost):
        raise OutOfRange(
            f"{count} of {times.size} times are outside of what {dtype.name} can say, the first "
            f"of them {times[lost][0]}; an array of a coarser unit can hold them"
        )


def _lost(times: Array, dtype: np.dtype[Any]) -> Array:
    """Which times `dtype` cannot say."""
    known = ~np.isnat(times)
    try:
        found: Array = (times.astype(dtype).astype(times.dtype) != times) & known
    except OverflowError:
        # Newer versions of NumPy say that there are some. Those between two that are kept are kept.
        ascending = np.sort(times[known])
        zero = int(ascending.searchsorted(np.zeros(1, times.dtype))[0])

        def is_kept(k: int) -> bool:
            with suppress(OverflowError):
                ascending[k : k + 1].astype(dtype)
                return True
            return False

        first = bisect_left(range(zero), True, key=is_kept)
        last = bisect_left(range(ascending.size), True, zero, key=lambda k: not is_kept(k))
        if first == last:
            return known
        found = known & ((times < ascending[first]) | (times > ascending[last - 1]))
    return found


def array_of(value: object, *, copy: bool | None = None) -> Array:
    """What NumPy makes of a value, which may be another library's array.

    Args:
        value: The value.
        copy: False: it must give the memory itself; None: as it likes.

    Raises:
        IncompatibleType: An array gives nothing: it is on a device, say, or NumPy lacks its data
            type.
        ValueError: ``copy=False``, and it takes one; or the value is no array.
    """
    try:
        return np.array(value, copy=False) if copy is False else np.asarray(value)
    except (TypeError, RuntimeError) as error:
        if not hasattr(value, "__array__"):
            raise
        raise IncompatibleType(
            f"{type(value).__module__}.{type(value).__name__} gives NumPy no array: {error} "
            'Either convert(value, store) writes it, or convert(value, "numpy") makes an array of '
            "it, if it is one of PyTorch, TensorFlow, JAX or Arrow"
        ) from error


def json_source(value: object) -> Array:
    """A JSON value as the array of rank 0 that holds it, arrays and sequences included.

    Raises:
        IncompatibleType, InvalidArgument: As for `copied`.
    """
    source = np.empty((), np.object_)
    source[()] = copied(value, finite=False)
    return source


def shaped_source(source: Array, domain: IndexDomain) -> Array:
    """`source` broadcast to the shape of `domain`, without copying.

    Raises:
        InvalidArgument: The shapes do not fit.
        ResourceExhausted: There are more elements than can be counted.
    """
    shape = tuple(domain.shape)
    if source.shape == shape:
        return source
    align_shape_to(source.shape, domain)
    if 0 in shape:
        return source
    extra = source.ndim - len(shape)
    if extra > 0:
        source = source.reshape(source.shape[extra:])
    try:
        return np.broadcast_to(source, shape)
    except ValueError as error:
        # The shapes fit, as is checked above.
        raise ResourceExhausted(
            f"the shape {list(shape)} has more elements than one write can have; write smaller "
            "parts: store[slice].write(...)",
            operation="write",
        ) from error
