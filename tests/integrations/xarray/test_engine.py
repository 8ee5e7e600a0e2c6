"""``engine="asynctensor"`` against xarray's own zarr engine, and against data in memory."""

from __future__ import annotations

import asyncio
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as at
from asynctensor.errors import FailedPrecondition, InvalidArgument, NotFound
from asynctensor.integrations.xarray import open_dataset_async, open_datatree_async
from asynctensor.integrations.zarr import Store
from tests.integrations.xarray.conftest import write


def opened(where: Any, **options: Any) -> xr.Dataset:
    return xr.open_dataset(where, engine="asynctensor", **options)


# -- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.parametrize("zarr_format", [2, 3])
async def test_as_the_zarr_engine_reads(
    tmp_path: Path, dataset: xr.Dataset, zarr_format: int, consolidated: bool
) -> None:
    write(dataset, tmp_path, zarr_format=zarr_format, consolidated=consolidated)
    theirs = xr.open_dataset(str(tmp_path), engine="zarr", consolidated=consolidated)
    for ours in (
        opened(str(tmp_path)), opened(tmp_path), opened(tmp_path.as_uri()),
        opened(Store(tmp_path).kvstore), opened(await at.open_group(tmp_path)),
        await open_dataset_async(tmp_path), opened(tmp_path, consolidated=consolidated),
    ):  # fmt: skip
        xr.testing.assert_identical(ours, theirs)
        for name in theirs.variables:
            assert repr(ours[name].encoding) == repr(theirs[name].encoding) or (
                ours[name].encoding.keys() == theirs[name].encoding.keys()
            )
            for member in ("chunks", "compressors", "filters", "shards", "preferred_chunks"):
                assert ours[name].encoding[member] == theirs[name].encoding[member]
        xr.testing.assert_identical(await ours.load_async(), dataset)


def test_arguments_for_decoding(tmp_path: Path, dataset: xr.Dataset) -> None:
    write(dataset, tmp_path)
    for options in (
        {"decode_times": False}, {"mask_and_scale": False}, {"decode_cf": False},
        {"drop_variables": ["t", "place"]}, {"drop_variables": "t"}, {"decode_coords": False},
        {"create_default_indexes": False}, {"cache": False},
    ):  # fmt: skip
        theirs = xr.open_dataset(str(tmp_path), engine="zarr", consolidated=False, **options)
        xr.testing.assert_identical(opened(tmp_path, **options), theirs)


def test_written_again_with_the_same_codecs(tmp_path: Path, dataset: xr.Dataset) -> None:
    import zarr.codecs

    codec = zarr.codecs.BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle", typesize=4)
    dataset["t"].encoding |= {"compressors": (codec,), "shards": (6, 8)}
    write(dataset, tmp_path / "a")
    write(opened(tmp_path / "a"), tmp_path / "b")
    documents = [(tmp_path / name / "t" / "zarr.json").read_text() for name in "ab"]
    assert documents[0] == documents[1]


async def test_n5_and_arrays_of_other_origin(tmp_path: Path) -> None:
    group = await at.create_group(tmp_path, driver="n5")
    array = await group.create_array(
        "a", dtype=at.uint8, shape=[4, 6], attributes={"_ARRAY_DIMENSIONS": ["y", "x"]}
    )
    await array[...].write(np.arange(24, dtype=np.uint8).reshape(4, 6))
    found = await open_dataset_async(tmp_path)
    assert found["a"].dims == ("y", "x")
    assert found["a"].isel(y=2, x=slice(None, None, -3)).values.tolist() == [17, 14]


# -- indexing -------------------------------------------------------------------------------------

SHAPE = (7, 1, 9)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> tuple[xr.Dataset, xr.Dataset]:
    values = np.random.default_rng(1).integers(0, 1000, SHAPE, dtype=np.int32)
    made = xr.Dataset({"v": (("a", "b", "c"), values)})
    made["v"].encoding["chunks"] = (3, 1, 4)
    where = tmp_path_factory.mktemp("volume")
    write(made, where)
    return opened(where, cache=False), made


def slices(size: int) -> st.SearchStrategy[Any]:
    # Not before the first element: what xarray itself makes of that is wrong, as its own
    # `LazilyIndexedArray` over NumPy shows (2026.9).
    ends = st.none() | st.integers(-size, size + 2)
    return st.builds(slice, ends, ends, st.none() | st.sampled_from([1, 2, 3, -1, -2, -5]))


def positions(size: int) -> st.SearchStrategy[Any]:
    return st.integers(-size, size - 1)


def outer(size: int) -> st.SearchStrategy[Any]:
    return slices(size) | positions(size) | st.lists(positions(size), max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*(outer(size) for size in SHAPE)), st.tuples(*(outer(3) for _ in SHAPE)))
