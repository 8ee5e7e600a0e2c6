"""Checkpoints in Orbax's layout, written and read without it; among the heavy ones is Orbax."""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
import tensorstore

import asynctensor as at
from asynctensor.errors import (
    AlreadyExists,
    DataLoss,
    IncompatibleType,
    InvalidArgument,
    NotFound,
    Unimplemented,
)
from asynctensor.integrations.orbax import open_checkpoint, read_checkpoint, write_checkpoint

TREE = {
    "params": {
        "w": np.arange(6, dtype="float32").reshape(2, 3),
        "b": np.ones(3, ml_dtypes.bfloat16),
        "big": np.arange(6, dtype=">i4"),
        "none": np.zeros((0, 3), "int8"),
    },
    "step": 7,
    "rate": 0.5,
    "flag": True,
    "list": [np.zeros(3), np.float32(2), {"x": np.arange(2)}],
    "pair": (np.int8(1),),
    "nothing": None,
    "empty": {},
    "text": "hello",
    "a.b/c": np.arange(2),
}


def same(found, wanted) -> bool:
    """Whether two trees are equal, tuples being lists."""
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[k], wanted[k]) for k in wanted)
    if isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, np.ndarray):
        return (
            found.dtype == wanted.dtype.newbyteorder("=")
            and found.shape == wanted.shape
            and bool((found == wanted).all())
        )
    return found == wanted and (isinstance(wanted, np.generic) or type(found) is type(wanted))


@pytest.mark.parametrize("zarr_format", [2, 3])
async def test_what_is_written_is_read(zarr_format) -> None:
    folder = await at.KvStore.open("memory://run/1/")
    await write_checkpoint(folder, TREE, zarr_format=zarr_format)
    assert same(await read_checkpoint(folder), TREE)
    opened = await open_checkpoint(folder)
    assert opened["params"]["w"].dtype == at.float32
    assert (await opened["params"]["w"][1].read()).tolist() == [3, 4, 5]


async def test_in_a_repository_it_is_one_commit(tmp_path) -> None:
    repository = await at.Repository.open(tmp_path, create=True)
    for step in range(2):
        async with repository.transaction(message=f"step {step}") as txn:
            await write_checkpoint(
                repository.kvstore("run/", transaction=txn), {"step": step}, overwrite=True
            )
    log = [each async for each in repository.log(limit=2)]
    assert [each.message for each in log] == ["step 1", "step 0"]
    assert await read_checkpoint(repository.kvstore("run/")) == {"step": 1}
    assert await read_checkpoint(repository.kvstore("run/", snapshot=log[1].id)) == {"step": 0}


async def test_nothing_is_overwritten_unasked(tmp_path) -> None:
    await write_checkpoint(tmp_path, {"a": np.arange(3), "b": 1})
    with pytest.raises(AlreadyExists, match="overwrite"):
        await write_checkpoint(tmp_path, {"a": 2})
    await write_checkpoint(tmp_path, {"a": 2}, overwrite=True)
    assert await read_checkpoint(tmp_path) == {"a": 2}
    assert not (tmp_path / "b").exists()


async def test_a_write_that_is_given_up_leaves_no_checkpoint(tmp_path) -> None:
    writing = write_checkpoint(tmp_path, {str(i): np.zeros(1000) for i in range(100)})
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    with pytest.raises(NotFound, match="_METADATA"):
        await read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("tree", "error", "match"),
    [
        (3, IncompatibleType, "tree with leaves"),
        ({}, IncompatibleType, "tree with leaves"),
        ({"a": object()}, IncompatibleType, "'a'"),
        ({"a": np.array(["x"])}, IncompatibleType, "cannot restore"),
        ({"a": {1: 2}}, InvalidArgument, "texts that can name a folder"),
        ({"..": 2}, InvalidArgument, "name a folder"),
        ({"a/../b": 2}, InvalidArgument, "name a folder"),
        ({"": 2}, InvalidArgument, "name a folder"),
        ({"a.b": 1, "a": {"b": 2}}, InvalidArgument, r"'a\.b'"),
    ],
)
def test_trees_that_cannot_be_saved(tree, error, match) -> None:
    with pytest.raises(error, match=match):
        write_checkpoint("memory://", tree)


