"""What goes wrong in workers: one clear error, there and here, and nothing is lost."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader

import asynctensor as at
from asynctensor.errors import Error, FailedPrecondition, OutOfRange
from asynctensor.integrations.distributing.target import Target
from asynctensor.integrations.torch import ArrayDataset, ArrayStream, Loader

COUNT = 24
START_METHODS = ["fork", "forkserver"]


@pytest.fixture
def array(tmp_path) -> at.TensorStore:
    made = at.open(
        {"driver": "zarr3", "kvstore": f"file://{tmp_path}/a/"}, create=True, dtype="int64",
        shape=[COUNT], chunk_layout=at.ChunkLayout(chunk_shape=[4]),
    ).result()  # fmt: skip
    made.write(np.arange(COUNT)).result()
    return made


def flat(batches: Iterable[list[int]]) -> list[int]:
    return [number for batch in batches for number in batch]


class DiesAt:
    """Kills the process that transforms a batch with some number, once."""

    def __init__(self, number: int, mark: Path) -> None:
        self.number, self.mark = number, mark

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        if self.number in batch and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return batch


@pytest.mark.parametrize("method", START_METHODS)
def test_a_worker_that_dies_half_way(array, tmp_path, method) -> None:
    def loader() -> Loader:
        dies = DiesAt(13, tmp_path / "mark")
        return Loader(array, 4, workers=1, start_method=method, ahead=0, transform=dies)

    first, found = loader(), []
    with pytest.raises(RuntimeError, match=r"DataLoader worker .* (killed by signal|exited)"):
        found.extend(batch.tolist() for batch in first)
    # Whatever was handed out before counts, and nothing else does.
    assert found == [list(range(i, i + 4)) for i in range(0, 4 * len(found), 4)]
    assert len(found) <= 3
    second = loader()
    second.load_state_dict(first.state_dict())
    found.extend(batch.tolist() for batch in second)
    assert flat(found) == list(range(COUNT))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sampler_beyond_the_array(array, workers) -> None:
    dataset = ArrayDataset(array)
    sampler = BatchSampler(range(COUNT + 2), 13, drop_last=False)
    loader = iter(DataLoader(dataset, batch_size=None, sampler=sampler, num_workers=workers))
    assert next(loader).tolist() == list(range(13))
    with pytest.raises(OutOfRange, match=f"there is no sample {COUNT}: there are {COUNT}"):
        next(loader)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_state_of_other_data(array, tmp_path, workers) -> None:
    other = at.open(
        {"driver": "zarr3", "kvstore": f"file://{tmp_path}/b/"}, create=True, dtype="int64",
        shape=[COUNT], chunk_layout=at.ChunkLayout(chunk_shape=[4]),
    ).result()  # fmt: skip
    state = Loader(other, 4).state_dict()
    loader = Loader(array, 4, workers=workers)
    with pytest.raises(FailedPrecondition, match="other samples"):
        loader.load_state_dict(state)
    assert flat(batch.tolist() for batch in loader) == list(range(COUNT))
    stream = ArrayStream(array, 4)
    with pytest.raises(FailedPrecondition, match="other samples"):
        stream.load_state_dict(state)


class Writes:
    """Writes to a target in whatever process transforms a batch."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        self.target.write((slice(0, 4),), 7)
        return batch


@pytest.mark.parametrize("workers", [0, 1])
def test_a_transaction_that_has_ended(array, tmp_path, workers) -> None:
    repository = at.Repository.open(tmp_path / "lab", create=True).result()
    versioned = at.open(
        {"driver": "zarr3", "kvstore": repository.kvstore("a/")}, create=True, dtype="int64",
        shape=[COUNT],
    ).result()  # fmt: skip
    with repository.transaction() as txn:
        inside = versioned.with_transaction(txn)
        target = Target.of(inside)
        with pytest.raises(Error, match="transaction"):
            pickle.dumps(ArrayDataset(inside))
    log = [each.id for each in repository.log()]
    loader = Loader(array, 4, transform=Writes(target), workers=workers)
    with pytest.raises(Error, match="transaction"):
        list(loader)
    assert [each.id for each in repository.log()] == log
    assert not versioned.read().result().any()