def test_any_index_reads_what_memory_has(
    volume: tuple[xr.Dataset, xr.Dataset], first: Any, second: Any
) -> None:
    lazy, made = volume
    one = dict(zip("abc", first, strict=True))
    found, expected = lazy["v"].isel(one), made["v"].isel(one)
    # A second index is composed with the first one before anything is read.
    sizes = expected.sizes
    two = {
        dim: index
        for dim, index in zip("abc", second, strict=True)
        if dim in sizes and sizes[dim] >= 3
    }
    xr.testing.assert_identical(found.isel(two).load(), expected.isel(two))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_points_read_what_memory_has(
    volume: tuple[xr.Dataset, xr.Dataset], data: st.DataObject
) -> None:
    lazy, made = volume
    count = data.draw(st.integers(0, 4))
    index: dict[str, Any] = {}
    for dim, size in zip("abc", SHAPE, strict=True):
        kind = data.draw(st.sampled_from(["points", "slice", "all", "position"]))
        if kind == "points":
            drawn = data.draw(st.lists(positions(size), min_size=count, max_size=count))
            index[dim] = xr.DataArray(np.array(drawn, dtype=np.int64), dims="p")
        elif kind == "slice":
            index[dim] = data.draw(slices(size))
        elif kind == "position":
            index[dim] = data.draw(positions(size))
    xr.testing.assert_identical(lazy["v"].isel(index).load(), made["v"].isel(index))


async def test_an_index_outside_is_an_error(volume: tuple[xr.Dataset, xr.Dataset]) -> None:
    for load in (lambda each: asyncio.to_thread(each.load), lambda each: each.load_async()):
        with pytest.raises(IndexError):
            await load(volume[0]["v"].isel(a=[2, 7]))


def test_pickled(volume: tuple[xr.Dataset, xr.Dataset]) -> None:
    lazy = pickle.loads(pickle.dumps(volume[0]))
    assert not lazy["v"].variable._in_memory
    xr.testing.assert_identical(lazy.load(), volume[1])


# -- groups ---------------------------------------------------------------------------------------


async def test_trees(tmp_path: Path, dataset: xr.Dataset) -> None:
    tree = xr.DataTree.from_dict({"/": dataset, "/a": dataset[["n"]], "/a/b": dataset[["when"]]})
    for path, each in tree.to_dict().items():
        write(each, tmp_path, group=path.strip("/") or None, mode="a")
    theirs = xr.open_datatree(str(tmp_path), engine="zarr", consolidated=False)
    ours = xr.open_datatree(str(tmp_path), engine="asynctensor")
    xr.testing.assert_identical(ours, theirs)
    xr.testing.assert_identical(await open_datatree_async(tmp_path), theirs)
    part = await open_datatree_async(tmp_path, group="a", drop_variables="place")
    assert set(part.to_dict()) == {"/", "/b"}
    assert "place" not in part.dataset
    groups = xr.open_groups(str(tmp_path), engine="asynctensor")
    assert set(groups) == {"/", "/a", "/a/b"}
    for each in (opened(tmp_path, group="a/b"), await open_dataset_async(tmp_path, group="/a/b/")):
        xr.testing.assert_identical(each.load(), tree["a/b"].to_dataset())


# -- history --------------------------------------------------------------------------------------


async def test_one_commit_and_older_states(tmp_path: Path, dataset: xr.Dataset) -> None:
    repo = await at.Repository.open(tmp_path, create=True)

    def commit(message: str, made: xr.Dataset, **options: object) -> str:
        with repo.transaction(message=message) as txn:
            write(made, Store(repo.kvstore("d"), transaction=txn), **options)
        assert txn.commit_id is not None
        return txn.commit_id

    first = await asyncio.to_thread(commit, "first", dataset)
    await repo.create_tag("one")
    await repo.create_branch("side", "one")
    region = dataset[["t"]].isel(time=slice(2, 4)).drop_vars(["time", "x", "place"]) * 0
    await asyncio.to_thread(commit, "second", region, region={"time": slice(2, 4)}, mode="r+")
    log = [each async for each in repo.log()]
    assert [each.message for each in log][:2] == ["second", "first"]

    url = tmp_path.as_uri() + "/"
    new = await (await open_dataset_async(repo, group="d")).load_async()
    assert new["t"][2, 0] == 0
    for where, state in (
        (repo, {"tag": "one", "group": "d"}),
        (repo, {"snapshot": first, "group": "d"}),
        (repo, {"branch": "side", "group": "d"}),
        (repo, {"as_of": log[1].time, "group": "d"}),
        (url, {"tag": "one", "group": "d"}),
        (f"{url}|repo:main/d/", {"tag": "one"}),
        (f"{url}|repo:@one/d/", {}),
        (repo.kvstore("d", tag="one"), {}),
    ):
        old = await open_dataset_async(where, **state)
        xr.testing.assert_identical(await old.load_async(), dataset)
    with pytest.raises(InvalidArgument, match="tag cannot be asked of a KvStore"):
        await open_dataset_async(repo.kvstore("d"), tag="one")
    with pytest.raises(NotFound):
        await open_dataset_async(repo, tag="none", group="d")