def test_options() -> None:
    with pytest.raises(InvalidArgument, match="zarr_format"):
        write_checkpoint("memory://", {"a": 1}, zarr_format=4)


def leaf(*keys, kind="scalar") -> dict:
    return {
        "key_metadata": [{"key": str(k), "key_type": 1 if isinstance(k, int) else 2} for k in keys],
        "value_metadata": {"value_type": kind, "skip_deserialize": False},
    }


@pytest.mark.parametrize(
    ("document", "error", "match"),
    [
        (b"?", DataLoss, "_METADATA"),
        (b"[]", DataLoss, "_METADATA"),
        ({"tree_metadata": [1]}, DataLoss, "_METADATA"),
        ({"tree_metadata": {"x": {}}}, DataLoss, "key_metadata"),
        ({"tree_metadata": {"x": leaf("a", kind="string")}}, DataLoss, "'a'"),
        ({"tree_metadata": {"x": leaf("a", "..")}}, DataLoss, "name a folder"),
        ({"tree_metadata": {"x": leaf("a", kind="jax.random.key")}}, Unimplemented, "random.key"),
        ({"tree_metadata": {"x": leaf("a", kind="None"), "y": leaf("a", "b", kind="None")}},
         DataLoss, "below the leaf"),
        ({"tree_metadata": {"x": leaf("a", "b", kind="None"), "y": leaf("a", kind="None")}},
         DataLoss, "two leaves"),
        ({"tree_metadata": {"x": leaf("a", 1, kind="None")}}, DataLoss, "places"),
        ({"tree_metadata": {"x": leaf("a", -1, kind="None")}}, DataLoss, "places"),
        ({"tree_metadata": {"x": leaf("a", 0, kind="None"), "y": leaf("a", "b", kind="None")}},
         DataLoss, "side by side"),
        ({"tree_metadata": {"x": leaf("a")}}, NotFound, "zarray"),
    ],
)  # fmt: skip
async def test_damaged_checkpoints(tmp_path, document, error, match) -> None:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    (tmp_path / "_METADATA").write_bytes(text)
    with pytest.raises(error, match=match):
        await read_checkpoint(tmp_path)


async def test_arrays_in_ocdbt(tmp_path) -> None:
    """As Orbax lays them out: the metadata beside the database that holds the arrays."""
    await write_checkpoint(tmp_path / "plain", TREE)
    into = {"driver": "ocdbt", "base": f"file://{tmp_path}/one/"}
    database = await tensorstore.KvStore.open(into)
    for file in (tmp_path / "plain").rglob("*"):
        if file.is_file():
            name = file.relative_to(tmp_path / "plain").as_posix()
            if name.startswith("_"):
                (tmp_path / "one").mkdir(exist_ok=True)
                (tmp_path / "one" / name).write_bytes(file.read_bytes())
            else:
                await database.write(name, file.read_bytes())
    assert same(await read_checkpoint(tmp_path / "one"), TREE)
    opened = await open_checkpoint(tmp_path / "one")
    weight = pickle.loads(pickle.dumps(opened["params"]["w"]))
    assert (await weight[1].read()).tolist() == [3, 4, 5]
    (tmp_path / "one" / "manifest.ocdbt").write_bytes(b"cut")
    with pytest.raises(DataLoss, match=r"manifest\.ocdbt"):
        await read_checkpoint(tmp_path / "one")


def test_no_library_is_needed() -> None:
    code = (
        "import sys;"
        "sys.modules |= dict.fromkeys(('jax', 'orbax', 'tensorstore', 'zarr'));"
        "from asynctensor.integrations.orbax import write_checkpoint;"
        "write_checkpoint('memory://', {'a': 1}).result()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
