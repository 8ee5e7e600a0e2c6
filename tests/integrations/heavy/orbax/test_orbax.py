"""Orbax restores what we write, and we read what it saves."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest

from asynctensor.integrations.orbax import open_checkpoint, read_checkpoint, write_checkpoint

#: What Orbax says of itself.
pytestmark = pytest.mark.filterwarnings("ignore")


def tree() -> dict:
    return {
        "params": {
            "w": np.arange(6, dtype="float32").reshape(2, 3),
            "b": np.ones(3, ml_dtypes.bfloat16),
            "f8": np.ones((2, 2), ml_dtypes.float8_e4m3fn),
            "zeros": np.zeros((5, 7), "int32"),
            "flags": np.array([True, False]),
            "c": np.array([1 + 2j], "complex64"),
        },
        "step": 7,
        "rate": 0.5,
        "list": [np.zeros(3), np.float32(2)],
        "nothing": None,
        "empty": {},
        "text": "hello",
        "a.b/c": np.arange(2),
    }


def assert_same(found, wanted) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for mine, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        if isinstance(theirs, str):
            assert mine == theirs
            continue
        if isinstance(theirs, np.ndarray | jax.Array):
            assert mine.dtype == theirs.dtype
        assert np.array_equal(np.asarray(mine), np.asarray(theirs))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_orbax_restores_what_is_written(tmp_path, zarr_format) -> None:
    write_checkpoint(tmp_path / "one", tree(), zarr_format=zarr_format).result()
    assert_same(ocp.PyTreeCheckpointer().restore(tmp_path / "one"), tree())


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_into_a_target_of_jax(tmp_path, zarr_format) -> None:
    mine = {"params": tree()["params"], "step": jnp.int32(7)}
    write_checkpoint(tmp_path / "one", mine, zarr_format=zarr_format).result()
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    target = jax.tree.map(
        lambda each: jax.ShapeDtypeStruct(each.shape, each.dtype, sharding=sharding), mine
    )
    with ocp.StandardCheckpointer() as checkpointer:
        found = checkpointer.restore(tmp_path / "one", target)
    assert_same(found, mine)
    assert all(isinstance(each, jax.Array) for each in jax.tree.leaves(found))


def test_by_a_manager(tmp_path) -> None:
    for step in (1, 2):
        write_checkpoint(tmp_path / str(step) / "default", {"w": np.full(3, step)}).result()
    with ocp.CheckpointManager(tmp_path) as manager:
        assert manager.latest_step() == 2
        found = manager.restore(2, args=ocp.args.PyTreeRestore())
    assert_same(found, {"w": np.full(3, 2)})


@pytest.mark.parametrize("zarr3", [False, True])
def test_what_orbax_saves_is_read(tmp_path, zarr3) -> None:
    mine = {**tree(), "jax": {"w": jnp.arange(6.0).reshape(3, 2), "s": jnp.bfloat16(3)}}
    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False, use_zarr3=zarr3)
    with ocp.Checkpointer(handler) as checkpointer:
        checkpointer.save(tmp_path / "one", mine)
    assert_same(read_checkpoint(tmp_path / "one").result(), mine)
    opened = open_checkpoint(tmp_path / "one").result()
    assert opened["jax"]["w"][1].read().result().tolist() == [2, 3]


@pytest.mark.parametrize("zarr3", [False, True])
def test_what_orbax_saves_by_default_is_read(tmp_path, zarr3) -> None:
    """In OCDBT, whose database refers to one of each process."""
    mine = {**tree(), "jax": {"w": jnp.arange(6.0).reshape(3, 2), "s": jnp.bfloat16(3)}}
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_zarr3=zarr3)) as checkpointer:
        checkpointer.save(tmp_path / "one", mine)
    assert (tmp_path / "one" / "manifest.ocdbt").exists()
    assert_same(read_checkpoint(tmp_path / "one").result(), mine)
    opened = open_checkpoint(tmp_path / "one").result()
    assert opened["jax"]["w"][1].read().result().tolist() == [2, 3]


def test_what_a_manager_saves_is_read(tmp_path) -> None:
    with ocp.CheckpointManager(tmp_path) as manager:
        manager.save(1, args=ocp.args.StandardSave({"w": jnp.ones(3), "step": 5}))
        manager.wait_until_finished()
    found = read_checkpoint(tmp_path / "1" / "default").result()
    assert_same(found, {"w": np.ones(3, "float32"), "step": 5})