async def test_what_is_staged_is_read_in_the_transaction(
    tmp_path: Path, dataset: xr.Dataset
) -> None:
    repo = await at.Repository.open(tmp_path, create=True)
    txn = repo.transaction(message="never")
    await asyncio.to_thread(write, dataset, Store(repo, transaction=txn))
    staged = await open_dataset_async(repo, transaction=txn)
    xr.testing.assert_identical(await staged.load_async(), dataset)
    with pytest.raises(NotFound):
        await open_dataset_async(repo)
    txn.abort()


# -- bad input ------------------------------------------------------------------------------------


async def test_dimensions_without_names(tmp_path: Path) -> None:
    group = await at.create_group(tmp_path)
    await group.create_array("a", dtype=at.uint8, shape=[4])
    domain = at.IndexDomain(labels=["x"], shape=[5])
    await group.create_array("b", dtype=at.uint8, domain=domain)
    with pytest.raises(FailedPrecondition, match=r"array 'a' have no names.*drop_variables='a'"):
        await open_dataset_async(tmp_path)
    found = await open_dataset_async(tmp_path, drop_variables=["a"])
    assert dict(found.sizes) == {"x": 5}


async def test_two_sizes_of_one_dimension(tmp_path: Path) -> None:
    group = await at.create_group(tmp_path)
    for name, size in (("a", 4), ("b", 5)):
        domain = at.IndexDomain(labels=["x"], shape=[size])
        await group.create_array(name, dtype=at.uint8, domain=domain)
    with pytest.raises(FailedPrecondition, match="'x' has size 4 in array 'a', but 5 in 'b'"):
        await open_dataset_async(tmp_path)


async def test_no_group(tmp_path: Path) -> None:
    # An engine that only reads does not advise to create.
    with pytest.raises(NotFound, match=r"no group of a known format here \["):
        opened(tmp_path / "none")
    await at.open(
        {"driver": "zarr3", "kvstore": tmp_path.as_uri()}, create=True, dtype="int8", shape=[1]
    )
    with pytest.raises(FailedPrecondition):
        await open_dataset_async(tmp_path)
    for wrong in (5, b"bytes", "nowhere://a"):
        with pytest.raises(InvalidArgument):
            await open_dataset_async(wrong)
    with pytest.raises(FailedPrecondition, match="no consolidated metadata"):
        await at.create_group(tmp_path / "g")
        await open_dataset_async(tmp_path / "g", consolidated=True)
    with pytest.raises(TypeError, match="unexpected keyword"):
        await open_dataset_async(tmp_path / "g", nothing=1)
    group = await at.create_group(tmp_path / "h")
    await group.create_array("of/v", dtype=at.uint8, shape=[4])
    for where in (tmp_path / "h", group):
        with pytest.raises(FailedPrecondition, match=r"'of/v' is an array, and .*, group='of'"):
            await open_dataset_async(where, group="of/v")
        with pytest.raises(NotFound, match="'of/none'"):
            await open_dataset_async(where, group="of/none")
    with pytest.raises(FailedPrecondition, match=r"'v' is an array, and .*, without group="):
        await open_dataset_async(tmp_path / "h/of", group="v")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("group", 3), ("consolidated", "yes"), ("context", {}), ("transaction", "now")],
)
async def test_arguments_of_other_types(tmp_path: Path, name: str, wrong: object) -> None:
    await at.create_group(tmp_path)
    with pytest.raises(InvalidArgument, match=f"{name}= takes a "):
        xr.open_dataset(tmp_path, engine="asynctensor", **{name: wrong})
    with pytest.raises(InvalidArgument, match=f"{name}= takes a "):
        await open_dataset_async(tmp_path, **{name: wrong})


def test_a_group_that_consolidated_metadata_leave_out_is_named(tmp_path: Path) -> None:
    at.create_group(tmp_path, zarr_format=2).result()
    at.open(f"file://{tmp_path}/a/b/|zarr2:", create=True, dtype="int32", shape=[2]).result()
    group, array = (json.loads((tmp_path / p).read_bytes()) for p in (".zgroup", "a/b/.zarray"))
    named = {".zgroup": group, "a/b/.zarray": array, "a/b/.zattrs": {"_ARRAY_DIMENSIONS": ["x"]}}
    document = {"zarr_consolidated_format": 1, "metadata": named}
    (tmp_path / ".zmetadata").write_text(json.dumps(document))
    with pytest.raises(FailedPrecondition, match="'a/b', and no group 'a'"):
        xr.open_datatree(tmp_path, engine="asynctensor")
