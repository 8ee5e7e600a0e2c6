"""`StoredArray`: a stored array as xarray's lazily read data, also read asynchronously."""

from __future__ import annotations

from typing import Any

import numpy as np
from xarray.backends import BackendArray
from xarray.coding.strings import create_vlen_dtype
from xarray.core import indexing

from asynctensor.tensorstore import TensorStore


class StoredArray(BackendArray):
    """An array that is read when xarray asks for elements.

    What is indexed is read at once, whatever the index: nothing is read and thrown away. Pickled
    as the array is; used from any thread.

    Args:
        store: The array; its domain begins at 0.
    """

    __slots__ = ("_store", "dtype", "shape")

    def __init__(self, store: TensorStore) -> None:
        # Not public: xarray would take an attribute `array` for data in memory.
        self._store = store
        self.shape: tuple[int, ...] = tuple(store.shape)
        dtype = np.dtype(store.dtype.numpy_dtype)
        is_text = store.dtype.name in {"ustring", "string"}
        create: Any = create_vlen_dtype  # not annotated by xarray
        self.dtype = create(str) if is_text and dtype.kind == "O" else dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return np.asarray(self._view(key).read().result())

    async def async_getitem(self, key: indexing.ExplicitIndexer) -> Any:
        return np.asarray(await self._view(key).read())

    def _view(self, key: indexing.ExplicitIndexer) -> TensorStore:
        """What an index of xarray's selects.

        Source: ``BasicIndexer``, ``OuterIndexer`` and ``VectorizedIndexer`` of xarray's
        ``core/indexing.py``.
        """
        terms = [_positive(term, size) for term, size in zip(key.tuple, self.shape, strict=True)]
        if not terms:
            return self._store
        every = slice(None)
        # Slices first, so that the positions of the others are those of the whole array.
        sliced = self._store[tuple(t if isinstance(t, slice) else every for t in terms)]
        others = tuple(every if isinstance(t, slice) else t for t in terms)
        if isinstance(key, indexing.VectorizedIndexer):
            # Dimensions of arrays come first, sliced ones last, as TensorStore has it.
            return sliced.vindex[others]
        return sliced.oindex[others]


def _positive(term: Any, size: int) -> Any:
    """An index in NumPy's dialect as TensorStore means it: no positions from the end."""
    if isinstance(term, slice):
        start, stop, step = term.indices(size)
        if step > 0:
            return slice(start, max(start, stop), step)
        if stop >= start:
            return slice(0, 0)
        return slice(start, None if stop < 0 else stop, step)
    if isinstance(term, np.ndarray):
        return np.where(term < 0, term + size, term)
    number = int(term)
    return number + size if number < 0 else number
