"""Samples of real arrays against NumPy's slices; what a batch costs; what cannot be."""

from __future__ import annotations

import asyncio
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import asynctensor as at
from asynctensor.errors import DataLoss, IncompatibleType, InvalidArgument, OutOfRange
from asynctensor.integrations.loading.amplification import AmplificationWarning, amplification
from asynctensor.integrations.loading.places import Crops, Windows
from asynctensor.integrations.loading.samples import Samples

VALUES = np.arange(20 * 6 * 4, dtype="int32").reshape(20, 6, 4)


def stored(values=VALUES, chunk=(3, 4, 4), where="memory://") -> at.TensorStore:
    store = at.open(
        {"driver": "zarr3", "kvstore": where},
        create=True,
        dtype=values.dtype,
        chunk_layout=at.ChunkLayout(chunk_shape=chunk),
        domain=at.IndexDomain(shape=values.shape, labels=["t", "y", "x"]),
    ).result()
    store.write(values).result()
    return store


@pytest.mark.parametrize("numbers", [[3, 4, 5], [7, 0, 7], [19], []])
async def test_rows(numbers) -> None:
    array = stored()
    samples = Samples.rows({"a": array, "b": array[:, 0, 0]})
    assert len(samples) == 20
    found = await samples.read(numbers)
    assert (found["a"] == VALUES[numbers]).all()
    assert (found["b"] == VALUES[numbers, 0, 0]).all()
    assert found["a"].shape == (len(numbers), 6, 4)


async def test_rows_along_any_dimension_and_from_any_origin() -> None:
    array = stored()
    assert (await Samples.rows(array, "y").read([5, 1]) == VALUES[:, [5, 1]].swapaxes(0, 1)).all()
    assert (await Samples.rows(array, -1).read([2]) == VALUES[None, :, :, 2]).all()
    moved = array[4:].translate_to[100]
    assert (await Samples.rows(moved).read([1, 3]) == VALUES[[5, 7]]).all()


async def test_windows() -> None:
    samples = Samples.windows(stored()[:, 1:], {"t": 6, 1: 2}, {"t": 4})
    assert samples.places.counts == (4, 2)
    found = await samples.read(range(8))
    for number in range(8):
        t, y = number // 2 * 4, number % 2 * 2
        assert (found[number] == VALUES[t : t + 6, 1 + y : 3 + y]).all()


async def test_crops() -> None:
    array = stored()
    samples = Samples.crops({"a": array, "b": array[..., 0]}, {0: 5, 1: 3}, 50, seed=4)
    found = await samples.read(range(50), epoch=2)
    corners = samples.places.corners(np.arange(50), 2)
    for number, (t, y) in enumerate(corners):
        assert (found["a"][number] == VALUES[t : t + 5, y : y + 3]).all()
        assert (found["b"][number] == VALUES[t : t + 5, y : y + 3, 0]).all()
    assert len(np.unique(corners, axis=0)) > 20
    again = await samples.read([49], epoch=2)
    assert (again["a"][0] == found["a"][49]).all()
    assert (samples.places.corners(np.arange(50), 3) != corners).any()


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1), st.integers(0, 9))
def test_crops_fill_the_whole_array(dims, seed) -> None:
    places = Crops(tuple(s + more for s, more in dims), tuple(s for s, _ in dims), 500, seed)
    corners = places.corners(np.arange(500), 1)
    assert (corners.min(axis=0) >= 0).all()
    for axis, (_, more) in enumerate(dims):
        assert set(corners[:, axis].tolist()) == set(range(more + 1))


async def test_what_is_wanted_of_one_chunk_is_decoded_once() -> None:
    array = stored()
    before = (await at.open(array.spec(), context=array.context)).statistics().chunks_decoded
    opened = await at.open(array.spec(), context=array.context)
    await Samples.windows(opened, {0: 2}, {0: 1}).read(range(19))
    await Samples.crops(opened[:3, :4], {0: 1, 1: 1}, 100).read(range(100))
    assert opened.statistics().chunks_decoded - before == 7 * 2 + 1


async def test_several_batches_share_chunks_and_no_error(tmp_path) -> None:
    stored(where=f"file://{tmp_path}/")
    opened = await at.open({"driver": "zarr3", "kvstore": f"file://{tmp_path}/"})
    samples = Samples.crops(opened, {0: 4, 1: 3}, 60, seed=1)
    batches = [range(30), range(30, 60), []]
    place = np.zeros((30, 4, 3, 4), "int32")
    futures = samples.read_several(batches, epoch=3, outs=[None, place, None])
    found = [await each for each in futures]
    assert opened.statistics().chunks_decoded == 7 * 2
    assert found[1] is place
    assert samples.read_several([]) == []
    for numbers, values in zip(batches, found, strict=True):
        assert np.array_equal(values, await samples.read(numbers, epoch=3))
    # Of one that is damaged only those batches hear that want it.
    (tmp_path / "c/6/0/0").write_bytes(b"?")
    windows = Samples.windows(opened, {0: 2})
    good, bad = windows.read_several([[0, 1, 8], [9]])
    with pytest.raises(DataLoss, match="c/6/0/0"):
        await bad
    assert (await good)[2, 0, 0, 0] == VALUES[16, 0, 0]


async def test_into_the_callers_arrays() -> None:
    samples = Samples.rows(stored())
    pool = np.zeros((2, 3, 6, 4), "int32")
    assert await samples.read([1, 2, 3], out=pool[1]) is not None
    assert (pool[1] == VALUES[1:4]).all()
    assert not pool[0].any()
    for wrong in [pool[0, :2], pool[0].astype("int64"), {"a": pool[0]}]:
        with pytest.raises(InvalidArgument):
            samples.read([1, 2, 3], out=wrong)


