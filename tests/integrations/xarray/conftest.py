from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from asynctensor.integrations.zarr import Store


def example() -> xr.Dataset:
    dataset = xr.Dataset(
        {
            "t": (("time", "x"), np.arange(60, dtype="f4").reshape(10, 6), {"units": "K"}),
            "n": ("x", np.arange(6, dtype="i2")),
            "when": ("x", pd.date_range("2021", periods=6)),
        },
        coords={
            "time": pd.date_range("2020", periods=10),
            "x": np.arange(6) * 2.0,
            "place": ("x", list("abcdef")),
        },
        attrs={"title": "an example"},
    )
    dataset["t"][2, 3] = np.nan
    dataset["t"].encoding = {"chunks": (3, 4), "_FillValue": -1.0}
    return dataset


def write(dataset: xr.Dataset, where: Path | Store, **options: object) -> None:
    store = where if isinstance(where, Store) else Store(where)
    with warnings.catch_warnings():
        # That text of fixed width is not in the specification of zarr v3 yet.
        warnings.simplefilter("ignore")
        dataset.to_zarr(store, **{"consolidated": False, **options})  # type: ignore[call-overload]


@pytest.fixture
def dataset() -> xr.Dataset:
    return example()
