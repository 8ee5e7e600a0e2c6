"""Ray Data: rows of arrays, and jobs in one commit; tasks that are killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray
import ray.data

import asynctensor as at
from asynctensor.errors import FailedPrecondition, IncompatibleType, InvalidArgument
from asynctensor.integrations.ray import ArrayDatasink, Samples, read_array, write_array
from examples import features

pytestmark = pytest.mark.filterwarnings("ignore")
COUNT = 50


@pytest.fixture(scope="module", autouse=True)
def instance(patient_ray: None) -> Iterator[None]:
    """Two workers of this machine."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture
def repo(tmp_path) -> at.Repository:
    return at.Repository.open(tmp_path / "lab", create=True).result()


def made(kvstore, shape=(COUNT, 3), dtype="int32", **options) -> at.TensorStore:
    layout = at.ChunkLayout(chunk_shape=[8, 3][: len(shape)])
    spec = {"driver": "zarr3", "kvstore": kvstore}
    given = {"dtype": dtype, "shape": shape, "chunk_layout": layout, "create": True}
    return at.open(spec, **{**given, **options}).result()


def values() -> np.ndarray:
    return np.arange(COUNT * 3, dtype="int32").reshape(COUNT, 3)


def test_reading(tmp_path) -> None:
    array = made(f"file://{tmp_path}/a/")
    array.write(values()).result()
    dataset = read_array({"x": array, "first": array[:, 0]}, override_num_blocks=4)
    assert dataset.count() == COUNT
    rows = sorted(dataset.take_all(), key=lambda row: row["index"])
    assert [row["first"] for row in rows] == values()[:, 0].tolist()
    assert (np.stack([row["x"] for row in rows]) == values()).all()
    whole = read_array(array).map_batches(lambda batch: {"sum": batch["data"].sum(axis=1)})
    assert sorted(row["sum"] for row in whole.take_all()) == values().sum(axis=1).tolist()
    windows = read_array(Samples.windows(array, {0: 10}))
    assert windows.count() == 5


def test_a_repository_is_read_as_it_was(repo) -> None:
    array = made(repo.kvstore("a/"))
    array.write(values()).result()
    dataset = read_array(array)
    array.write(0).result()
    assert sum(row["data"].sum() for row in dataset.take_all()) == values().sum()


def test_writing_is_one_commit(repo) -> None:
    a, b = made(repo.kvstore("a/")), made(repo.kvstore("b/"), (COUNT,), "int64")
    before = len(list(repo.log()))
    dataset = ray.data.range(COUNT, override_num_blocks=7).map(
        lambda row: {"a": values()[row["id"]], "b": row["id"] * 2, "index": row["id"]}
    )
    with repo.transaction(message="by ray") as txn:
        write_array(dataset, {"a": a.with_transaction(txn), "b": b.with_transaction(txn)})
        assert not a.read().result().any()
    assert (a.read().result() == values()).all()
    assert (b.read().result() == 2 * np.arange(COUNT)).all()
    log = list(repo.log())
    assert (len(log), log[0].message) == (before + 1, "by ray")


def test_killed_tasks_count_once(repo, tmp_path) -> None:
    array = made(repo.kvstore("a/"))

    def dies_once(row: dict) -> dict:
        mark = Path(tmp_path) / f"mark {row['id']}"
        if row["id"] % 20 == 5 and not mark.exists():
            mark.touch()
            os._exit(1)
        return {"data": values()[row["id"]], "index": row["id"]}

    dataset = ray.data.range(COUNT, override_num_blocks=6).map(dies_once)
    with repo.transaction() as txn:
        write_array(dataset, array.with_transaction(txn))
    assert (array.read().result() == values()).all()
    assert len(list(tmp_path.glob("mark *"))) == 3


def test_a_failing_job_leaves_nothing_visible(repo) -> None:
    array = made(repo.kvstore("a/"))
    before = [each.id for each in repo.log()]

    def fails(row: dict) -> dict:
        if row["id"] == 49:
            raise ValueError("this row is bad")
        return {"data": values()[row["id"]], "index": row["id"]}

    dataset = ray.data.range(COUNT, override_num_blocks=6).map(fails)
    with pytest.raises(Exception, match="this row is bad"), repo.transaction() as txn:
        write_array(dataset, array.with_transaction(txn))
    assert txn.aborted
    assert [each.id for each in repo.log()] == before
    assert not array.read().result().any()


def test_the_example(repo) -> None:
    features.record(repo)
    assert features.describe(repo) == features.COUNT
    found = at.open({"driver": "zarr3", "kvstore": repo.kvstore("features/")}).result()
    np.testing.assert_allclose(found.read().result().sum(1), 1, rtol=1e-5)
    assert [each.message for each in repo.log()] == ["described by Ray", "photographed"]


def test_bad_input(repo, tmp_path) -> None:
    array = made(repo.kvstore("a/"))
    with pytest.raises(FailedPrecondition, match="no transaction"):
        ArrayDatasink(array)
    with pytest.raises(InvalidArgument, match="index"):
        read_array({"index": array})
    with pytest.raises(IncompatibleType, match="opened array"):
        read_array(values())
    rows = ray.data.from_items([{"data": [1, 2, 3], "where": 1}])
    for index, match in [("index", "columns"), ("data", "whole numbers|columns|dim")]:
        with pytest.raises(Exception, match=match), repo.transaction() as txn:
            write_array(rows, array.with_transaction(txn), index=index)
    beyond = ray.data.from_items([{"data": [1, 2, 3], "index": COUNT}])
    with pytest.raises(Exception, match="rows are from 0 to 50"), repo.transaction() as txn:
        write_array(beyond, array.with_transaction(txn))
    other = made(repo.kvstore("b/"))
    with repo.transaction() as one, repo.transaction() as two:
        arrays = {"a": array.with_transaction(one), "b": other.with_transaction(two)}
        with pytest.raises(FailedPrecondition, match="different transactions"):
            ArrayDatasink(arrays)
