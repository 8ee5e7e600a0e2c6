"""Damaged arrays: a typed error that says where and why, nothing written, nothing allocated."""

from __future__ import annotations

import asyncio
import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import DataLoss, Error

CHUNK = 16
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
CRC = {"name": "crc32c"}


def sharded(location: str) -> list[Any]:
    configuration = {
        "chunk_shape": [4, 4],
        "codecs": [LITTLE, {"name": "zstd", "configuration": {"level": 1}}],
        "index_codecs": [LITTLE, CRC],
        "index_location": location,
    }
    return [{"name": "sharding_indexed", "configuration": configuration}]


CODECS: dict[str, list[Any]] = {
    "raw": [LITTLE],
    "crc": [LITTLE, CRC],
    "gzip": [LITTLE, {"name": "gzip", "configuration": {"level": 1}}],
    "zstd": [LITTLE, {"name": "zstd", "configuration": {"level": 1}}],
    "blosc": [LITTLE, {"name": "blosc"}],
    "shard end": sharded("end"),
    "shard start": sharded("start"),
}


class Stored:
    """An array of 40 x 40 uint32 on disk, and its files."""

    def __init__(self, folder: Path, codecs: list[Any]) -> None:
        self.folder = folder
        self.codecs = codecs
        self.data = np.random.default_rng(0).integers(1, 2**32, (40, 40), dtype=np.uint32)

    async def make(self) -> None:
        store = await ts.open(
            self.folder, create=True, dtype="uint32", shape=[40, 40],
            chunk_layout=ts.ChunkLayout(write_chunk_shape=[CHUNK, CHUNK]),
            codec=ts.CodecSpec({"driver": "zarr3", "codecs": self.codecs}),
        )  # fmt: skip
        await store.write(self.data)

    @property
    def chunk(self) -> Path:
        return self.folder / "c" / "0" / "1"

    @property
    def document(self) -> Path:
        return self.folder / "zarr.json"

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Size and beginning of every file."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                with path.open("rb") as file:
                    name = str(path.relative_to(self.folder))
                    found[name] = path.stat().st_size, file.read(2**16)
        return found

    async def refused(self, kinds: type[Error] | tuple[type[Error], ...] = DataLoss) -> Error:
        """The error that reading the damaged chunk gives; writing to it gives the same."""
        before = self.files()
        store = await ts.open(self.folder)
        tracemalloc.start()
        try:
            with pytest.raises(kinds) as caught:
                await store[0:8, 16:40].read()
            with pytest.raises(kinds):
                await store.read()
            with pytest.raises(kinds) as written:
                await store[1:3, 17:19].write(0)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 32 * 2**20, "something was allocated from an unchecked number"
        for error in (caught.value, written.value):
            assert error.key == "c/0/1" or (error.key or "").endswith("/c/0/1")
            assert str(self.folder) in (error.array or "")
            assert "c/0/1" in str(error)
        assert self.files() == before, "something was written"
        # What is not damaged is still there, and the damaged chunk can be replaced.
        assert (await store[16:].read() == self.data[16:]).all()
        await store[:16, 16:32].write(7)
        assert (await store[:16, 16:32].read() == 7).all()
        return caught.value


@pytest.fixture(params=list(CODECS))
async def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Stored:
    made = Stored(tmp_path / "a", CODECS[request.param])
    await made.make()
    return made


@pytest.fixture(params=["shard end", "shard start"])
async def shards(request: pytest.FixtureRequest, tmp_path: Path) -> Stored:
    made = Stored(tmp_path / "a", CODECS[request.param])
    await made.make()
    return made


@pytest.mark.parametrize("keep", [0, 1, 7, 0.5, -1])
async def test_truncated_chunk(stored: Stored, keep: float) -> None:
    value = stored.chunk.read_bytes()
    stored.chunk.write_bytes(value[: int(len(value) * keep) if isinstance(keep, float) else keep])
    await stored.refused()


async def test_garbage(stored: Stored) -> None:
    size = len(stored.chunk.read_bytes())
    stored.chunk.write_bytes(np.random.default_rng(1).bytes(size + 13))
    await stored.refused()


async def test_oversized_chunk(stored: Stored) -> None:
    """A sparse file of a terabyte is no chunk, and nobody tries to hold it."""
    with stored.chunk.open("r+b") as file:
        file.truncate(2**40)
    if stored.codecs[0].get("configuration", {}).get("index_location") == "start":
        # What follows the inner chunks of such a shard is unused space.
        store = await ts.open(stored.folder)
        assert (await store.read() == stored.data).all()
        with pytest.raises(DataLoss, match="c/0/1"):
            await store[0, 16].write(5)
        return
    await stored.refused()


