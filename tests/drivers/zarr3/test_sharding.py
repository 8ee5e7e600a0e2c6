"""Shards: their index, which nobody can trust, and their inner chunks."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.chunked.format import ArrayLayout
from asynctensor.drivers.zarr3.format import Zarr3Format
from asynctensor.errors import DataLoss, Error
from asynctensor.schema.schema import Schema

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
EMPTY = 2**64 - 1


def make(index_codecs: Any = None, location: str = "end", **members: Any) -> ArrayLayout:
    configuration = {
        "chunk_shape": [2, 3],
        "codecs": [LITTLE],
        "index_codecs": [LITTLE] if index_codecs is None else index_codecs,
        "index_location": location,
    }
    constraints = {
        "shape": [4, 6],
        "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 6]}},
        "codecs": [{"name": "sharding_indexed", "configuration": configuration}],
        **members,
    }
    fmt = Zarr3Format()
    return fmt.layout(fmt.create(constraints, Schema()))


def index_of(*rows: tuple[int, int]) -> bytes:
    return np.array(rows, "<u8").tobytes()


DATA = np.arange(24, dtype=np.uint16).reshape(4, 6)


@pytest.mark.parametrize("location", ["end", "start"])
def test_the_index_tells_where_inner_chunks_are(location: str) -> None:
    layout = make(location=location)
    shard = layout.shard
    assert shard is not None
    assert (shard.grid, shard.index_size, shard.inner.shape) == ((2, 2), 64, (2, 3))
    assert shard.index_at_end is (location == "end")
    pieces = shard.encode([b"aaa", None, b"bb", None])
    # Pieces are handed on as they are, not joined.
    assert pieces[0 if location == "end" else 1] == b"aaa"
    value = b"".join(pieces)
    index = value[-64:] if location == "end" else value[:64]
    start = 0 if location == "end" else 64
    found = shard.decode_index(index, len(value))
    assert found.dtype == np.int64
    assert found.tolist() == [[start, 3], [-1, 0], [start + 3, 2], [-1, 0]]


def test_a_shard_without_any_chunk_is_its_index() -> None:
    shard = make().shard
    assert shard is not None
    (index,) = shard.encode([None] * 4)
    assert bytes(index) == b"\xff" * 64


@pytest.mark.parametrize(
    "row",
    [
        (0, 101),
        (101, 0),
        (100, 1),
        (EMPTY, 0),
        (0, EMPTY),
        (EMPTY - 1, 2),
        (2**63, 2**63),
        (1, EMPTY),
    ],
)
def test_a_row_that_leaves_the_shard_is_data_loss(row: tuple[int, int]) -> None:
    shard = make().shard
    assert shard is not None
    rows = [(0, 1), (EMPTY, EMPTY), row, (0, 100)]
    with pytest.raises(DataLoss, match=r"inner chunk \(1, 0\)"):
        shard.decode_index(index_of(*rows), 100)


def test_gaps_overlaps_and_any_order_are_read() -> None:
    shard = make().shard
    assert shard is not None
    rows = [(88, 12), (0, 100), (EMPTY, EMPTY), (100, 0)]
    found = shard.decode_index(index_of(*rows), 100)
    assert found.tolist() == [[88, 12], [0, 100], [-1, 0], [100, 0]]


def test_the_checksum_of_the_index_is_verified() -> None:
    shard = make(index_codecs=[LITTLE, {"name": "crc32c"}]).shard
    assert shard is not None
    index = bytearray(b"".join(shard.encode([b"a", None, None, b"b"]))[-shard.index_size :])
    assert len(index) == 68
    shard.decode_index(index, 1000)
    for position in (0, 30, 67):
        damaged = bytearray(index)
        damaged[position] ^= 1
        with pytest.raises(DataLoss, match="checksum"):
            shard.decode_index(damaged, 1000)


@pytest.mark.parametrize("size", [0, 63, 65, 128])
def test_an_index_of_the_wrong_size_is_data_loss(size: int) -> None:
    shard = make().shard
    assert shard is not None
    with pytest.raises(DataLoss):
        shard.decode_index(b"\xff" * size, 1000)


@pytest.mark.parametrize("location", ["end", "start"])
@pytest.mark.parametrize("size", [0, 1, 63])
def test_a_shard_shorter_than_its_index_is_data_loss(location: str, size: int) -> None:
    with pytest.raises(DataLoss, match=f"has {size} bytes, its index alone takes 64"):
        make(location=location).codec.decode(b"\xff" * size)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(
        st.tuples(*[st.integers(0, 130) | st.integers(2**62, EMPTY)] * 2), min_size=4, max_size=4
    )
)
def test_whatever_the_index_says_nothing_outside_is_read(rows: list[tuple[int, int]]) -> None:
    layout = make()
    value = bytes(36) + index_of(*rows)
    assert layout.shard is not None
    try:
        index = layout.shard.decode_index(value[36:], len(value))
        layout.codec.decode(value)
    except Error as error:
        assert isinstance(error, DataLoss)  # noqa: PT017
        return
    assert all(offset == -1 or 0 <= offset <= offset + n <= 100 for offset, n in index.tolist())


def test_empty_inner_chunks_are_those_with_the_bits_of_the_fill_value() -> None:
    layout = make(data_type="float32", fill_value=0.0)
    assert layout.shard is not None
    data = np.zeros((4, 6), np.float32)
    data[0, 0] = 1
    data[3, 5] = -0.0
    value = bytes(layout.codec.encode(data))
    index = layout.shard.decode_index(value[-64:], len(value))
    assert (index[:, 0] < 0).tolist() == [False, True, True, False]
    assert layout.codec.decode(value).tobytes() == data.tobytes()
    # NaN is the fill value NaN.
    layout = make(data_type="float32", fill_value="NaN")
    assert len(layout.codec.encode(np.full((4, 6), np.nan, np.float32))) == 64


@pytest.mark.parametrize(
    "codecs",
    [
        [LITTLE, {"name": "gzip"}],
        [{"name": "transpose", "configuration": {"order": [1, 0]}}],
    ],
)
def test_codecs_around_shards_let_them_be_read_as_a_whole_only(codecs: list[Any]) -> None:
    inner = json.loads(json.dumps(Zarr3Format().to_json(_sharded())["codecs"]))
    around = [*inner, codecs[1]] if len(codecs) == 2 else [*codecs, *inner]
    layout = make(codecs=around)
    assert layout.shard is None
    value = bytes(layout.codec.encode(DATA))
    np.testing.assert_array_equal(layout.codec.decode(value), DATA)
    out = np.zeros_like(DATA)
    assert layout.codec.decode(value, out) is out
    np.testing.assert_array_equal(out, DATA)
    with pytest.raises(DataLoss):
        layout.codec.decode(value[:-1])


def _sharded() -> Any:
    configuration = {"chunk_shape": [2, 2], "codecs": [LITTLE], "index_codecs": [LITTLE]}
    return Zarr3Format().create(
        {
            "shape": [4, 6],
            "data_type": "uint16",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 6]}},
            "codecs": [{"name": "sharding_indexed", "configuration": configuration}],
        },
        Schema(),
    )
