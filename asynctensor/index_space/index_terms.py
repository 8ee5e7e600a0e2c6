"""What may stand between the brackets, brought into few exact types.

After `parse_terms` a term is an int, a slice of ints and Nones, None (a new axis), Ellipsis, an
`ArrayTerm`, or a `BoolTerm`. A sequence that is no tuple is always an array, never terms.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from types import EllipsisType
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

from asynctensor.errors import (
    IncompatibleType,
    InvalidArgument,
    InvalidIndex,
    ResourceExhausted,
    from_memory_error,
)
from asynctensor.index_space.integers import is_index, is_scalar_index
from asynctensor.index_space.output_map import IndexArray, as_index_array

#: One term of an indexing expression.
NumpyIndexTerm: TypeAlias = SupportsIndex | slice | EllipsisType | npt.ArrayLike | None
#: What may stand between the brackets: one term, or a tuple of terms.
NumpyIndexingSpec: TypeAlias = NumpyIndexTerm | tuple[NumpyIndexTerm, ...]

_ALLOWED = (
    "Only integers, slices (`:`), ellipsis (`...`), tensorstore.newaxis (`None`) and integer or "
    "boolean arrays are valid indices"
)


#: Elements of a boolean mask that are looked at; there is no memory for more of them that differ.
_MAX_MASK = 2**36


class ArrayTerm:
    """Index arrays that are broadcast together and index as many dimensions.

    Attributes:
        arrays: One read-only int64 array per dimension that the term consumes; none for a
            boolean scalar. Where one merely repeats itself, its size is 1.
        shape: What the term adds to the domain.
    """

    __slots__ = ("arrays", "shape")

    def __init__(self, arrays: Sequence[IndexArray], shape: tuple[int, ...]) -> None:
        self.arrays = tuple(arrays)
        self.shape = shape

    def __reduce__(self) -> tuple[object, ...]:
        # Not as it is, since pickling forgets that an array is read-only.
        return (_restored, (self.arrays, self.shape))


def _restored(arrays: Sequence[IndexArray], shape: tuple[int, ...]) -> ArrayTerm:
    return ArrayTerm([as_index_array(array) for array in arrays], shape)


class BoolTerm(ArrayTerm):
    """A boolean mask, as the coordinates of its true elements.

    Attributes:
        mask_shape: The shape of the mask.
    """

    __slots__ = ("mask_shape",)

    def __init__(self, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        self.mask_shape = mask.shape
        if mask.ndim == 0:
            super().__init__((), (int(mask),))
            return
        if mask.size > _MAX_MASK:
            raise ResourceExhausted(
                f"a boolean mask of shape {mask.shape} has {mask.size} elements, too many to look "
                "at: index with slices or integer arrays"
            )
        arrays = [as_index_array(index) for index in np.nonzero(mask)]
        super().__init__(arrays, arrays[0].shape)

    def mask(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """The mask that the term was made from."""
        if not self.arrays:
            return np.array(self.shape == (1,))
        mask = np.zeros(self.mask_shape, np.bool_)
        mask[self.arrays] = True
        return mask

    def __reduce__(self) -> tuple[object, ...]:
        return (BoolTerm, (self.mask(),))


Term = int | slice | None | EllipsisType | ArrayTerm


def parse_terms(indices: object) -> tuple[Term, ...]:
    """The terms of an indexing expression.

    Raises:
        InvalidIndex: If something cannot be an index, or two ellipses are there.
        InvalidArgument: If nested sequences do not form an array.
        IncompatibleType: If a bound of a slice is no integer, or an index does not fit int64.
        ResourceExhausted: If there is no memory for an index array.
    """
    try:
        return _parsed(indices)
    except MemoryError as error:
        raise from_memory_error(error, "an index array; index with less, or with slices") from error


def _parsed(indices: object) -> tuple[Term, ...]:
    terms: list[Term] = []
    for item in indices if isinstance(indices, tuple) else (indices,):
        if isinstance(item, slice):
            terms.extend(_parse_slice(item))
        else:
            terms.append(_parse_term(item))
    if sum(term is Ellipsis for term in terms) > 1:
        raise InvalidIndex("An index can only have a single ellipsis (`...`)")
    return tuple(terms)


def _parse_term(item: object) -> Term:
    if item is None:
        return None
    if item is Ellipsis:
        return ...
    if isinstance(item, (bool, np.bool_)):
        return BoolTerm(np.asarray(item, dtype=np.bool_))
    if isinstance(item, np.ndarray):
        return array_term(item)
    if is_index(item):
        index = operator.index(item)
        if not -(2**63) <= index < 2**63:
            raise InvalidIndex(_ALLOWED)
        return index
    if isinstance(item, (str, bytes, dict, set, float, complex)):
        raise InvalidIndex(f"{_ALLOWED}, not {item!r}")
    if isinstance(item, Sequence) or hasattr(item, "__array__"):
        return array_term(_as_array(item))
    raise InvalidIndex(f"{_ALLOWED}, not {item!r}")


def _as_array(item: object) -> np.ndarray[Any, Any]:
    try:
        array = np.asarray(item)
    except ValueError as error:
        raise InvalidArgument(f"an index array must be rectangular: {error}") from error
    if array.size == 0 and not hasattr(item, "__array__"):
        return array.astype(np.int64)
    if array.dtype.kind not in "iub" and not hasattr(item, "__array__"):
        raise InvalidIndex(f"{_ALLOWED}, not {item!r}")
    return array


def array_term(array: np.ndarray[Any, Any]) -> ArrayTerm:
    """The term of an integer or boolean array.

    Raises:
        InvalidIndex: If the array is of another type.
        IncompatibleType: If its type does not fit int64.
    """
    kind = array.dtype.kind
    if kind == "b":
        return BoolTerm(array)
    if kind not in "iu":
        raise InvalidIndex("Arrays used as indices must be of integer (or boolean) type")
    if kind == "u" and array.dtype.itemsize == 8:
        raise IncompatibleType("an index array of type uint64 does not fit int64: convert it first")
    return ArrayTerm((as_index_array(array),), array.shape)


def _parse_slice(item: slice) -> list[slice]:
    """One slice of scalars, or as many as its vectors are long."""
    parts = [_bound(part) for part in (item.start, item.stop, item.step)]
    names = ("start", "stop", "step")
    vectors = [(n, p) for n, p in zip(names, parts, strict=True) if isinstance(p, list)]
    if not vectors:
        return [slice(*parts)]
    first_name, first = vectors[0]
    for name, vector in vectors[1:]:
        if len(vector) != len(first):
            raise InvalidIndex(
                f"{name}={vector} (rank {len(vector)}) is incompatible with "
                f"{first_name}={first} (rank {len(first)})"
            )
    columns = [part if isinstance(part, list) else [part] * len(first) for part in parts]
    return [slice(*row) for row in zip(*columns, strict=True)]


def _bound(value: object) -> int | None | list[int | None]:
    if value is None:
        return None
    if is_scalar_index(value):
        return operator.index(value)
    if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, (str, bytes)):
        return [None if x is None else _index(x) for x in value]
    raise IncompatibleType(
        f"slice indices must be integers or None or have an __index__ method, not {value!r}"
    )


def _index(value: object) -> int:
    if is_index(value):
        return operator.index(value)
    raise IncompatibleType(
        f"slice indices must be integers or None or have an __index__ method, not {value!r}"
    )