@pytest.mark.parametrize("codec", ["gzip", "zstd", "blosc"])
async def test_decompression_bomb(tmp_path: Path, codec: str) -> None:
    stored, bomb = Stored(tmp_path / "a", CODECS[codec]), tmp_path / "bomb"
    await stored.make()
    await make_bomb(bomb, codec)
    stored.chunk.write_bytes((bomb / "c" / "0").read_bytes())
    await stored.refused()


async def make_bomb(path: Path, codec: str) -> None:
    """64 MiB in one chunk of a few KiB."""
    store = await ts.open(
        path, create=True, dtype="uint8", shape=[2**26], fill_value=1,
        codec=ts.CodecSpec({"driver": "zarr3", "codecs": CODECS[codec]}),
        chunk_layout=ts.ChunkLayout(chunk_shape=[2**26]),
    )  # fmt: skip
    await store.write(0)


async def test_flipped_bits_are_never_silent_where_there_is_a_checksum(tmp_path: Path) -> None:
    stored = Stored(tmp_path / "a", CODECS["crc"])
    await stored.make()
    good = stored.chunk.read_bytes()
    store = await ts.open(stored.folder)
    for position in range(0, len(good), 61):
        bad = bytearray(good)
        bad[position] ^= 1 << position % 8
        stored.chunk.write_bytes(bad)
        with pytest.raises(DataLoss, match="c/0/1"):
            await store.read()


