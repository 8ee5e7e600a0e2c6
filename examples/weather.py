"""A dataset of xarray's in a repository: written in one commit each day, read as it ever was.

``python -m examples.weather`` writes three days of a small forecast to ``examples/output/weather``;
on the second day it appends, on the third it corrects. Then it reads the newest state, all
variables at once, and the first one beside it. Needs ``pip install 'asynctensor[xarray]'``.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import numpy as np
import xarray as xr

import asynctensor as at
from asynctensor.integrations.xarray import open_dataset_async
from asynctensor.integrations.zarr import Store

OUTPUT = Path(__file__).parent / "output" / "weather"
HOURS, PLACES = 24, 50


def forecast(day: int) -> xr.Dataset:
    """Temperature and wind of one day: float32, 24 hours by 50 places."""
    generator = np.random.default_rng(day)
    hours = np.datetime64("2026-11-20", "ns") + (day * HOURS + np.arange(HOURS)) * 3_600 * 10**9
    shape = (HOURS, PLACES)
    return xr.Dataset(
        {
            "temperature": (("time", "place"), generator.normal(5, 3, shape).astype("f4")),
            "wind": (("time", "place"), generator.gamma(2, 3, shape).astype("f4")),
        },
        coords={"time": hours, "place": np.arange(PLACES)},
    )


def write(repo: at.Repository, message: str, dataset: xr.Dataset, **how: object) -> None:
    """Writes a dataset, or part of one, as xarray does; all of it is one commit."""
    with repo.transaction(message=message, author="the forecast") as txn:
        dataset.to_zarr(Store(repo, transaction=txn), consolidated=False, **how)  # type: ignore[call-overload]


async def main(folder: Path = OUTPUT) -> tuple[xr.Dataset, xr.Dataset]:
    """Writes three days, and reads the first and the newest state.

    Returns:
        The dataset after the first commit, and the newest one; both loaded.
    """
    shutil.rmtree(folder, ignore_errors=True)
    repo = await at.Repository.open(folder, create=True)
    await asyncio.to_thread(write, repo, "day 0", forecast(0))
    await repo.create_tag("first")
    await asyncio.to_thread(write, repo, "day 1", forecast(1), append_dim="time")
    calm = forecast(1)[["wind"]].drop_vars("place").assign(wind=lambda each: each["wind"] * 0)
    hours = {"time": slice(HOURS, 2 * HOURS)}
    await asyncio.to_thread(write, repo, "the wind was calm", calm, region=hours)

    first, newest = await asyncio.gather(
        open_dataset_async(repo, tag="first"), open_dataset_async(repo)
    )
    await asyncio.gather(first.load_async(), newest.load_async())
    async for commit in repo.log(limit=3):
        print(commit)
    for name, dataset in (("first", first), ("newest", newest)):
        print(f"{name}: {dict(dataset.sizes)}, mean wind {float(dataset['wind'].mean()):.2f} m/s")
    return first, newest


if __name__ == "__main__":
    asyncio.run(main())
