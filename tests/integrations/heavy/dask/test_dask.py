"""Dask: reads by tasks; jobs whose chunks do not line up, in one commit; workers that die."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster, get_worker

import asynctensor as at
from asynctensor.errors import FailedPrecondition, IncompatibleType, InvalidArgument
from asynctensor.integrations.dask import Target, gather, store, to_dask
from examples import anomalies

SHAPE = (50, 37)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Two processes that compute; a machine that stands still meanwhile does not end them."""
    patient = {f"distributed.comm.timeouts.{name}": "600s" for name in ("connect", "tcp")}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 5, **patient}),
        LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as found,
    ):
        yield found


@pytest.fixture
def repo(tmp_path) -> at.Repository:
    return at.Repository.open(tmp_path / "lab", create=True).result()


def made(kvstore, *, shards: bool = True, **options) -> at.TensorStore:
    layout = at.ChunkLayout(
        write_chunk_shape=[20, 20], read_chunk_shape=[10, 5] if shards else None
    )
    spec = {"driver": "zarr3", "kvstore": kvstore}
    given = {"dtype": "int32", "shape": SHAPE, "chunk_layout": layout, "create": True}
    return at.open(spec, **{**given, **options}).result()


def values(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 1000, SHAPE, dtype="int32")


def test_reading(tmp_path, client) -> None:
    array = made(f"file://{tmp_path}/a/")
    array.write(values()).result()
    found = to_dask(array)
    assert found.chunks == ((20, 20, 10), (20, 17))
    assert (found.compute() == values()).all()
    assert (found[5:30:2, 3].compute() == values()[5:30:2, 3]).all()
    assert int((found * 2).sum().compute()) == 2 * int(values().sum())
    moved = to_dask(array[7:, 3:].translate_to[100, 0])
    assert moved.chunks == ((13, 20, 10), (17, 17))
    assert (moved.compute() == values()[7:, 3:]).all()
    assert to_dask(array, chunks=(50, -1)).npartitions == 1
    assert to_dask(array[3, 4]).compute() == values()[3, 4]


def test_what_lists_select_is_all_that_is_read(tmp_path) -> None:
    array = made(f"file://{tmp_path}/a/")
    array.write(values()).result()
    opened = at.open(array.spec()).result()
    found = to_dask(opened)
    # One row of inner chunks, and not those of the shards around it.
    assert (found[[3, 4, 3]].compute(scheduler="sync") == values()[[3, 4, 3]]).all()
    assert opened.statistics().chunks_decoded == 8
    opened = at.open(array.spec()).result()
    found = to_dask(opened.oindex[[3, 41], :][:, 2:4])
    assert (found.compute(scheduler="sync") == values()[[3, 41], 2:4]).all()
    assert opened.statistics().chunks_decoded == 2


MASK = np.arange(50) % 3 == 0


@pytest.mark.parametrize(
    "key",
    [
        [3, 41],
        ([3, 41, 3], slice(5, 30, 2)),
        (slice(10, 45), [36, 0]),
        ([-1, 0], 7),
        (7, [-1, 0]),
        MASK,
        (MASK.tolist(),),
        list(range(50)),
        [],
        (None, [3, 4]),
        (Ellipsis, [3, 4]),
    ],
)
def test_lists_select_as_those_of_numpy(tmp_path, key) -> None:
    array = made(f"file://{tmp_path}/a/")
    array.write(values()).result()
    found = to_dask(array)[key]
    assert found.shape == values()[key].shape
    assert (found.compute(scheduler="sync") == values()[key]).all()
    assert (found.T + 1).sum().compute(scheduler="sync") == (values()[key] + 1).sum()
    assert found.name == to_dask(at.open(array.spec()).result())[key].name


def test_lists_that_select_nothing_there_is(tmp_path) -> None:
    found = to_dask(made(f"file://{tmp_path}/a/"))
    for key in ([50], [-51], ([0], [37]), [True, False], [1.5]):
        with pytest.raises((IndexError, NotImplementedError)):
            found[key]


def test_names(tmp_path, repo) -> None:
    array = made(f"file://{tmp_path}/a/")
    assert to_dask(array).name == to_dask(at.open(array.spec()).result()).name
    assert to_dask(array).name != to_dask(array[1:]).name
    assert to_dask(array).name != to_dask(array, chunks=7).name
    versioned = made(repo.kvstore("a/"))
    before = to_dask(versioned)
    assert before.name == to_dask(versioned).name
    versioned.write(values()).result()
    after = to_dask(versioned)
    assert after.name != before.name
    # What is committed later is not seen by what was made before.
    assert not before.compute(scheduler="sync").any()
    assert (after.compute(scheduler="sync") == values()).all()


@pytest.mark.parametrize("chunks", [(10, 10), (7, 11), (50, 1), (20, 20)])
@pytest.mark.parametrize("shards", [True, False])
def test_one_commit_whatever_the_chunks(repo, client, chunks, shards) -> None:
    first, second = made(repo.kvstore("a/"), shards=shards), made(repo.kvstore("b/"))
    before = len(list(repo.log()))
    a, b = (da.from_array(values(seed), chunks=chunks) for seed in (1, 2))
    with repo.transaction(message="by dask") as txn:
        store([a, b + 0], [first.with_transaction(txn), second.with_transaction(txn)])
        assert not first.read().result().any()
    assert (first.read().result() == values(1)).all()
    assert (second.read().result() == values(2)).all()
    log = list(repo.log())
    assert (len(log), log[0].message) == (before + 1, "by dask")


