"""xarray's ways to change a dataset, in transactions: appends, regions, several jobs at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import asynctensor as at
from asynctensor.errors import Aborted
from asynctensor.integrations.zarr import Store


def days(count: int, first: int = 0) -> xr.Dataset:
    """Days, each of four values, in chunks of two days."""
    values = np.arange(count * 4.0).reshape(count, 4) + 4 * first
    coordinates = {"time": np.arange(count) + first}
    found = xr.Dataset({"a": (("time", "x"), values)}, coords=coordinates)
    found["a"].encoding["chunks"] = (2, 4)
    return found


@pytest.fixture
def repo(tmp_path: Path) -> at.Repository:
    """Six days are there."""
    made = at.Repository.open(tmp_path, create=True).result()
    with made.transaction(message="six days") as txn:
        days(6).to_zarr(Store(made, transaction=txn), mode="w", consolidated=False)
    return made


def stored(repo: at.Repository) -> xr.Dataset:
    return xr.open_zarr(Store(repo), consolidated=False).load()


def replaced(repo: at.Repository, txn: at.Transaction, first: int, values: xr.Dataset) -> None:
    """Writes other values for some days."""
    region = {"time": slice(first, first + values.sizes["time"])}
    values = values.drop_vars("time")
    values.to_zarr(
        Store(repo, transaction=txn), region=region, consolidated=False, safe_chunks=False
    )


@pytest.mark.parametrize("mode", ["a", "a-"])
def test_days_are_appended(repo: at.Repository, mode: str) -> None:
    with repo.transaction(message="five more") as txn:
        store = Store(repo, transaction=txn)
        days(5, 6).to_zarr(store, mode=mode, append_dim="time", consolidated=False)
        assert stored(repo).sizes["time"] == 6
    xr.testing.assert_identical(stored(repo), days(11))
    assert [each.message for each in repo.log()] == ["five more", "six days"]


def test_a_region_is_found_by_its_coordinates(repo: at.Repository) -> None:
    with repo.transaction() as txn:
        (days(4, 1) * -1).assign_coords(time=np.arange(1, 5)).to_zarr(
            Store(repo, transaction=txn), region="auto", consolidated=False, safe_chunks=False
        )
    expected = days(6)
    expected["a"][1:5] *= -1
    xr.testing.assert_identical(stored(repo), expected)


def test_regions_of_several_jobs(repo: at.Repository) -> None:
    """xarray lists the group, and a serializable transaction rests on what it listed."""
    jobs = [repo.transaction(message=f"{i}", isolation="snapshot") for i in range(3)]
    for i, job in enumerate(jobs):
        replaced(repo, job, 2 * i, days(2, 100 * i))
    for job in jobs:
        job.commit_async().result()
    expected = np.concatenate([days(2, 100 * i)["a"] for i in range(3)])
    assert (stored(repo)["a"].values == expected).all()


def test_regions_in_one_chunk(repo: at.Repository) -> None:
    """zarr-python reads a chunk that it changes in part: the other's change is not lost unseen."""
    jobs = [repo.transaction(isolation="snapshot") for _ in range(2)]
    for i, job in enumerate(jobs):
        replaced(repo, job, i, days(1, 50))
    jobs[0].commit_async().result()
    with pytest.raises(Aborted, match="of 'a/'"):
        jobs[1].commit_async().result()
    assert stored(repo)["a"].values[:2].tolist() == [[200, 201, 202, 203], [4, 5, 6, 7]]


@pytest.mark.parametrize("isolation", ["serializable", "snapshot"])
def test_two_appends_at_once(repo: at.Repository, isolation: str) -> None:
    """Both believe that theirs come seventh: the second has to be done again."""
    jobs = [repo.transaction(message=f"{i}", isolation=isolation) for i in range(2)]
    for i, job in enumerate(jobs):
        store = Store(repo, transaction=job)
        days(2, 100 * i).to_zarr(store, append_dim="time", consolidated=False)
    jobs[0].commit_async().result()
    with pytest.raises(Aborted, match=r"zarr\.json"):
        jobs[1].commit_async().result()
    with repo.transaction() as again:
        days(2, 100).to_zarr(Store(repo, transaction=again), append_dim="time", consolidated=False)
    assert stored(repo)["time"].values.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 100, 101]
