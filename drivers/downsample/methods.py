"""What becomes of the elements of a cell: TensorStore's methods, vectorised.

A block holds whole cells of one shape: of rank ``2 * rank``, with the shape
``(cells, elements per cell, cells, elements per cell, ...)``.
(TensorStore's document "downsample driver" and ``driver/downsample/downsample_array.cc``.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.errors import InvalidArgument
from asynctensor.schema.data_type import dtype

#: Data types that have no mean, and no order either.
_UNORDERED = frozenset({"char", "byte", "string", "ustring", "json"})
METHODS = ("stride", "mean", "min", "max", "median", "mode")


def check_method(method: str, data_type: dtype) -> None:
    """Refuses a method that a data type does not allow.

    Raises:
        InvalidArgument: It does not.
    """
    name = data_type.name
    allowed = method in ("stride", "mode") or name not in _UNORDERED
    if allowed and name.startswith("complex"):
        allowed = method not in ("min", "max", "median")
    if not allowed:
        raise InvalidArgument(f'Downsample method "{method}" does not support data type "{name}"')


def reduced(block: Array, method: str) -> Array:
    """One element per cell of a block; not of ``"stride"``.

    Args:
        block: Rank ``2 * rank``, all sizes positive.
        method: One of `METHODS`; allowed for the data type.
    """
    axes = tuple(range(1, block.ndim, 2))
    if not axes:
        return block
    with np.errstate(all="ignore"):
        if method == "mean":
            return _mean(block, axes)
        if method in ("min", "max"):
            return _extreme(block, axes, method)
        return _OF_CELLS[method](_as_cells(block, axes))


def _as_cells(block: Array, axes: tuple[int, ...]) -> Array:
    """Rank ``rank + 1``: the elements of each cell along the last axis."""
    rank = len(axes)
    order = (*range(0, block.ndim, 2), *axes)
    return block.transpose(order).reshape(*(block.shape[a] for a in order[:rank]), -1)


# -- mean -----------------------------------------------------------------------------------


def _mean(block: Array, axes: tuple[int, ...]) -> Array:
    count = int(np.prod([block.shape[a] for a in axes]))
    kind = block.dtype
    if kind.kind == "b":
        # The mode, of which a tie is False.
        return np.asarray(np.count_nonzero(block, axis=axes) * 2 > count)
    if _is_whole(kind):
        return _whole_mean(block, axes, count).astype(kind)
    wide = kind if kind.itemsize >= 4 and kind.kind in "fc" else np.dtype(np.float32)
    return np.asarray(block.sum(axis=axes, dtype=wide) / wide.type(count)).astype(kind)


def _is_whole(kind: np.dtype[Any]) -> bool:
    return kind.kind in "iu" or kind.name in ("int2", "int4")


def _whole_mean(block: Array, axes: tuple[int, ...], count: int) -> Array:
    """Rounded half to even, exactly: no sum leaves the integers that hold it."""
    if block.dtype.kind not in "iu":
        block = block.astype(np.int8)
    wide = np.dtype(np.uint64 if block.dtype == np.uint64 else np.int64)
    if block.dtype.itemsize < 8:
        whole, rest = np.divmod(block.sum(axis=axes, dtype=wide), wide.type(count))
    else:
        parts, rests = np.divmod(block, wide.type(count))
        more, rest = np.divmod(rests.sum(axis=axes, dtype=wide), wide.type(count))
        whole = parts.sum(axis=axes, dtype=wide) + more
    odd = whole % wide.type(2) == 1
    up = (rest * 2 > count) | ((rest * 2 == count) & odd)
    return np.asarray(whole + up.astype(wide))


# -- min, max, median -----------------------------------------------------------------------


def _extreme(block: Array, axes: tuple[int, ...], method: str) -> Array:
    values, kind = _ordered(block)
    if values.dtype.kind == "f":
        # A cell's NaN counts only where there is nothing else.
        function: Any = np.fmin if method == "min" else np.fmax
    else:
        function = np.minimum if method == "min" else np.maximum
    return np.asarray(function.reduce(values, axis=axes)).astype(kind)


def _ordered(values: Array) -> tuple[Array, np.dtype[Any]]:
    """The values in a type that NumPy orders, each with an equal one, and their own type."""
    kind = values.dtype
    if kind.kind in "biuf":
        return values, kind
    return values.astype(np.int8 if _is_whole(kind) else np.float32), kind


def _median(cells: Array) -> Array:
    values, kind = _ordered(cells)
    middle = (values.shape[-1] - 1) // 2
    return np.asarray(np.partition(values, middle, axis=-1)[..., middle]).astype(kind)


# -- mode -----------------------------------------------------------------------------------


def _mode(cells: Array) -> Array:
    """The most frequent element, of several the least."""
    kind = cells.dtype
    if kind.hasobject:
        return _object_mode(cells)
    if kind.kind in "SV" and kind.type in (np.bytes_, np.void):
        return _mode(np.ascontiguousarray(cells).view(np.uint8)).view(kind)
    values = cells if kind.kind == "c" else _ordered(cells)[0]
    values = np.sort(values, axis=-1)
    at = np.arange(values.shape[-1])
    begins = np.zeros(values.shape, np.int64)
    begins[..., 1:] = np.where(values[..., 1:] != values[..., :-1], at[1:], 0)
    # How often the element stands up to here; the first position where that is most wins.
    runs = at - np.maximum.accumulate(begins, axis=-1)
    best = runs.argmax(axis=-1)[..., np.newaxis]
    return np.asarray(np.take_along_axis(values, best, axis=-1)[..., 0]).astype(kind)


def _object_mode(cells: Array) -> Array:
    found = np.empty(cells.shape[:-1], object)
    flat = found.reshape(-1)
    for place, cell in enumerate(cells.reshape(-1, cells.shape[-1])):
        keys = [_json_key(value) for value in cell]
        counts = Counter(keys)
        best = min(counts, key=lambda key: (-counts[key], key))
        flat[place] = cell[keys.index(best)]
    return found


def _json_key(value: Any) -> tuple[Any, ...]:
    """Orders texts, bytes and JSON: null, booleans, numbers, objects, arrays, texts."""
    if value is None:
        return (0,)
    if isinstance(value, bool):
        return (1, value)
    if isinstance(value, (int, float)):
        return (2, value)
    if isinstance(value, dict):
        return (3, tuple((k, _json_key(value[k])) for k in sorted(value)))
    if isinstance(value, (list, tuple)):
        return (4, tuple(_json_key(each) for each in value))
    return (5, value)


_OF_CELLS: dict[str, Callable[[Array], Array]] = {"median": _median, "mode": _mode}
