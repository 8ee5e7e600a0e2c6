"""Loaders: whole epochs, exact resumption by any number of ranks, and what is left behind."""

from __future__ import annotations

import json

import numpy as np
import pytest

import asynctensor as at
from asynctensor.errors import (
    DataLoss,
    FailedPrecondition,
    IncompatibleType,
    InvalidArgument,
    NotFound,
)
from asynctensor.integrations.loading.loader import Loader
from asynctensor.integrations.loading.samples import Samples

COUNT = 50


def rows(where: str = "memory://", chunk: int = 4) -> Samples:
    store = at.open(
        {"driver": "zarr3", "kvstore": where}, create=True, open=True, dtype="int32", shape=[COUNT],
        chunk_layout=at.ChunkLayout(chunk_shape=[chunk]),
    ).result()  # fmt: skip
    store.write(np.arange(COUNT, dtype="int32")).result()
    return Samples.rows(store)


def flat(batches) -> list[int]:
    return [number for batch in batches for number in batch]


def loader(samples: Samples, batch_size: int = 6, **options) -> Loader:
    return Loader(
        samples, batch_size, **{"shuffle": True, "convert": lambda each: each.tolist(), **options}
    )


async def test_epochs_by_either_loop() -> None:
    samples = rows()
    blocking, asynchronous = loader(samples), loader(samples)
    for epoch in range(3):
        assert blocking.epoch == epoch
        found = list(blocking)
        assert len(found) == len(blocking) == 9
        assert sorted(flat(found)) == list(range(COUNT))
        assert [batch async for batch in asynchronous] == found
    assert len({str(list(loader(samples))), str(found)}) == 2


@pytest.mark.parametrize("stop", [0, 1, 4, 8])
@pytest.mark.parametrize(("ranks", "batch_size"), [(1, 6), (1, 5), (3, 2), (4, 3)])
def test_any_number_of_ranks_goes_on(stop, ranks, batch_size) -> None:
    samples = rows()
    first = loader(samples)
    list(first)
    batches = iter(first)
    begun = [next(batches) for _ in range(stop)]
    state = json.loads(json.dumps(first.state_dict()))
    rest = flat(batches)
    others = [loader(samples, batch_size, rank=r, world_size=ranks) for r in range(ranks)]
    for each in others:
        each.load_state_dict(state)
    shares = [list(each) for each in others]
    joined = [
        flat(share[step] for share in shares if step < len(share))
        for step in range(max(map(len, shares)))
    ]
    assert flat(joined) == rest
    assert sorted(flat(begun) + rest) == list(range(COUNT))
    assert all(each.epoch == 2 for each in others)


def test_at_the_end_comes_the_next_epoch() -> None:
    samples = rows()
    for options in [{}, {"drop_last": True}]:
        first = loader(samples, **options)
        batches = iter(first)
        for _ in range(len(first)):
            next(batches)
        again = loader(samples, **options)
        again.load_state_dict(first.state_dict())
        following = loader(samples, **options)
        following.set_epoch(1)
        assert list(again) == list(following)


def test_an_epoch_left_early_counts() -> None:
    samples = rows()
    first = loader(samples)
    for _ in first:
        break
    second = list(first)
    other = loader(samples)
    other.set_epoch(1)
    assert second == list(other)


