"""How one output index follows from the input indices: a constant, one dimension, or an array."""

from __future__ import annotations

import enum
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, SupportsIndex, overload

import numpy as np
import numpy.typing as npt

from asynctensor.errors import IncompatibleType
from asynctensor.index_space.dim import Dim
from asynctensor.index_space.integers import is_scalar_index
from asynctensor.index_space.interval import (
    MAX_RANK,
    UNBOUNDED_MAX,
    UNBOUNDED_MIN,
    format_interval,
)

IndexArray = npt.NDArray[np.int64]
Range = tuple[int, int]
#: Larger index arrays show their edges only.
_SHOWN_ELEMENTS = 1000
UNBOUNDED_RANGE: Range = (UNBOUNDED_MIN, UNBOUNDED_MAX)


class OutputIndexMethod(enum.IntEnum):
    """Which of the three kinds an `OutputIndexMap` is.

    >>> at.OutputIndexMap(3).method == at.OutputIndexMethod.constant
    True
    """

    constant = 0
    single_input_dimension = 1
    array = 2

    def __str__(self) -> str:
        return f"OutputIndexMethod.{self.name}"


class _Fields:
    """The fields of an `OutputIndexMap` while they are filled in.

    Setting them here and then becoming the immutable class takes a third of the time of getting
    past its guard, for what indexing makes most.
    """

    __slots__ = ("index_array", "input_dimension", "offset", "range", "stride")

    offset: int
    stride: int | None
    input_dimension: int | None
    index_array: IndexArray | None
    #: `index_range` as ``(inclusive_min, exclusive_max)``, the unbounded one but for arrays.
    range: Range


_new = object.__new__


class OutputIndexMap(_Fields):
    """One output index as a function of the input indices. Immutable.

    - constant: ``offset``;
    - single input dimension: ``offset + stride * input[input_dimension]``;
    - array: ``offset + stride * index_array[input - origin]``, where each element of the array
      must lie in `index_range`. Dimensions of size 1 broadcast.

    >>> at.OutputIndexMap(input_dimension=0, offset=3, stride=2)
    OutputIndexMap(input_dimension=0, offset=3, stride=2)
    >>> last_first = at.OutputIndexMap(input_dimension=0, offset=2, stride=-1)
    >>> turned = at.IndexTransform(input_shape=[3], output=[last_first])
    >>> at.array([1, 2, 3])[turned].read().result()
    array([3, 2, 1])

    Args:
        *args: An int, the offset of a constant; or an index array.
        offset: Added last.
        stride: Factor before `offset` is added.
        input_dimension: The dimension of the input that is mapped.
        index_array: Integer array of the rank of the input; it is copied.
        index_range: Where the elements of `index_array` must lie, anywhere if not given.

    Attributes:
        offset: Added last.
        stride: Factor before `offset` is added; None for a constant.
        input_dimension: The dimension that is mapped; None but for the second kind.
        index_array: The array, read-only; None but for the third kind.

    Raises:
        IncompatibleType: If arguments of different kinds are mixed, or `index_array` is not of an
            integer type.
    """

    __slots__ = ()

    def __init__(
        self,
        *args: Any,
        offset: SupportsIndex | None = None,
        stride: SupportsIndex | None = None,
        input_dimension: SupportsIndex | None = None,
        index_array: npt.ArrayLike | None = None,
        index_range: Dim | None = None,
    ) -> None:
        rest = list(args)
        if rest and not is_scalar_index(rest[0]):
            index_array = rest.pop(0)
        elif len(rest) > 1 or (rest and (offset is not None or stride is not None)):
            # As in TensorStore: a lone number is an offset, with more it is a dimension.
            input_dimension = rest.pop(0)
        shift = 0 if offset is None else operator.index(offset)
        if rest:
            shift = operator.index(rest[0])
        stride = rest[1] if len(rest) > 1 else stride
        index_range = rest[2] if len(rest) > 2 else index_range
        factor = 1 if stride is None else operator.index(stride)
        array, dim, bounds = None, None, UNBOUNDED_RANGE
        if index_array is not None:
            if input_dimension is not None:
                raise IncompatibleType("give either input_dimension or index_array, not both")
            if index_range is not None:
                bounds = (index_range.inclusive_min, index_range.exclusive_max)
            array = as_index_array(index_array)
        elif input_dimension is not None:
            dim = operator.index(input_dimension)
        elif stride is not None or index_range is not None:
            raise IncompatibleType("stride and index_range need input_dimension or index_array")
        constant = array is None and dim is None
        values = (array, dim, shift, bounds, None if constant else factor)
        for name, value in zip(_Fields.__slots__, values, strict=True):
            object.__setattr__(self, name, value)

    @classmethod
    def constant(cls, offset: int) -> OutputIndexMap:
        """The map that always gives `offset`."""
        return _made(offset, None, None, None, UNBOUNDED_RANGE)

    @classmethod
    def single(cls, input_dimension: int, offset: int, stride: int) -> OutputIndexMap:
        """The map ``offset + stride * input[input_dimension]``; constant if `stride` is 0."""
        if stride == 1 and not offset and 0 <= input_dimension < MAX_RANK:
            return IDENTITIES[input_dimension]
        if stride == 0:
            return _made(offset, None, None, None, UNBOUNDED_RANGE)
        return _made(offset, stride, input_dimension, None, UNBOUNDED_RANGE)

    @classmethod
    def array(cls, array: IndexArray, offset: int, stride: int, bounds: Range) -> OutputIndexMap:
        """The map ``offset + stride * array[...]``; `array` is taken as it is, not copied."""
        return _made(offset, stride, None, array, bounds)

    @property
    def method(self) -> OutputIndexMethod:
        """Which of the three it is."""
        if self.index_array is not None:
            return OutputIndexMethod.array
        if self.input_dimension is not None:
            return OutputIndexMethod.single_input_dimension
        return OutputIndexMethod.constant

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"OutputIndexMap is immutable: {name} cannot be set")

    @property
    def index_range(self) -> Dim | None:
        """Where the elements of the index array must lie; None but for arrays."""
        if self.index_array is None:
            return None
        return Dim.make(*self.range, False, False, "")

    def _key(self) -> tuple[object, ...]:
        return (self.offset, self.stride, self.input_dimension, self.range)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OutputIndexMap):
            return NotImplemented
        if self._key() != other._key():
            return False
        a, b = self.index_array, other.index_array
        return a is b or (a is not None and b is not None and bool(np.array_equal(a, b)))

    def __hash__(self) -> int:
        shape = None if self.index_array is None else self.index_array.shape
        return hash((*self._key(), shape))

    def __reduce__(self) -> tuple[Any, ...]:
        array = self.index_array
        return (
            _restore,
            (self.offset, self.stride, self.input_dimension, array, self.range),
        )

    def __repr__(self) -> str:
        if self.stride is None:
            return f"OutputIndexMap(offset={self.offset})"
        tail = f"offset={self.offset}, stride={self.stride}"
        if self.index_array is None:
            return f"OutputIndexMap(input_dimension={self.input_dimension}, {tail})"
        if self.range != UNBOUNDED_RANGE:
            tail += f", index_range={self.index_range!r}"
        elements = repr(self.index_array.tolist())
        if self.index_array.size == 0:
            # A list without elements has forgotten some of its shape.
            elements = f"numpy.empty({self.index_array.shape}, dtype=int)"
        return f"OutputIndexMap(index_array={elements}, {tail})"

    def __str__(self) -> str:
        if self.stride is None:
            return repr(self)
        text = f"OutputIndexMap(offset={self.offset}, stride={self.stride}"
        if self.index_array is None:
            return f"{text}, input_dimension={self.input_dimension})"
        bounds = format_interval(*self.range)
        return f"{text}, index_array={array_text(self.index_array)}, index_range={bounds})"


