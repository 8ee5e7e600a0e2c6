"""Blocks that are not what Dask says, or more than NumPy's arrays: right, or one clear error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import asynctensor as at
from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.integrations.dask import Target, store

SHAPE = (4, 4)


def made(repo: at.Repository | None, dtype: Any = "float64") -> at.TensorStore:
    kvstore = repo.kvstore("a/") if repo else {"driver": "memory"}
    return at.open(
        {"driver": "zarr3", "kvstore": kvstore}, create=True, delete_existing=True, dtype=dtype,
        shape=SHAPE, chunk_layout=at.ChunkLayout(chunk_shape=[3, 3]), context=at.Context(),
    ).result()  # fmt: skip


@pytest.fixture(params=["in a transaction", "in none"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., np.ndarray]:
    """Stores a Dask array in a new one, and reads that."""

    def run(source: da.Array, dtype: Any = "float64") -> np.ndarray:
        if request.param == "in none":
            array = made(None, dtype)
            store(source, array, scheduler="sync")
            return array.read().result()
        repo = at.Repository.open(tmp_path, create=True).result()
        array = made(repo, dtype)
        with repo.transaction() as txn:
            store(source, array.with_transaction(txn), scheduler="sync")
        return array.read().result()

    return run


def blocks(function: Callable[[np.ndarray], Any], dtype: str = "float64") -> da.Array:
    """What a function makes of blocks of zeros, of two rows and columns each."""
    zeros = da.zeros(SHAPE, chunks=2, dtype=dtype)
    return da.map_blocks(function, zeros, dtype=dtype, meta=np.empty((0, 0), dtype))


def test_what_is_masked_is_not_stored_as_what_lies_under_the_mask(stored) -> None:
    masked = np.ma.masked_greater(np.arange(16.0).reshape(SHAPE), 10)
    source = da.from_array(masked, chunks=2)
    with pytest.raises(IncompatibleType, match=r"no mask; .*dask\.array\.ma\.filled"):
        stored(source)
    assert (stored(da.ma.filled(source, -1)) == masked.filled(-1)).all()
    # Dask does not know what the blocks are.
    late = da.from_delayed(dask.delayed(np.ma.copy)(masked), SHAPE, "float64")
    with pytest.raises(IncompatibleType, match=r"in .*0:4.*, 5 elements are masked.*filled"):
        stored(late)
    assert (stored(late[:1].repeat(4, 0)) == np.arange(4)).all()


def test_the_store_function_of_dask_does_not_lose_masks_either(tmp_path: Path) -> None:
    repo = at.Repository.open(tmp_path, create=True).result()
    array = made(repo)
    source = da.from_array(np.ma.masked_less(np.arange(16.0).reshape(SHAPE), 3), chunks=2)
    with (
        pytest.raises(IncompatibleType, match="masked"),
        repo.transaction() as txn,
    ):
        into = Target.of(array.with_transaction(txn))
        da.store(source, into, lock=False, scheduler="sync")
    assert not array.read().result().any()


def test_masks_of_records() -> None:
    values = np.ma.array([(1, 2.0), (3, 4.0)], dtype=[("a", "i4"), ("b", "f8")])
    array = at.open(
        {"driver": "zarr3"}, kvstore="memory://", create=True, dtype=values.dtype, shape=[2],
        context=at.Context(),
    ).result()  # fmt: skip
    source = da.from_delayed(dask.delayed(np.ma.copy)(values), (2,), values.dtype)
    store(source, array, scheduler="sync")
    assert array.read().result().tolist() == [(1, 2.0), (3, 4.0)]
    values.mask[1] = (True, False)
    with pytest.raises(IncompatibleType, match="1 elements are masked"):
        store(source, array, scheduler="sync")


@pytest.mark.parametrize("function", [
    lambda block: block[:1], lambda block: block[0], lambda block: 7.0, lambda block: None,
    lambda block: scipy.sparse.csr_matrix(np.eye(2)), lambda block: block[None],
])  # fmt: skip
def test_blocks_of_other_shapes(stored, function) -> None:
    with pytest.raises(InvalidArgument, match=r"block \[\d:\d, \d:\d\] .* as Dask says; "):
        stored(blocks(function))


class OnDevice:
    """An array on a GPU, as CuPy has them."""

    shape, ndim, dtype = (2, 2), 2, np.dtype("float64")

    def __array__(self, *args: Any, **options: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed")


def test_blocks_of_other_types(stored) -> None:
    with pytest.raises(IncompatibleType, match=r"block \[.* is no array of NumPy.*Implicit"):
        stored(blocks(lambda block: OnDevice()))
    nested = [[1, 2], [3, 4]]
    for function in (lambda block: nested, lambda block: pd.DataFrame(nested)):
        assert (stored(blocks(function)) == np.tile(nested, (2, 2))).all()
    column = da.from_delayed(dask.delayed(pd.array)([1, None] * 8, dtype="Int64"), (16,), "int64")
    with pytest.raises(IncompatibleType, match="astype"):
        stored(column.reshape(SHAPE), "int64")


def test_blocks_of_other_data_types(stored) -> None:
    with pytest.raises(IncompatibleType, match=r"'safe'; convert it first: .*int32"):
        stored(blocks(lambda block: block + 0.5, "int32"), "int32")
    with pytest.raises(IncompatibleType, match="'safe'"):
        stored(blocks(lambda block: block + 1j))
    assert (stored(blocks(lambda block: block + np.float32(2))) == 2).all()
    assert (stored(blocks(lambda block: block.astype(">f4") + 2)) == 2).all()


def test_a_shape_that_is_not_known_yet() -> None:
    source = da.arange(10, chunks=3)
    some = source[source > 4]
    array = at.open(
        {"driver": "zarr3"}, kvstore="memory://", create=True, dtype="int64", shape=[5],
        context=at.Context(),
    ).result()  # fmt: skip
    with pytest.raises(InvalidArgument, match="compute_chunk_sizes"):
        store(some, array, scheduler="sync")
    store(some.compute_chunk_sizes(), array, scheduler="sync")
    assert array.read().result().tolist() == [5, 6, 7, 8, 9]
