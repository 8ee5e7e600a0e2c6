"""Arrays of JAX: what each device needs is read once; Grain's sources."""

from __future__ import annotations

import asyncio
import pickle

import grain.python as grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import asynctensor as at
from asynctensor.errors import DataLoss, IncompatibleType
from asynctensor.integrations.jax import GrainSource, Samples, as_jax, from_jax, to_jax

VALUES = np.arange(16 * 12, dtype="float32").reshape(16, 12)


@pytest.fixture
def store(tmp_path) -> at.TensorStore:
    spec = {"driver": "zarr3", "kvstore": f"file://{tmp_path}/"}
    layout = at.ChunkLayout(chunk_shape=[4, 6])
    made = at.open(spec, create=True, dtype="float32", shape=[16, 12], chunk_layout=layout).result()
    made.write(VALUES).result()
    return made


def test_there_are_four_devices() -> None:
    assert len(jax.devices()) == 4


@pytest.mark.parametrize("spec", [P("a", "b"), P("a"), P(None, "b"), P(), P(("a", "b"))])
async def test_shardings(store, spec) -> None:
    mesh = Mesh(np.array(jax.devices()).reshape(2, 2), ("a", "b"))
    sharding = NamedSharding(mesh, spec)
    opened = await at.open(store.spec())
    found = await to_jax(opened, sharding)
    assert found.sharding == sharding
    assert (from_jax(found) == VALUES).all()
    assert opened.statistics().chunks_decoded == 8
    part = await to_jax(opened[4:12].translate_to[0], sharding)
    assert (from_jax(part) == VALUES[4:12]).all()


async def test_one_device(store) -> None:
    assert (await to_jax(store[2], jax.devices()[1])).devices() == {jax.devices()[1]}
    found = await to_jax(store)
    assert float(jnp.sum(found)) == VALUES.sum()


async def test_memory_that_was_handed_out_is_never_used_again(store) -> None:
    found = [await to_jax(store) for _ in range(5)]
    for _ in range(5):
        await store.read()
    assert all((from_jax(each) == VALUES).all() for each in found)


async def test_bad_input(store, tmp_path) -> None:
    wide = await at.open("memory://|zarr3", dtype="float64", shape=[3], create=True)
    with pytest.raises(IncompatibleType, match="jax_enable_x64"):
        to_jax(wide)
    text = await at.open(
        {"driver": "zarr", "kvstore": "memory://", "metadata": {"dtype": "<U3"}},
        create=True, shape=[3],
    )  # fmt: skip
    with pytest.raises(IncompatibleType, match="no data type"):
        to_jax(text)
    with pytest.raises(IncompatibleType, match="array of NumPy's, got \\[1"):
        as_jax([1, 2])
    with pytest.raises(IncompatibleType, match="array of JAX, got 3"):
        from_jax(3)
    reading = to_jax(await at.open(store.spec()))
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    (tmp_path / "c/1/1").write_bytes(b"?")
    with pytest.raises(DataLoss, match="c/1/1"):
        await to_jax(await at.open(store.spec()))


def test_bfloat16() -> None:
    store = at.open("memory://|zarr3", dtype="bfloat16", shape=[4], create=True).result()
    store.write(at.bfloat16.numpy_dtype.type(2)).result()
    found = to_jax(store).result()
    assert found.dtype == jnp.bfloat16
    assert (from_jax(found) == 2).all()


@pytest.mark.parametrize("workers", [0, 1])
def test_grain(store, workers) -> None:
    flags.FLAGS.mark_as_parsed()
    source = GrainSource({"a": store, "b": store[:, 0]})
    assert len(source) == 16
    with pytest.raises(IndexError):
        source[16]
    assert pickle.loads(pickle.dumps(source))[3]["b"] == VALUES[3, 0]
    sampler = grain.IndexSampler(
        16, shard_options=grain.NoSharding(), shuffle=True, num_epochs=1, seed=1
    )
    loader = grain.DataLoader(
        data_source=source, sampler=sampler, operations=[grain.Batch(4)], worker_count=workers
    )
    batches = list(loader)
    assert all((each["a"][:, 0] == each["b"]).all() for each in batches)
    assert sorted(np.concatenate([each["b"] for each in batches])) == sorted(VALUES[:, 0])


async def test_what_is_made_of_a_branch_is_of_one_version(tmp_path) -> None:
    repository = await at.Repository.open(tmp_path / "lab", create=True)
    spec = {"driver": "zarr3", "kvstore": repository.kvstore("a/")}
    store = await at.open(spec, create=True, dtype="float32", shape=[4, 4])
    await store.write(1)
    source, loading = GrainSource(store), to_jax(store)
    assert (from_jax(await loading) == 1).all()
    await store.write(2)
    assert (pickle.loads(pickle.dumps(source))[3] == 1).all()
    assert (from_jax(await to_jax(store[1:])) == 2).all()


def test_grain_datasets(store) -> None:
    dataset = grain.MapDataset.source(GrainSource(Samples.windows(store, {0: 4}))).shuffle(1)
    found = np.concatenate(list(dataset.batch(2)))
    assert sorted(found[:, 0, 0]) == VALUES[::4, 0].tolist()
