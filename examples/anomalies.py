"""Dask computes what is unusual about each day: two arrays, in one commit, read as they were.

``python -m examples.anomalies FOLDER`` makes a year of daily temperatures in a repository in
`FOLDER`, has two processes compute the mean of the year, and by how much each day differs from what
is usual, and commits both at once. Dask's chunks are days, those that are stored are regions: they
line up nowhere, and nothing is lost. Needs ``pip install 'asynctensor[dask]' distributed``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from distributed import Client, LocalCluster

import asynctensor as at
from asynctensor.integrations.dask import store, to_dask

DAYS, HEIGHT, WIDTH = 365, 60, 90
#: Days that a task of Dask's has.
SPAN = 50


def record(repo: at.Repository) -> None:
    """A year of temperatures, and in one region a week that was hot."""
    chance = np.random.default_rng(7)
    day, y, _ = np.ogrid[:DAYS, :HEIGHT, :WIDTH]
    season = 10 - 8 * np.cos(2 * np.pi * day / DAYS) - y / 10
    days = (season + chance.normal(0, 0.5, (DAYS, HEIGHT, WIDTH))).astype("float32")
    days[200:207, 20:30, 40:60] += 9
    with repo.transaction(message="measured") as txn:
        created(repo, "temperature/", days.shape, txn).write(days).result()


def created(
    repo: at.Repository, path: str, shape: tuple[int, ...], txn: at.Transaction
) -> at.TensorStore:
    """A new array of float32 in regions of 32 x 32, of 64 days each where it has days."""
    layout = at.ChunkLayout(chunk_shape=[64, 32, 32][-len(shape) :])
    spec = {"driver": "zarr3", "kvstore": repo.kvstore(path)}
    return at.open(
        spec, create=True, transaction=txn, dtype="float32", shape=shape, chunk_layout=layout
    ).result()


def unusual(repo: at.Repository) -> tuple[int, ...]:
    """Writes the mean and the anomalies; gives the day and place of the greatest one."""
    opened = at.open({"driver": "zarr3", "kvstore": repo.kvstore("temperature/")}).result()
    days = to_dask(opened).rechunk((SPAN, -1, -1))
    # What all places have in common on a day is the season.
    anomalies = days - days.mean(axis=(1, 2), keepdims=True)
    mean = days.mean(axis=0)
    with repo.transaction(message="what is unusual") as txn:
        into = [
            created(repo, "mean/", mean.shape, txn),
            created(repo, "anomalies/", anomalies.shape, txn),
        ]
        store([mean, anomalies], into)
    place = int(anomalies.argmax().compute())
    return tuple(map(int, np.unravel_index(place, anomalies.shape)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    repo = at.Repository.open(parser.parse_args().folder / "climate", create=True).result()
    record(repo)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        day, y, x = unusual(repo)
    print(f"the hottest for its day was day {day}, at {y}, {x}")
    for commit in repo.log():
        print(commit.message, commit.changes.chunks)


if __name__ == "__main__":
    main()
