"""Chunked formats that users write."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import (
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    IncompatibleType,
    InvalidArgument,
)
from asynctensor.extending import ArrayFormat, SimpleFormat, SimpleMetadata, register_format
from asynctensor.testing.array_suite import ArraySuite


class Tiles(SimpleFormat):
    driver = "tiles"
    metadata_key = "tiles.json"

    def read_document(self, data: bytes) -> SimpleMetadata:
        found = json.loads(data)
        return SimpleMetadata(found["size"], found["type"], found["tile"], found["empty"])

    def write_document(self, metadata: SimpleMetadata) -> bytes:
        document = {"size": metadata.shape, "type": metadata.dtype, "tile": metadata.chunk_shape}
        return json.dumps(document | {"empty": metadata.fill_value}).encode()

    def key(self, cell: Any) -> str:
        return "level0/" + "_".join(map(str, cell)) + ".tile"


@pytest.fixture(autouse=True)
def registered(alone: None) -> None:
    register_format("tiles")(Tiles)


class TestTiles(ArraySuite):
    seeds: ClassVar[range] = range(1)
    operations = 30

    @pytest.fixture
    def make_array(self, tmp_path: Path) -> Any:
        async def make(**schema: Any) -> ts.TensorStore:
            spec = {"driver": "tiles", "kvstore": f"file://{tmp_path}/t/"}
            return await ts.open(spec, create=True, **schema)

        return make


async def made(path: Path, **more: Any) -> ts.TensorStore:
    options: dict[str, Any] = {"dtype": ts.float32, "shape": [5, 6]}
    layout = ts.ChunkLayout(chunk_shape=[2, 3])
    return await ts.open(
        f"file://{path}/t/|tiles:", create=True, chunk_layout=layout, **(options | more)
    )


async def test_what_is_stored(tmp_path: Path) -> None:
    array = await made(tmp_path, fill_value=1.5)
    await array[2:4, 3:].write(np.arange(6, dtype="f4").reshape(2, 3))
    assert json.loads((tmp_path / "t/tiles.json").read_bytes()) == {
        "size": [5, 6],
        "type": "float32",
        "tile": [2, 3],
        "empty": 1.5,
    }
    stored = (tmp_path / "t/level0/1_1.tile").read_bytes()
    np.testing.assert_array_equal(np.frombuffer(stored, "<f4"), np.arange(6))
    # It is found, and its spec makes another one.
    found = await ts.open(tmp_path / "t")
    assert found.schema == array.schema
    assert (await found[0, 0].read(), await found[2, 3].read()) == (1.5, 0)
    other = await ts.open({**found.spec().to_json(), "kvstore": "memory://c/"}, create=True)
    await other.write(found)
    np.testing.assert_array_equal(await other.read(), await found.read())
    assert [entry.key async for entry in array.stored_entries()] == ["level0/1_1.tile"]
    assert (await array.explain()).chunks_stored == 1
    await array.resize(exclusive_max=[2, 2])
    assert not (tmp_path / "t/level0/1_1.tile").exists()


async def test_transactions() -> None:
    spec = {"driver": "tiles", "kvstore": "memory://t/"}
    layout = ts.ChunkLayout(chunk_shape=[2, 3])
    array = await ts.open(spec, create=True, dtype=ts.float32, shape=[5, 6], chunk_layout=layout)
    async with ts.Transaction() as transaction:
        bound = array.with_transaction(transaction)
        await bound[:3].write(7)
        assert await array[0, 0].read() == 0
    assert (await array.read()).sum() == 7 * 18


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"[]",
        b"{}",
        b'{"size": [5], "type": "float32", "tile": [2, 3], "empty": 0}',
        b'{"size": [5, 6], "type": "none", "tile": [2, 3], "empty": 0}',
        b'{"size": [5, 6], "type": "float32", "tile": [0, 3], "empty": 0}',
        b'{"size": [-5, 6], "type": "float32", "tile": [2, 3], "empty": 0}',
        b'{"size": [5, 6], "type": "float32", "tile": [999999999999, 99999999999], "empty": 0}',
        b'{"size": [5, 6], "type": "string", "tile": [2, 3], "empty": 0}',
    ],
)
async def test_damaged_documents(tmp_path: Path, damage: bytes) -> None:
    await made(tmp_path)
    (tmp_path / "t/tiles.json").write_bytes(damage)
    with pytest.raises(DataLoss, match="tiles"):
        await ts.open(f"file://{tmp_path}/t/|tiles:")


class AnyFill(Tiles):
    driver = "any fill"

    def read_document(self, data: bytes) -> SimpleMetadata:
        found = json.loads(data)
        fill = found["empty"]
        if isinstance(fill, list):
            fill = complex(*map(float, fill))
        return SimpleMetadata(found["size"], found["type"], found["tile"], fill)

    def write_document(self, metadata: SimpleMetadata) -> bytes:
        document = json.loads(super().write_document(replace(metadata, fill_value=0)))
        return json.dumps(document | {"empty": self.to_json(metadata)["fill_value"]}).encode()


@pytest.mark.parametrize(
    ("dtype", "fill", "said"),
    [
        ("float32", 0.1, 0.10000000149011612),
        ("float32", np.nan, "NaN"),
        ("float64", -np.inf, "-Infinity"),
        ("complex64", 1 + 2j, [1.0, 2.0]),
        ("complex128", complex(np.inf, np.nan), ["Infinity", "NaN"]),
        ("uint64", 2**64 - 1, 2**64 - 1),
        ("bool", True, True),
    ],
)
async def test_specs_say_any_fill_value(tmp_path: Path, dtype: str, fill: Any, said: Any) -> None:
    register_format("any fill")(AnyFill)
    spec = {"driver": "any fill", "kvstore": f"file://{tmp_path}/t/"}
    array = await ts.open(spec, dtype=dtype, shape=[2], fill_value=fill, create=True)
    text = json.dumps(array.spec().to_json(), allow_nan=False)
    assert json.loads(text)["metadata"]["fill_value"] == said
    for again in (json.loads(text), spec | {"metadata": {"fill_value": said}}):
        found = await ts.open(again)
        np.testing.assert_array_equal(await found.read(), np.full(2, fill, dtype))
    copy = pickle.loads(pickle.dumps(array))
    assert copy.schema == array.schema


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [
        ("float32", ["a", "b"]),
        ("float32", "abc"),
        ("float32", None),
        ("float32", [1]),
        ("float32", [1, 2]),
        ("complex64", [10**400, 2]),
        ("int32", 1.5),
        ("int32", "NaN"),
        ("uint8", 300),
        ("uint8", -1),
        ("int64", 2**70),
        ("bool", 2),
    ],
)
async def test_fill_values_that_are_none(dtype: str, fill: Any) -> None:
    metadata = {"dtype": dtype, "shape": [2], "chunk_shape": [2], "fill_value": fill}
    with pytest.raises(InvalidArgument, match=r"fill.value"):
        await ts.open(
            {"driver": "tiles", "kvstore": "memory://", "metadata": metadata}, create=True
        )


async def test_damaged_chunks(tmp_path: Path) -> None:
    array = await made(tmp_path)
    await array.write(1)
    (tmp_path / "t/level0/0_0.tile").write_bytes(b"123")
    with pytest.raises(DataLoss):
        await array.read()


async def test_what_does_not_fit(tmp_path: Path) -> None:
    await made(tmp_path)
    with pytest.raises(FailedPrecondition):
        await made(tmp_path, open=True, dtype=ts.int8)
    spec = {"driver": "tiles", "kvstore": f"file://{tmp_path}/t/", "metadata": {"shape": [7, 7]}}
    with pytest.raises(FailedPrecondition, match="shape"):
        await ts.open(spec)
    for metadata in ({"shap": [1]}, {"shape": "x"}, {"dtype": "x"}, {"chunk_shape": [0]}):
        with pytest.raises(InvalidArgument, match="metadata"):
            ts.Spec({"driver": "tiles", "kvstore": "memory://", "metadata": metadata})
    with pytest.raises(InvalidArgument, match="codec"):
        await made(tmp_path / "b", codec=ts.CodecSpec({"driver": "zarr3"}))


async def test_one_that_gives_something_else(tmp_path: Path) -> None:
    class Wrong(Tiles):
        driver = "wrong"
        metadata_key = "wrong.json"

        def encode(self, chunk: Any) -> Any:
            return 5

    register_format()(Wrong)
    array = await ts.open(
        {"driver": "wrong", "kvstore": "memory://"}, create=True, dtype="int8", shape=[3]
    )
    with pytest.raises(IncompatibleType, match="must give bytes"):
        await array.write(1)


def test_what_cannot_be_registered() -> None:
    with pytest.raises(IncompatibleType, match="subclass of ArrayFormat"):
        register_format()(int)  # type: ignore[type-var]

    class Half(ArrayFormat[Any]):
        driver: ClassVar[str] = "half"

    with pytest.raises(IncompatibleType, match="lacks the methods"):
        register_format()(Half)

    class Nameless(Tiles):
        driver = None  # type: ignore[assignment]

    with pytest.raises(IncompatibleType, match="driver"):
        register_format()(Nameless)
    with pytest.raises(AlreadyExists):
        register_format("tiles")(Tiles)
    register_format("tiles", replace=True)(Tiles)


async def test_another_format_of_the_same_name_shares_nothing(tmp_path: Path) -> None:
    class Other(Tiles):
        def key(self, cell: Any) -> str:
            return "level1/" + "_".join(map(str, cell)) + ".tile"

    context = ts.Context({"cache_pool": {"total_bytes_limit": 10**6}})
    one = await made(tmp_path, dtype="int32", context=context)
    await one.write(1)
    assert (await one.read() == 1).all()
    register_format("tiles", replace=True)(Other)
    other = await ts.open(
        f"file://{tmp_path}/t/|tiles:", context=context, recheck_cached_data=False
    )
    assert (await other.read() == 0).all()
    await other.write(2)
    assert (await one.read() == 1).all()
    assert len(list((tmp_path / "t/level1").iterdir())) == 6
