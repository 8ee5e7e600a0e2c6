"""Checkpoints of `torch.distributed` as commits: resharded, versioned, and all or nothing."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor, init_device_mesh

import asynctensor as at
from asynctensor.errors import IncompatibleType
from asynctensor.integrations.torch import CheckpointReader, CheckpointWriter
from asynctensor.integrations.torch.checkpoint_layout import chunk_shape, path_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torch", "ignore::FutureWarning:torch")


def state(value: float = 1.0) -> dict:
    return {
        "model": {
            "weight": torch.arange(12.0).reshape(3, 4) * value,
            "half": torch.full((5,), value, dtype=torch.bfloat16),
            "scalar": torch.tensor(7),
            "nothing": torch.empty(0, 3),
            "zeros": torch.zeros(2, 2),
        },
        "step": int(value),
        "note": ["a", {"b": value}],
    }


def same(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def save(folder, value: float, **options) -> None:
    dcp.save(state(value), storage_writer=CheckpointWriter(folder, **options), no_dist=True)


def load(folder, **options) -> dict:
    found = state(0.0)
    dcp.load(found, storage_reader=CheckpointReader(folder, **options), no_dist=True)
    return found


def test_each_save_is_a_commit(tmp_path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step, message=f"step {step}", author="me", metadata={"loss": 0.5})
    repo = at.Repository.open(tmp_path).result()
    log = list(repo.log())
    assert [each.message for each in log][:3] == ["step 3", "step 2", "step 1"]
    assert (log[0].author, log[0].metadata) == ("me", {"loss": 0.5})
    repo.create_tag("best", log[1].id).result()
    assert same(load(tmp_path), state(3))
    assert same(load(tmp_path, tag="best"), state(2))
    assert same(load(tmp_path, snapshot=log[2].id), state(1))


def test_any_tool_can_open_a_tensor(tmp_path) -> None:
    save(tmp_path, 2)
    array = at.open(f"file://{tmp_path}/|repo:|zarr3:checkpoint/model.weight/").result()
    assert (array.read().result() == state(2)["model"]["weight"].numpy()).all()
    half = at.open(f"file://{tmp_path}/|repo:|zarr3:checkpoint/model.half/").result()
    assert half.dtype == at.bfloat16


def test_a_save_replaces_the_folder(tmp_path) -> None:
    dcp.save({"old": torch.ones(3)}, storage_writer=CheckpointWriter(tmp_path), no_dist=True)
    save(tmp_path, 1)
    repo = at.Repository.open(tmp_path).result()
    keys = repo.kvstore().list().result()
    assert not [key for key in keys if b"old" in key]
    save(tmp_path, 1, path="other")
    assert same(load(tmp_path, path="other"), state(1))


def test_a_model_and_its_optimizer(tmp_path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    dcp.save(saved, storage_writer=CheckpointWriter(tmp_path), no_dist=True)
    fresh = {
        "model": {name: torch.zeros_like(each) for name, each in saved["model"].items()},
        "optimizer": optimizer.state_dict(),
    }
    for entry in fresh["optimizer"]["state"].values():
        for each in entry.values():
            each.zero_()
    expected = {name: each.clone() for name, each in saved["model"].items()}
    dcp.load(fresh, storage_reader=CheckpointReader(tmp_path), no_dist=True)
    assert same(fresh["model"], expected)
    assert all(entry["step"] == 1 for entry in fresh["optimizer"]["state"].values())


def test_into_tensors_of_any_form(tmp_path) -> None:
    save(tmp_path, 2)
    found = state(0.0)
    found["model"]["weight"] = torch.zeros(4, 3).T
    found["model"]["half"] = torch.zeros(10, dtype=torch.bfloat16)[::2]
    dcp.load(found, storage_reader=CheckpointReader(tmp_path), no_dist=True)
    assert same(found, state(2))
    wide = {"model": {"half": torch.zeros(5, dtype=torch.float64)}}
    dcp.load(wide, storage_reader=CheckpointReader(tmp_path), no_dist=True)
    assert wide["model"]["half"].tolist() == [2.0] * 5


@pytest.mark.filterwarnings("ignore")
def test_asynchronous_saves(tmp_path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/init", rank=0, world_size=1)
    try:
        begun = state(1)
        saving = dcp.async_save(begun, storage_writer=CheckpointWriter(tmp_path / "repo"))
        begun["model"]["weight"].fill_(9)
        saving.result()
        assert same(load(tmp_path / "repo"), state(1))
    finally:
        dist.destroy_process_group()


def resharding(rank: int, folder: str, fails: bool) -> None:
    """Saves a tensor cut along its rows, and loads it cut along its columns."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    whole = torch.arange(7 * 6, dtype=torch.float32).reshape(7, 6)

    def placed(tensor: torch.Tensor, dim: int) -> dict:
        return {
            "a": distribute_tensor(tensor, mesh, [Shard(dim)]),
            "b": distribute_tensor(tensor, mesh, [Replicate()]),
            "rank": 3,
        }

    writer = CheckpointWriter(Path(folder) / "repo", message="sharded")
    if fails and rank == 1:

        def broken(plan, planner):
            raise OSError("disk on fire")

        writer.write_data = broken
    if fails:
        with pytest.raises(dcp.CheckpointException, match="disk on fire"):
            dcp.save(placed(whole, 0), storage_writer=writer)
    else:
        dcp.save(placed(whole, 0), storage_writer=writer)
        found = placed(torch.zeros(7, 6), 1)
        dcp.load(found, storage_reader=CheckpointReader(Path(folder) / "repo"))
        for each in (found["a"], found["b"]):
            assert isinstance(each, DTensor)
            assert torch.equal(each.full_tensor(), whole)
    dist.destroy_process_group()