async def test_flipped_bits_anywhere_never_crash(stored: Stored) -> None:
    good = stored.chunk.read_bytes()
    store = await ts.open(stored.folder)
    for position in range(0, len(good), max(1, len(good) // 60)):
        bad = bytearray(good)
        bad[position] ^= 0x5A
        stored.chunk.write_bytes(bad)
        found = (await asyncio.gather(store.read(), return_exceptions=True))[0]
        if isinstance(found, BaseException):
            assert isinstance(found, DataLoss)
            assert "c/0/1" in str(found)
        else:
            assert found.shape == (40, 40)


def with_index(stored: Stored, change: Callable[[np.ndarray, int], None]) -> None:
    """Changes the index of the shard, and gives it a checksum that fits."""
    value = bytearray(stored.chunk.read_bytes())
    size = 16 * 16 + 4
    at = 0 if stored.codecs[0]["configuration"]["index_location"] == "start" else len(value) - size
    rows = np.frombuffer(bytes(value[at : at + size - 4]), "<u8").reshape(16, 2).copy()
    change(rows, len(value))
    index = rows.tobytes()
    checksum = struct.pack("<I", google_crc32c.value(index))
    value[at : at + size] = index + checksum
    stored.chunk.write_bytes(value)


LIES: dict[str, Callable[[np.ndarray, int], None]] = {
    "offset beyond the end": lambda rows, size: rows.__setitem__((0, 0), size + 1),
    "length beyond the end": lambda rows, size: rows.__setitem__((0, 1), size + 1),
    "huge offset": lambda rows, size: rows.__setitem__((0, 0), 2**63),
    "huge length": lambda rows, size: rows.__setitem__((0, 1), 2**63),
    "overflow": lambda rows, size: rows.__setitem__(0, [2**64 - 8, 16]),
    "half empty": lambda rows, size: rows.__setitem__((0, 1), 2**64 - 1),
    "no bytes": lambda rows, size: rows.__setitem__((0, 1), 0),
    "another's bytes": lambda rows, size: rows.__setitem__(0, [rows[1, 0] + 3, rows[1, 1]]),
}


@pytest.mark.parametrize("lie", list(LIES))
async def test_lying_shard_index(shards: Stored, lie: str) -> None:
    with_index(shards, LIES[lie])
    before = shards.files()
    store = await ts.open(shards.folder)
    tracemalloc.start()
    try:
        with pytest.raises(DataLoss, match="c/0/1"):
            await store[0:4, 16:20].read()
        with pytest.raises(DataLoss, match="c/0/1"):
            await store[0, 16].write(5)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * 2**20
    assert shards.files() == before


async def test_wrong_index_checksum(shards: Stored) -> None:
    value = bytearray(shards.chunk.read_bytes())
    start = shards.codecs[0]["configuration"]["index_location"] == "start"
    value[3 if start else -10] ^= 1
    shards.chunk.write_bytes(value)
    await shards.refused()


async def test_inner_chunks_that_overlap_read_what_they_say(shards: Stored) -> None:
    """The specification allows it; the size of what is read stays bounded."""
    with_index(shards, lambda rows, size: rows.__setitem__(slice(None), rows[0]))
    store = await ts.open(shards.folder)
    first = shards.data[:4, 16:20]
    assert (await store[:16, 16:32].read() == np.tile(first, (4, 4))).all()


DOCUMENTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no document": lambda d: b"",
    "cut off": lambda d: json.dumps(d).encode()[:-20],
    "binary": lambda d: bytes(range(256)),
    "list": lambda d: [],
    "deep": lambda d: b"[" * 100_000 + b"]" * 100_000,
    "no shape": lambda d: {k: v for k, v in d.items() if k != "shape"},
    "shape of text": lambda d: {**d, "shape": "40"},
    "negative shape": lambda d: {**d, "shape": [-1, 40]},
    "huge shape": lambda d: {**d, "shape": [2**70, 40]},
    "true shape": lambda d: {**d, "shape": [True, 40]},
    "fractional shape": lambda d: {**d, "shape": [1.5, 40]},
    "rank too high": lambda d: {**d, "shape": [1] * 100},
    "ranks differ": lambda d: {**d, "shape": [40]},
    "zero chunk": lambda d: _chunk(d, [0, 16]),
    "huge chunk": lambda d: _chunk(d, [2**62, 2**62]),
    "unknown type": lambda d: {**d, "data_type": "uint33"},
    "unknown codec": lambda d: {**d, "codecs": [{"name": "lzma"}]},
    "no codec": lambda d: {**d, "codecs": []},
    "wrong fill value": lambda d: {**d, "fill_value": "zero"},
    "fill value too large": lambda d: {**d, "fill_value": 2**32},
    "another version": lambda d: {**d, "zarr_format": 4},
    "group": lambda d: {"zarr_format": 3, "node_type": "group"},
    "must understand": lambda d: {**d, "extra": {"name": "x", "must_understand": True}},
    "names twice": lambda d: {**d, "dimension_names": ["x"]},
}


def _chunk(document: dict[str, Any], shape: list[int]) -> dict[str, Any]:
    grid = {"name": "regular", "configuration": {"chunk_shape": shape}}
    return {**document, "chunk_grid": grid}


@pytest.mark.parametrize("name", list(DOCUMENTS))
async def test_damaged_document(tmp_path: Path, name: str) -> None:
    stored = Stored(tmp_path / "a", CODECS["raw"])
    await stored.make()
    changed = DOCUMENTS[name](json.loads(stored.document.read_bytes()))
    value = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
    stored.document.write_bytes(value)
    before = stored.files()
    tracemalloc.start()
    try:
        for mode in ({}, {"create": True, "open": True, "dtype": "uint32", "shape": [40, 40]}):
            with pytest.raises(Error) as caught:
                await ts.open(stored.folder, driver="zarr3", **mode)
            error = caught.value
            assert isinstance(error, ValueError | NotImplementedError)
            assert "zarr.json" in str(error)
            assert str(stored.folder) in str(error)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * 2**20
    assert stored.files() == before


async def test_document_that_changes_its_kind_under_an_open_array(tmp_path: Path) -> None:
    stored = Stored(tmp_path / "a", CODECS["raw"])
    await stored.make()
    store = await ts.open(stored.folder)
    document = json.loads(stored.document.read_bytes())
    stored.document.write_text(json.dumps({**document, "data_type": "float64"}))
    before = stored.files()
    with pytest.raises(ValueError):
        await store.resolve()
    with pytest.raises(ValueError):
        await store.resize(exclusive_max=[4, 4])
    assert stored.files() == before


@pytest.mark.parametrize("name", ["shape", "chunks", "dtype", "compressor", "order", "zarr_format"])
async def test_damaged_v2_document(tmp_path: Path, name: str) -> None:
    await ts.open(
        {"driver": "zarr", "kvstore": f"file://{tmp_path}/a/"},
        create=True, dtype="uint32", shape=[40, 40],
    )  # fmt: skip
    path = tmp_path / "a" / ".zarray"
    document = json.loads(path.read_bytes())
    for wrong in (None if name != "compressor" else 5, {"id": "x"}, [-1, -1], "?"):
        path.write_text(json.dumps({**document, name: wrong}))
        with pytest.raises(Error, match=r"\.zarray") as caught:
            await ts.open(tmp_path / "a", driver="zarr")
        assert isinstance(caught.value, ValueError | NotImplementedError)
