"""Loading the variables of a dataset of xarray's from a server that is 10 ms away."""

from __future__ import annotations

import asyncio
import statistics
import time
import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from obstore.store import HTTPStore
from zarr.storage import ObjectStore

from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.far_server import FarServer, far_folder
from benchmarks.peers import peer_class
from tests.servers.delay_relay import Way

VARIABLES = 8
#: Of each variable; in chunks of `CHUNK`.
SHAPE = (256, 256)
CHUNK = (64, 64)
#: Loads one after the other of which a value is the median: now and then a full garbage collection
#: of all that these libraries have imported falls into one, which takes longer than the load.
LOADS = 3
#: What this process has opened, by peer: opening is not what is measured.
_opened: dict[str, xr.Dataset] = {}
_runners: list[asyncio.Runner] = []


def loop() -> asyncio.Runner:
    """The event loop of this process."""
    if not _runners:
        _runners.append(asyncio.Runner())
    return _runners[0]


def variables(scene: Scene) -> dict[str, np.ndarray[Any, Any]]:
    """The elements of each variable."""
    rows = np.asarray(scene.data).reshape(-1)
    size = SHAPE[0] * SHAPE[1]
    return {f"v{i}": rows[i * size : (i + 1) * size].reshape(SHAPE) for i in range(VARIABLES)}


def opened(peer: str, setting: str, url: str) -> xr.Dataset:
    """The dataset, lazily: each load reads all of it."""
    if peer not in _opened:
        if peer == "asynctensor":
            found = xr.open_dataset(url, engine="asynctensor", cache=False)
        else:
            peer_class(peer)(setting)
            options = {"allow_http": True, "timeout": timedelta(seconds=60)}
            store = ObjectStore(HTTPStore.from_url(url, client_options=options), read_only=True)
            found = xr.open_dataset(store, engine="zarr", cache=False, consolidated=True)
        _opened[peer] = found
    return _opened[peer].copy()


@dataclass(frozen=True)
class FarVariables:
    """All variables: ``load_async`` through asynctensor, ``load`` through zarr-python."""

    peers: tuple[str, ...] = ("asynctensor", "zarr")
    name: str = "xarray-far"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            f"10 ms away: xarray loads {VARIABLES} variables of 16 chunks each (`load_async`; "
            "zarr-python: `load`)",
            "s",
            Target(5.0, 7.0),
        ),
    )
    fresh_process: bool = False

    def prepare(self, scene: Scene) -> None:
        group = zarr.open_group(scene.folder / "data", mode="w")
        for name, values in variables(scene).items():
            array = group.create_array(
                name, shape=SHAPE, chunks=CHUNK, dtype=values.dtype, dimension_names=("y", "x")
            )
            array[...] = values
        with warnings.catch_warnings():
            # That consolidated metadata are not in the specification.
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(scene.folder / "data")

    def serve(self, folder: Path) -> AbstractContextManager[FarServer]:
        return far_folder(folder, Way(0.010))

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        wanted = variables(scene)
        seconds = []
        for _ in range(LOADS):
            dataset = opened(peer, setting, f"{scene.server.url}data/")
            seconds.append(self._load(peer, dataset))
            for name, values in wanted.items():
                if not np.array_equal(dataset[name].values, values):
                    raise WrongResult(f"variable {name} differs")
        return {"": statistics.median(seconds)}

    def _load(self, peer: str, dataset: xr.Dataset) -> float:
        if peer == "asynctensor":
            return loop().run(self._load_async(dataset))
        started = time.perf_counter()
        dataset.load()
        return time.perf_counter() - started

    async def _load_async(self, dataset: xr.Dataset) -> float:
        started = time.perf_counter()
        await dataset.load_async()
        return time.perf_counter() - started


CASES = (FarVariables(),)