def test_two_ranks_reshard(tmp_path) -> None:
    torch.multiprocessing.spawn(resharding, (str(tmp_path), False), nprocs=2)
    repo = at.Repository.open(tmp_path / "repo").result()
    assert next(iter(repo.log())).message == "sharded"


def test_a_rank_that_fails_leaves_nothing_visible(tmp_path) -> None:
    save(tmp_path / "repo", 1)
    before = [each.id for each in at.Repository.open(tmp_path / "repo").result().log()]
    torch.multiprocessing.spawn(resharding, (str(tmp_path), True), nprocs=2)
    assert [each.id for each in at.Repository.open(tmp_path / "repo").result().log()] == before
    assert same(load(tmp_path / "repo"), state(1))


def test_two_saves_at_the_same_time_are_one_after_the_other(tmp_path) -> None:
    save(tmp_path, 1)

    class Slow(CheckpointWriter):
        def finish(self, metadata, results) -> None:
            other = {"other": torch.ones(3), "step": 5}
            dcp.save(other, storage_writer=CheckpointWriter(tmp_path), no_dist=True)
            super().finish(metadata, results)

    dcp.save(state(2), storage_writer=Slow(tmp_path), no_dist=True)
    assert same(load(tmp_path), state(2))
    keys = at.Repository.open(tmp_path).result().kvstore().list().result()
    assert not [key for key in keys if b"other" in key]


def test_what_is_missing_or_damaged(tmp_path) -> None:
    with pytest.raises(dcp.CheckpointException, match="NOT_FOUND"):
        load(tmp_path / "nowhere")
    repo = at.Repository.open(tmp_path, create=True).result()
    repo.kvstore().write("x", b"").result()
    with pytest.raises(dcp.CheckpointException, match="NOT_FOUND: there is no checkpoint"):
        load(tmp_path)
    for text in [b"{", b"[]", b'{"asynctensor_checkpoint": 1, "entries": {"a": {"size": "x"}}}']:
        repo.kvstore().write("checkpoint/checkpoint.json", text).result()
        with pytest.raises(dcp.CheckpointException, match=r"DATA_LOSS.*checkpoint/checkpoint.json"):
            load(tmp_path)


@pytest.mark.filterwarnings("ignore:ComplexHalf")
def test_what_cannot_be_stored(tmp_path) -> None:
    with pytest.raises(dcp.CheckpointException, match="'odd' cannot be stored") as caught:
        dcp.save(
            {"odd": torch.empty(2, dtype=torch.complex32)},
            storage_writer=CheckpointWriter(tmp_path),
            no_dist=True,
        )
    assert isinstance(caught.value.failures[0][0], IncompatibleType)
    assert not list(tmp_path.iterdir())


def test_layout() -> None:
    assert chunk_shape((7, 6), [(0, 0), (4, 0)], 4) == (4, 6)
    assert chunk_shape((7, 6), [(0, 0)], 4) == (7, 6)
    assert chunk_shape((9, 9), [(0, 0), (4, 3), (6, 0)], 4) == (2, 3)
    assert chunk_shape((), [()], 4) == ()
    assert chunk_shape((0, 3), [(0, 0)], 4) == (1, 3)
    large = chunk_shape((2**20, 4096), [(0, 0), (2**19, 0)], 4)
    assert math.prod(large) * 4 <= 64 * 2**20
    assert 2**19 % large[0] == 0
    names = ["a.b", "a/b", "..", "a b", "ä", "%", "model.0.weight"]
    assert len({path_of(name) for name in names}) == len(names)
    assert path_of("model.0.weight") == "model.0.weight"
    for name in names:
        assert "/" not in path_of(name)
        assert path_of(name).strip(".")


def test_writers_and_readers_can_be_pickled(tmp_path) -> None:
    pickle.loads(pickle.dumps(CheckpointWriter(str(tmp_path))))
    pickle.loads(pickle.dumps(CheckpointReader(str(tmp_path))))
    assert np.True_