async def test_a_damaged_chunk_fails_the_batch_and_leaves_nothing_running(tmp_path) -> None:
    array = stored(where=f"file://{tmp_path}/")
    (tmp_path / "c/2/0/0").write_bytes(b"?")
    opened = await at.open({"driver": "zarr3", "kvstore": f"file://{tmp_path}/"})
    with pytest.raises(DataLoss, match="c/2/0/0"):
        await Samples.crops({"a": array, "b": opened}, {0: 20}, 4).read(range(4))


async def test_a_cancelled_batch() -> None:
    reading = Samples.rows(stored()).read(range(20))
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_pickled_and_identified(tmp_path) -> None:
    array = stored(where=f"file://{tmp_path}/a/")
    samples = Samples.windows({"a": array}, {"t": 3})
    again = pickle.loads(pickle.dumps(samples))
    assert again.identity == samples.identity
    assert (await again.read([2]))["a"].tolist() == VALUES[None, 6:9].tolist()
    others = [
        Samples.windows({"b": array}, {"t": 3}),
        Samples.windows({"a": array}, {"t": 4}),
        Samples.windows({"a": array[1:]}, {"t": 3}),
        Samples.windows({"a": stored(where=f"file://{tmp_path}/b/")}, {"t": 3}),
    ]
    assert len({each.identity for each in [samples, *others]}) == 5


async def test_another_snapshot_is_other_data() -> None:
    repo = await at.Repository.open("memory://lab/", create=True)
    spec = {"driver": "zarr3", "kvstore": repo.kvstore("a/")}
    array = await at.open(spec, create=True, dtype="int32", shape=[4])
    identities = set()
    for value in range(2):
        await array.write(value)
        newest, *_ = [commit.id async for commit in repo.log()]
        pinned = await at.open({"driver": "zarr3", "kvstore": repo.kvstore("a/", snapshot=newest)})
        identities.add(Samples.rows(pinned).identity)
    assert len(identities) == 2


def test_amplification_counts_chunks() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        chunk, size = rng.integers(1, 6, 2), rng.integers(1, 6, 2)
        offset = rng.integers(0, 9, 3)
        corners = rng.integers(0, 12, (5, 2))
        touched = {
            ((y + offset[0]) // chunk[0], (x + offset[2]) // chunk[1])
            for low in corners
            for y in range(low[0], low[0] + size[0])
            for x in range(low[1], low[1] + size[1])
        }
        middle = ((offset[1] % 3 + 7 + 2) // 3) * 3
        found = amplification(
            corners, (0, 2), size.tolist(), (30, 7, 30), (chunk[0], 3, chunk[1]), offset.tolist()
        )
        assert found == pytest.approx(len(touched) * chunk.prod() * middle / (5 * size.prod() * 7))


def test_batches_across_chunks_are_warned_of_once() -> None:
    large = np.zeros((20, 256, 256), "int32")
    samples = Samples.rows(stored(large, chunk=(20, 256, 256)))
    with pytest.warns(AmplificationWarning, match=r"20 times what it returns.*\(20, 256, 256\)"):
        samples.read([3]).result()
    samples.read([4]).result()
    Samples.rows(stored(large, chunk=(1, 256, 256))).read([3]).result()
    Samples.rows(stored(chunk=(20, 6, 4))).read([3]).result()


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        (lambda a: Samples.rows([a]), IncompatibleType, "expected an opened array"),
        (lambda a: Samples.rows({}), IncompatibleType, "expected an opened array"),
        (lambda a: Samples.rows({"a": VALUES}), IncompatibleType, "open it first"),
        (lambda a: Samples.rows(a, "z"), InvalidArgument, "no dimension 'z'"),
        (lambda a: Samples.rows(a, 3), InvalidArgument, "no dimension 3"),
        (lambda a: Samples.rows({"a": a, "b": a[1:]}), InvalidArgument, "equally long"),
        (lambda a: Samples.windows(a, {0: 21}), InvalidArgument, "1 to 20"),
        (lambda a: Samples.windows(a, {0: 2}, {1: 2}), InvalidArgument, "`step`"),
        (lambda a: Samples.windows(a, {0: 2}, {0: 0}), InvalidArgument, "at least 1 apart"),
        (lambda a: Samples.windows(a, {}), InvalidArgument, "distinct"),
        (lambda a: Samples.windows(a, {0: 2, "t": 2}), InvalidArgument, "distinct"),
        (lambda a: Samples.crops(a, {0: 0}, 3), InvalidArgument, "1 to 20"),
        (lambda a: Samples.crops(a, {0: 1}, -1), InvalidArgument, "-1 crops"),
        (lambda a: Samples.rows(a).read([20]), OutOfRange, "no sample 20: there are 20"),
        (lambda a: Samples.rows(a).read([-1]), OutOfRange, "no sample -1"),
        (lambda a: Samples.rows(a).read([1.5]), IncompatibleType, r"whole numbers, got \[1.5\]"),
        (lambda a: Samples.rows(a).read("x"), IncompatibleType, "whole numbers, got 'x'"),
        (lambda a: Samples.rows(a).read([True]), IncompatibleType, "whole numbers"),
        (lambda a: Samples.rows(a[0, 0, 0]), InvalidArgument, "the array of rank 0 has"),
        (lambda a: Samples.rows(a).order(shuffle=True, window=0), InvalidArgument, "window"),
    ],
)
def test_bad_input(wrong, error, match) -> None:
    with pytest.raises(error, match=match):
        wrong(stored())


def test_no_samples() -> None:
    assert len(Samples.crops(stored(), {0: 1}, 0)) == 0
    assert Windows((4,), (4,), (9,)).counts == (1,)