def test_arrays_created_in_the_transaction(repo, client) -> None:
    with repo.transaction() as txn:
        array = made(repo.kvstore("new/", transaction=txn), transaction=txn)
        store(da.from_array(values(), chunks=9), array)
    found = at.open({"driver": "zarr3", "kvstore": repo.kvstore("new/")}).result()
    assert (found.read().result() == values()).all()


def test_the_store_function_of_dask(repo, client) -> None:
    array = made(repo.kvstore("a/"))
    with repo.transaction() as txn:
        target = Target.of(array.with_transaction(txn))
        da.store(da.from_array(values(), chunks=(7, 11)), target, lock=False)
        assert gather(txn).result() == 8 * 4
    assert (array.read().result() == values()).all()


def test_without_a_transaction_nothing_is_lost(tmp_path, client) -> None:
    array = made(f"file://{tmp_path}/a/")
    store(da.from_array(values(), chunks=(7, 3)), array)
    assert (array.read().result() == values()).all()
    da.store(da.from_array(values(1), chunks=(3, 7)), array, lock=False)
    assert (array.read().result() == values(1)).all()


def dies_once(block: np.ndarray, folder: str, block_info=None) -> np.ndarray:
    """Kills the process that computes it, the first time for some blocks."""
    place = block_info[0]["chunk-location"]
    mark = Path(folder) / "-".join(map(str, place))
    if sum(place) % 5 == 3 and not mark.exists():
        mark.touch()
        get_worker()
        os._exit(1)
    return block


@pytest.mark.filterwarnings("ignore")
def test_workers_that_are_killed(repo, client, tmp_path) -> None:
    array = made(repo.kvstore("a/"))
    (tmp_path / "marks").mkdir()
    source = da.from_array(values(), chunks=(11, 9)).map_blocks(
        dies_once, folder=str(tmp_path / "marks"), dtype="int32"
    )
    with repo.transaction() as txn:
        store(source, array.with_transaction(txn))
        # Tasks whose results died with their worker were done again.
        assert len(txn.receipts) == 5 * 5
    assert len(list((tmp_path / "marks").iterdir())) >= 3
    assert (array.read().result() == values()).all()


def fails(block: np.ndarray) -> np.ndarray:
    if (block == values()[49, 36]).any():
        raise ValueError("this block is bad")
    return block


def test_a_failing_job_leaves_nothing_visible(repo, client) -> None:
    array = made(repo.kvstore("a/"))
    before = [each.id for each in repo.log()]
    source = da.from_array(values(), chunks=(10, 37)).map_blocks(fails, dtype="int32")
    with pytest.raises(ValueError, match="this block is bad"), repo.transaction() as txn:
        store(source, array.with_transaction(txn))
    assert txn.aborted
    assert [each.id for each in repo.log()] == before
    assert not array.read().result().any()


async def test_asynchronous_clients(repo) -> None:
    array = made(repo.kvstore("a/"))
    async with (
        LocalCluster(
            n_workers=1, processes=False, dashboard_address="127.0.0.1:0", asynchronous=True
        ) as cluster,
        Client(cluster, asynchronous=True) as client,
    ):
        txn = repo.transaction()
        target = Target.of(array.with_transaction(txn))
        blocks = [((slice(i, i + 10),), values()[i : i + 10]) for i in range(0, 50, 10)]
        tasks = [client.submit(target.write, region, block) for region, block in blocks]
        txn.add_many(await client.gather(tasks))
        await txn.commit_async()
    assert (await array.read() == values()).all()


def test_the_same_task_twice_counts_once(repo) -> None:
    array = made(repo.kvstore("a/"))
    with repo.transaction() as txn:
        target = pickle.loads(pickle.dumps(Target.of(array.with_transaction(txn))))
        for attempt in range(3):
            receipt = target.write((slice(0, 10),), 7, attempt=attempt)
            assert txn.add(receipt) is (attempt == 0)
    assert (array[:10].read().result() == 7).all()


def test_the_example(repo, client) -> None:
    anomalies.record(repo)
    day, y, x = anomalies.unusual(repo)
    assert 200 <= day < 207
    assert 20 <= y < 30
    assert 40 <= x < 60
    days, mean, found = (
        at.open({"driver": "zarr3", "kvstore": repo.kvstore(path)}).result().read().result()
        for path in ("temperature/", "mean/", "anomalies/")
    )
    np.testing.assert_allclose(mean, days.mean(0), atol=1e-3)
    np.testing.assert_allclose(found, days - days.mean((1, 2), keepdims=True), atol=1e-3)
    assert [each.message for each in repo.log()] == ["what is unusual", "measured"]


def test_bad_input(repo, tmp_path) -> None:
    array = made(repo.kvstore("a/"))
    source = da.from_array(values(), chunks=10)
    with pytest.raises(FailedPrecondition, match="no transaction"):
        Target.of(array)
    with pytest.raises(IncompatibleType, match="opened array"):
        Target.of(values())
    with pytest.raises(InvalidArgument, match="shape"):
        store(source[1:], array)
    with pytest.raises(InvalidArgument, match="2 arrays"):
        store([source, source], array)
    with pytest.raises(IncompatibleType, match="Dask array"):
        store([values()], [array])
    with pytest.raises(IncompatibleType, match="astype"):
        store(source.astype("int64"), array)
    with pytest.raises(IncompatibleType, match="opened array"):
        to_dask(values())
    with repo.transaction() as txn:
        inside = array.with_transaction(txn)
        with pytest.raises(IncompatibleType, match="in a transaction"):
            to_dask(inside)
        with pytest.raises(InvalidArgument, match="steps"):
            Target.of(inside)[::2] = 1
        with pytest.raises(InvalidArgument, match="dimensions"):
            Target.of(inside)[:, :, :] = 1
    with pytest.raises(FailedPrecondition):
        store(source, inside, scheduler="sync")