def _made(
    offset: int,
    stride: int | None,
    input_dimension: int | None,
    index_array: IndexArray | None,
    bounds: Range,
) -> OutputIndexMap:
    fields = _new(_Fields)
    fields.offset = offset
    fields.stride = stride
    fields.input_dimension = input_dimension
    fields.index_array = index_array
    fields.range = bounds
    fields.__class__ = OutputIndexMap
    return fields  # type: ignore[return-value]  # `cast` would be a call


#: ``input[dim]`` for each `dim`: most maps are one of these, and need not be made again.
IDENTITIES: Final = tuple([_made(0, 1, dim, None, UNBOUNDED_RANGE) for dim in range(MAX_RANK)])


def _restore(
    offset: int,
    stride: int | None,
    input_dimension: int | None,
    array: IndexArray | None,
    bounds: Range,
) -> OutputIndexMap:
    if array is not None:
        return OutputIndexMap.array(as_index_array(array), offset, stride or 0, bounds)
    if input_dimension is not None:
        return OutputIndexMap(input_dimension=input_dimension, offset=offset, stride=stride)
    return OutputIndexMap.constant(offset)


def as_index_array(value: npt.ArrayLike) -> IndexArray:
    """A read-only int64 copy of `value`, of size 1 where `value` merely repeats itself.

    Raises:
        IncompatibleType: If `value` holds anything but integers.
    """
    array = np.asarray(value)
    if array.size == 0 and not isinstance(value, np.ndarray):
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu" and array.dtype != np.bool_:
        raise IncompatibleType(f"index_array must be of an integer type, not {array.dtype}")
    if 0 in array.strides and array.size:
        keep = [slice(0, 1) if step == 0 else slice(None) for step in array.strides]
        array = array[tuple(keep)]
    copy = array.astype(np.int64, order="C", casting="safe", copy=True)
    copy.flags.writeable = False
    return copy


def array_text(array: IndexArray) -> str:
    """The elements in TensorStore's notation, of large arrays only the edges."""
    # The widest line, so that NumPy breaks none.
    text = np.array2string(
        array,
        separator=", ",
        threshold=_SHOWN_ELEMENTS,
        max_line_width=2**31,
        formatter={"int": str},
    )
    return " ".join(text.split()).replace("[", "{").replace("]", "}")


class OutputIndexMaps(Sequence[OutputIndexMap]):
    """The output maps of a transform, as a sequence over the output dimensions.

    >>> maps = at.IndexTransform(input_shape=[3, 4])[1].output
    >>> maps.rank, [each.method.name for each in maps]
    (2, ['constant', 'single_input_dimension'])
    """

    __slots__ = ("_maps",)

    def __init__(self, maps: tuple[OutputIndexMap, ...]) -> None:
        self._maps = maps

    @property
    def rank(self) -> int:
        """Number of output dimensions."""
        return len(self._maps)

    def __len__(self) -> int:
        return len(self._maps)

    @overload
    def __getitem__(self, index: int) -> OutputIndexMap: ...
    @overload
    def __getitem__(self, index: slice) -> list[OutputIndexMap]: ...
    def __getitem__(self, index: int | slice) -> OutputIndexMap | list[OutputIndexMap]:
        return list(self._maps[index]) if isinstance(index, slice) else self._maps[index]

    def __iter__(self) -> Iterator[OutputIndexMap]:
        return iter(self._maps)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Iterable) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._maps)

    def __repr__(self) -> str:
        return repr(list(self._maps))

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self._maps))}]"
