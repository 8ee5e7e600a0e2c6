"""A process in which PyTorch loads samples of an array; started by `cases.torch_loading`.

``python -m benchmarks.torch_worker JOB``, JOB being JSON. It loads an epoch to come to speed (one
read after the other: a batch), says ``ready`` on a line of its own, waits for a line, loads another
one, and answers with a line of JSON: seconds, and the sum of all elements that it loaded. Processes
of a `DataLoader` must have a parent that may have children, which the benchmarks' own may not.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from asynctensor.integrations.torch import Loader, Samples
from benchmarks.peers import peer_class

BATCH = 64
CROP = 64
CROP_BATCH = 16


def opened(peer: str, setting: str, location: str) -> tuple[Any, Any]:
    """A peer, and the array opened by it."""
    instance = peer_class(peer)(setting)
    where = location if "://" in location else Path(location)
    return instance, instance.open(where)


class OneByOne(Dataset[Any]):
    """Each sample is a read of its own: what is written first for any library."""

    def __init__(self, job: dict[str, Any], regions: list[tuple[slice, ...]]) -> None:
        self._job, self._regions = job, regions
        self._array: Any = None

    def __len__(self) -> int:
        return len(self._regions)

    def __getitem__(self, number: int) -> torch.Tensor:
        if self._array is None:
            # In the process that reads: not every library survives a fork.
            self._array = opened(self._job["peer"], self._job["setting"], self._job["location"])[1]
        return torch.from_numpy(one(self._job["peer"], self._array, self._regions[number]))


def one(peer: str, array: Any, region: tuple[slice, ...]) -> Any:
    """A region, read as each library does without a loop."""
    if peer == "zarr":
        return array[region]
    return array[region].read().result()


class InFutures(OneByOne):
    """All samples of a batch are asked for before one is waited for; for TensorStore."""

    def __getitems__(self, numbers: list[int]) -> list[torch.Tensor]:
        if self._array is None:
            self._array = opened(self._job["peer"], self._job["setting"], self._job["location"])[1]
        reads = [self._array[self._regions[number]].read() for number in numbers]
        return [torch.from_numpy(each.result()) for each in reads]


def rows(count: int) -> list[tuple[slice, ...]]:
    """Each row of an array, as a region."""
    return [(slice(i, i + 1), slice(None), slice(None)) for i in range(count)]


def crops(count: int, edge: int) -> list[tuple[slice, ...]]:
    """Regions at random corners of a cube."""
    corners = np.random.default_rng(5).integers(0, edge - CROP + 1, (count, 3)).tolist()
    return [tuple(slice(at, at + CROP) for at in corner) for corner in corners]


def loader(job: dict[str, Any]) -> Iterable[Any]:
    """What loads the samples of a job, one epoch at each iteration."""
    count, crop = job["count"], job["crops"]
    if job["how"] == "loader":
        _, array = opened("asynctensor", job["setting"], job["location"])
        if not crop:
            return Loader(array, BATCH, shuffle=True)
        size = dict.fromkeys(range(3), CROP)
        return Loader(Samples.crops(array, size, count), CROP_BATCH)
    regions = crops(count, job["edge"]) if crop else rows(count)
    kinds: dict[str, Callable[..., OneByOne]] = {"one": OneByOne, "futures": InFutures}
    return DataLoader(
        kinds[job["how"]](job, regions),
        batch_size=CROP_BATCH if crop else BATCH,
        shuffle=True,
        num_workers=job["workers"],
        persistent_workers=job["workers"] > 0,
        multiprocessing_context="spawn" if job["workers"] else None,
    )


def epoch(batches: Iterable[Any]) -> tuple[int, int]:
    """Loads an epoch; how many samples came, and the sum of their elements."""
    samples = total = 0
    for batch in batches:
        samples += len(batch)
        total += int(np.asarray(batch.numpy()).sum(dtype=np.int64))
    return samples, total


def main(job: dict[str, Any]) -> None:
    """Loads to come to speed, then an epoch, which is timed."""
    batches = loader(job)
    epoch(itertools.islice(batches, 1) if job["how"] == "one" and not job["workers"] else batches)
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    samples, total = epoch(batches)
    print(json.dumps([time.perf_counter() - started, samples, total]), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