def test_shares_have_no_chunk_in_common() -> None:
    samples = rows()
    shares = [loader(samples, window=4).of_share(i, 3) for i in range(3)]
    batches = [len(share) for share in shares]
    found = [flat(share) for share in shares]
    assert sorted(flat(found)) == list(range(COUNT))
    chunks = [{number // 4 for number in each} for each in found]
    assert sum(map(len, chunks)) == 13
    assert batches == [-(-len(each) // 6) for each in found]


def test_other_data_and_other_orders_are_refused(tmp_path) -> None:
    samples = rows(f"file://{tmp_path}/a/")
    state = loader(samples).state_dict()
    for other, match in [
        (loader(rows(f"file://{tmp_path}/b/")), "other samples"),
        (loader(samples, seed=1), "seed=0"),
        (loader(samples, window=5), "window=64"),
        (loader(samples, shuffle=False), "window=0"),
        (loader(samples).of_share(0, 2), "other samples"),
    ]:
        with pytest.raises(FailedPrecondition, match=match):
            other.load_state_dict(state)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 1}, {"snapshots": None}, {"snapshots": [3]}, {"epoch": -1},
        {"position": "1"}, {"seed": None}, {"data": 3}, {"position": COUNT + 1},
    ],
)  # fmt: skip
def test_bad_states(change) -> None:
    found = loader(rows())
    with pytest.raises(InvalidArgument):
        found.load_state_dict({**found.state_dict(), **change})
    with pytest.raises(InvalidArgument):
        found.load_state_dict({})
    assert found.state_dict() == loader(rows()).state_dict()


def test_a_failing_batch_fails_in_its_place(tmp_path) -> None:
    samples = rows(f"file://{tmp_path}/")
    (tmp_path / "c/3").write_bytes(b"?")
    found = Loader(samples, 4, convert=lambda each: each.tolist(), ahead=5)
    batches = iter(found)
    assert [next(batches) for _ in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    with pytest.raises(DataLoss, match="c/3"):
        next(batches)
    assert found.state_dict()["position"] == 12


def windows(where: str = "memory://") -> Samples:
    """Windows of 3 numbers each; chunks are of 4."""
    return Samples.windows(rows(where).by_name[""], {0: 3}, {0: 1})


def test_regions_are_read_into_their_batches_and_each_chunk_once() -> None:
    samples, made = windows(), []

    def memory(shape, dtype):
        made.append(np.zeros(shape, dtype))
        return made[-1]

    before = samples.by_name[""].statistics().chunks_decoded
    found = list(Loader(samples, 4, convert=lambda each: each, memory=memory))
    assert [batch[:, 0].tolist() for batch in found] == [
        list(range(at, at + 4)) for at in range(0, 48, 4)
    ]
    assert [batch is mine for batch, mine in zip(found, made, strict=True)] == [True] * 12
    # Of the first batch, which comes by itself, 2; of all others, which share them, 12.
    assert samples.by_name[""].statistics().chunks_decoded - before == 14


def test_a_failing_batch_of_regions_fails_in_its_place(tmp_path) -> None:
    samples = windows(f"file://{tmp_path}/")
    (tmp_path / "c/6").write_bytes(b"?")
    found = Loader(samples, 4, convert=lambda each: each[:, 0].tolist())
    batches = iter(found)
    # The sixth batch is of the numbers up to 25.
    assert [next(batches)[0] for _ in range(5)] == [0, 4, 8, 12, 16]
    with pytest.raises(DataLoss, match="c/6"):
        next(batches)
    assert found.state_dict()["position"] == 20


def versioned(folder) -> tuple[at.Repository, at.TensorStore]:
    """An array on a branch, and its repository."""
    repository = at.Repository.open(folder, create=True).result()
    store = at.open(
        {"driver": "zarr3", "kvstore": repository.kvstore("numbers/")}, create=True, dtype="int32",
        shape=[COUNT], chunk_layout=at.ChunkLayout(chunk_shape=[4]),
    ).result()  # fmt: skip
    store.write(np.arange(COUNT, dtype="int32")).result()
    return repository, store


async def test_epochs_are_of_one_version_whatever_is_committed(tmp_path) -> None:
    _, store = versioned(tmp_path)
    blocking, asynchronous = (loader(Samples.rows(store), ahead=0) for _ in range(2))
    batches, others = iter(blocking), aiter(asynchronous)
    found, too = next(batches), await anext(others)
    await store.write(-1)
    found += flat(batches)
    too += [number async for batch in others for number in batch]
    assert sorted(found) == sorted(too) == list(range(COUNT))
    assert sorted(flat(blocking)) == list(range(COUNT))
    assert set(flat(loader(Samples.rows(store)))) == {-1}


@pytest.mark.parametrize("adapted", [False, True])
def test_a_state_brings_its_snapshot(tmp_path, adapted) -> None:
    repository, store = versioned(tmp_path)

    def samples() -> Samples:
        opened = at.open(store.spec()).result()
        seen = opened.astype("int64") if adapted else opened
        return Samples.rows({"a": seen, "b": opened})

    def made() -> Loader:
        return Loader(samples(), 6, shuffle=True, convert=lambda each: each["a"].tolist())

    newest = next(iter(repository.log(limit=1))).id
    first = made()
    whole = list(made())
    state = json.loads(json.dumps(first.state_dict()))
    assert state["snapshots"] == [newest]
    store.write(-1).result()
    second = made()
    second.load_state_dict(state)
    assert list(second) == whole
    assert second.state_dict()["snapshots"] == [newest]
    assert len(json.dumps(state)) < 300
    # Who is opened at a snapshot does not leave it.
    at_newest = at.open(
        {"driver": "zarr3", "kvstore": repository.kvstore("numbers/", snapshot=newest)}
    ).result()
    fixed = loader(Samples.rows(at_newest))
    assert fixed.state_dict()["snapshots"] == []
    with pytest.raises(FailedPrecondition, match="1 snapshots cannot stand for 0 branches"):
        fixed.load_state_dict(state)
    assert sorted(flat(fixed)) == list(range(COUNT))


def test_ranks_are_given_one_version(tmp_path) -> None:
    _, store = versioned(tmp_path)
    first = loader(Samples.rows(store), 5, rank=0, world_size=2)
    snapshots = first.pin().result()
    store.write(-1).result()
    second = loader(Samples.rows(store), 5, rank=1, world_size=2)
    assert second.pin(snapshots).result() == snapshots == first.pin().result()
    assert sorted(flat(first) + flat(second)) == list(range(COUNT))


def test_a_snapshot_that_is_not_there(tmp_path) -> None:
    _, store = versioned(tmp_path)
    found = loader(Samples.rows(store))
    state = found.state_dict()
    gone = state["snapshots"][0].partition("-")[0] + "-999"
    with pytest.raises(NotFound):
        loader(Samples.rows(store)).load_state_dict({**state, "snapshots": [gone]})
    with pytest.raises(InvalidArgument, match="no id of a commit"):
        loader(Samples.rows(store)).load_state_dict({**state, "snapshots": ["?"]})


def test_bad_options() -> None:
    for options in [{"batch_size": 0}, {"ahead": -1}, {"rank": 1}, {"window": 0}]:
        with pytest.raises(InvalidArgument):
            loader(rows(), **options)
    with pytest.raises(InvalidArgument, match="seed"):
        loader(rows(), seed=-1)
    with pytest.raises(InvalidArgument):
        loader(rows()).set_epoch(-1)
    assert len(loader(rows(), batch_size=np.int64(4))) == len(loader(rows(), batch_size=4))


@pytest.mark.parametrize("name", ["batch_size", "seed", "window", "rank", "world_size", "ahead"])
@pytest.mark.parametrize("wrong", [4.0, "4", True, [4]])
def test_numbers_that_are_none(name, wrong) -> None:
    with pytest.raises(IncompatibleType, match=f"`{name}` is a whole number"):
        loader(rows(), **{"rank": 0, "world_size": 1, name: wrong})
    with pytest.raises(IncompatibleType, match="`epoch` is a whole number"):
        loader(rows()).set_epoch(wrong)


@pytest.mark.parametrize(
    ("batch_size", "given", "ahead"), [(1, None, 8), (4, None, 4), (16, None, 2), (1, 3, 3)]
)
def test_how_many_batches_are_read_ahead(batch_size, given, ahead) -> None:
    begun = []

    class Told(Samples):
        def read_several(self, batches, **options):
            begun.extend(map(len, batches))
            return super().read_several(batches, **options)

    # Rows of a MiB, of which nothing is stored.
    store = at.open(
        "memory://|zarr3", create=True, dtype="uint8", shape=[256, 2**20],
        chunk_layout=at.ChunkLayout(chunk_shape=[1, 2**20]),
    ).result()  # fmt: skip
    batches = iter(Loader(Told.rows(store), batch_size, convert=len, ahead=given))
    assert next(batches) == batch_size
    # The one that was handed out, the next one, and those behind it.
    assert begun == [batch_size] * (ahead + 2)
    batches.close()
