"""Datasets and loaders in PyTorch: forked and spawned workers, resumption, errors of workers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchdata.nodes
from torch.utils.data import BatchSampler, DataLoader, RandomSampler
from torchdata.stateful_dataloader import StatefulDataLoader

import asynctensor as at
from asynctensor.errors import DataLoss, FailedPrecondition, IncompatibleType, InvalidArgument
from asynctensor.integrations.torch import ArrayDataset, ArrayStream, Loader, Samples
from asynctensor.integrations.torch.nodes import ArrayNode

COUNT = 40
#: Of torchdata, not of ours.
pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")
START_METHODS = ["fork", "forkserver", "spawn"]


@pytest.fixture
def arrays(tmp_path) -> dict[str, at.TensorStore]:
    """Images 4 to a chunk, and labels: the first pixel is the label."""
    images = at.open(
        {"driver": "zarr3", "kvstore": f"file://{tmp_path}/images/"}, create=True,
        dtype="float32", shape=[COUNT, 4, 5], chunk_layout=at.ChunkLayout(chunk_shape=[4, 4, 5]),
    ).result()  # fmt: skip
    labels = at.open(
        {"driver": "zarr3", "kvstore": f"file://{tmp_path}/labels/"}, create=True,
        dtype="int64", shape=[COUNT], chunk_layout=at.ChunkLayout(chunk_shape=[10]),
    ).result()  # fmt: skip
    numbers = np.arange(COUNT)
    images.write(np.broadcast_to(numbers[:, None, None].astype("float32"), (COUNT, 4, 5))).result()
    labels.write(numbers).result()
    return {"image": images, "label": labels}


def flat(batches) -> list[int]:
    return [number for batch in batches for number in batch]


def checked(batches) -> list[list[int]]:
    """The labels of batches, whose images fit them."""
    found = []
    for batch in batches:
        assert batch["image"].shape == (len(batch["label"]), 4, 5)
        assert (batch["image"] == batch["label"][:, None, None]).all()
        found.append(batch["label"].tolist())
    return found


def test_samples_by_number(arrays) -> None:
    dataset = ArrayDataset(arrays)
    assert len(dataset) == COUNT
    one = dataset[3]
    assert one["label"].item() == 3
    assert one["image"].shape == (4, 5)
    assert checked([dataset[[5, 2]], dataset[torch.tensor([1])]]) == [[5, 2], [1]]
    assert [each["label"].item() for each in dataset.__getitems__([7, 8])] == [7, 8]
    assert torch.equal(ArrayDataset(arrays["image"])[2], torch.full((4, 5), 2.0))
    with pytest.raises(IndexError):
        dataset[COUNT]


@pytest.mark.parametrize("method", [None, *START_METHODS])
def test_in_workers(arrays, method) -> None:
    dataset = ArrayDataset(arrays)
    dataset[0]
    workers = {"num_workers": 2, "multiprocessing_context": method} if method else {}
    stacked = checked(DataLoader(dataset, batch_size=16, shuffle=True, **workers))
    assert sorted(flat(stacked)) == list(range(COUNT))
    sampler = BatchSampler(RandomSampler(dataset), 16, drop_last=False)
    whole = checked(DataLoader(dataset, batch_size=None, sampler=sampler, **workers))
    assert sorted(flat(whole)) == list(range(COUNT))


@pytest.mark.parametrize("method", [None, *START_METHODS])
def test_streams_in_workers(arrays, method) -> None:
    stream = ArrayStream(arrays, 3, shuffle=True, window=8)
    workers = {"num_workers": 2, "multiprocessing_context": method} if method else {}
    found = checked(DataLoader(stream, batch_size=None, **workers))
    assert sorted(flat(found)) == list(range(COUNT))
    again = checked(DataLoader(stream, batch_size=None, **workers))
    assert again == found
    stream.set_epoch(1)
    assert checked(DataLoader(stream, batch_size=None, **workers)) != found


def test_ranks_of_streams(arrays) -> None:
    found = [
        flat(checked(ArrayStream(arrays, 3, shuffle=True, window=8, rank=r, world_size=3)))
        for r in range(3)
    ]
    assert sorted(flat(found)) == list(range(COUNT))


@pytest.mark.parametrize("workers", [0, 2])
def test_stateful_data_loaders(arrays, workers) -> None:
    def loader() -> StatefulDataLoader:
        stream = ArrayStream(arrays, 3, shuffle=True, window=8)
        return StatefulDataLoader(stream, batch_size=None, num_workers=workers)

    whole = checked(loader())
    first = loader()
    batches = iter(first)
    begun = checked(next(batches) for _ in range(4))
    second = loader()
    second.load_state_dict(first.state_dict())
    assert begun + checked(second) == whole
    if workers:
        del batches, first


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_loaders_go_on_with_any_number_of_workers(arrays, workers) -> None:
    whole = checked(Loader(arrays, 6, shuffle=True))
    first = Loader(arrays, 6, shuffle=True, workers=1 if workers == 2 else 0)
    batches = iter(first)
    begun = checked(next(batches) for _ in range(3))
    state = first.state_dict()
    batches.close()
    second = Loader(arrays, 6, shuffle=True, workers=workers)
    second.load_state_dict(state)
    assert begun + checked(second) == whole
    assert second.epoch == 1
    assert checked(second) != whole


async def test_asynchronous_loops(arrays) -> None:
    loader = Loader(arrays, 6, shuffle=True)
    found = checked([batch async for batch in loader])
    assert found == checked(Loader(arrays, 6, shuffle=True))


def double(batch) -> dict[str, torch.Tensor]:
    return {"image": batch["image"] * 2, "label": batch["label"] * 2}


@pytest.mark.parametrize("workers", [0, 1])
def test_transforms(arrays, workers) -> None:
    found = checked(Loader(arrays, 20, transform=double, workers=workers))
    assert flat(found) == list(range(0, 2 * COUNT, 2))


def test_nodes(arrays) -> None:
    def loader() -> torchdata.nodes.Loader:
        return torchdata.nodes.Loader(ArrayNode(Loader(arrays, 6, shuffle=True, ahead=3)))

    first = loader()
    whole = checked(first)
    assert sorted(flat(whole)) == list(range(COUNT))
    assert checked(first) != whole
    third = loader()
    batches = iter(third)
    begun = checked(next(batches) for _ in range(2))
    fourth = loader()
    fourth.load_state_dict(third.state_dict())
    assert begun + checked(fourth) == whole


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_chunk(arrays, tmp_path, workers) -> None:
    (tmp_path / "images/c/5/0/0").write_bytes(b"?")
    loader = Loader(arrays, 4, workers=workers)
    batches = iter(loader)
    assert checked(next(batches) for _ in range(5)) == [
        list(range(i, i + 4)) for i in range(0, 20, 4)
    ]
    with pytest.raises(DataLoss, match="c/5/0/0"):
        next(batches)
    assert loader.state_dict()["position"] == 20


@pytest.mark.parametrize("workers", [0, 1])
def test_windows_that_share_chunks(arrays, tmp_path, workers) -> None:
    windows = Samples.windows(arrays["image"], {0: 3}, {0: 1})
    found = list(Loader(windows, 4, workers=workers))
    assert [len(batch) for batch in found] == [4] * 9 + [2]
    numbers = torch.cat(found)[:, :, 0, 0]
    assert torch.equal(numbers, torch.arange(38.0)[:, None] + torch.arange(3.0))
    # Of the rows 24 to 27: the sixth batch begins at the row 20, and ends with the row 25.
    (tmp_path / "images/c/6/0/0").write_bytes(b"?")
    loader = Loader(windows, 4, workers=workers)
    batches = iter(loader)
    assert [int(next(batches)[0, 0, 0, 0]) for _ in range(5)] == [0, 4, 8, 12, 16]
    with pytest.raises(DataLoss, match="c/6/0/0"):
        next(batches)
    assert loader.state_dict()["position"] == 20


@pytest.mark.parametrize("workers", [0, 1])
def test_all_that_is_made_of_a_branch_is_of_one_version(tmp_path, workers) -> None:
    repository = at.Repository.open(tmp_path / "lab", create=True).result()
    labels = at.open(
        {"driver": "zarr3", "kvstore": repository.kvstore("labels/")}, create=True,
        dtype="int64", shape=[COUNT], chunk_layout=at.ChunkLayout(chunk_shape=[10]),
    ).result()  # fmt: skip
    labels.write(np.arange(COUNT)).result()
    dataset, stream = ArrayDataset(labels), ArrayStream(labels, 4, drop_last=True)
    loader = Loader(labels, 4, workers=workers)
    state = loader.state_dict()
    batches = iter(stream)
    assert next(batches).tolist() == [0, 1, 2, 3]
    begun = stream.state_dict()
    labels.write(-1).result()
    found = DataLoader(dataset, batch_size=10, num_workers=workers)
    assert flat(batch.tolist() for batch in found) == list(range(COUNT))
    shared = DataLoader(stream, batch_size=None, num_workers=workers)
    assert flat(batch.tolist() for batch in shared) == list(range(COUNT))
    # Who comes later sees what is there, unless a state says what it was.
    later, again = ArrayStream(labels, 4), Loader(labels, 4, workers=workers)
    assert set(flat(batch.tolist() for batch in later)) == {-1}
    later.load_state_dict(begun)
    assert flat(batch.tolist() for batch in later) == list(range(4, COUNT))
    assert flat(batch.tolist() for batch in later) == list(range(COUNT))
    again.load_state_dict(state)
    assert flat(batch.tolist() for batch in again) == list(range(COUNT))
    assert set(flat(batch.tolist() for batch in Loader(labels, 4, workers=workers))) == {-1}


def test_states_of_other_workers_are_refused(arrays) -> None:
    one = ArrayStream(arrays, 3, shuffle=True, rank=0, world_size=2)
    with pytest.raises(FailedPrecondition):
        ArrayStream(arrays, 3, shuffle=True, rank=1, world_size=2).load_state_dict(one.state_dict())


def test_bad_input(arrays) -> None:
    with pytest.raises(InvalidArgument, match="together"):
        Loader(arrays, 4, rank=1)
    with pytest.raises(InvalidArgument, match="rank 2 of 2"):
        ArrayStream(arrays, 4, rank=2, world_size=2)
    with pytest.raises(InvalidArgument, match="workers"):
        Loader(arrays, 4, workers=-1)
    times = at.open(
        {"driver": "zarr", "kvstore": "memory://", "metadata": {"dtype": "<M8[s]"}},
        create=True, shape=[3],
    ).result()  # fmt: skip
    with pytest.raises(IncompatibleType, match="PyTorch has no data type"):
        Loader(Samples.rows(times), 2)


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_in_the_memory_of_tensors(arrays, shuffle) -> None:
    # Groups of several batches, and single ones: what a chunk has of a label is in several.
    loader = Loader(arrays, 6, shuffle=shuffle, pin_memory=True)
    assert checked(loader) == checked(Loader(arrays, 6, shuffle=shuffle))
    images = list(Loader(arrays["image"], 40, pin_memory=True, transform=torch.sum))
    assert images == [sum(range(COUNT)) * 20]
