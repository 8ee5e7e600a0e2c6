"""Dask's own functions for zarr, over a `Store`."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np

import asynctensor as at
from asynctensor.integrations.zarr import Store


def test_written_and_read_in_a_repository(tmp_path: Path) -> None:
    repo = at.Repository.open(tmp_path, create=True).result()
    values = da.arange(10_000, chunks=1000).reshape(100, 100)
    with repo.transaction(message="by dask") as txn:
        da.to_zarr(values, Store(repo, transaction=txn), component="a")
    assert next(iter(repo.log())).message == "by dask"
    found = da.from_zarr(Store(repo), component="a")
    assert np.array_equal(found.compute(), np.arange(10_000).reshape(100, 100))
