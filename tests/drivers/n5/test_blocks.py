"""Blocks as other writers make them: cut off at the edge, of other modes, oddly compressed."""

from __future__ import annotations

import asyncio
import bz2
import io
import json
import lzma
import struct
import sys
import zlib
from typing import Any

import numpy as np
import pytest
import tensorstore
from PIL import Image

import asynctensor as ts
from asynctensor.drivers.n5.format import N5Format
from asynctensor.errors import DataLoss, FailedPrecondition, NotFound, Unimplemented
from asynctensor.schema.schema import Schema
from tests.drivers.n5.conftest import DOCUMENT, Make, block, header, payload

FORMAT = N5Format()
DATA = np.arange(1, 21, dtype=np.uint16).reshape(5, 4)
#: As Java writes them: the second block of the first dimension is cut off.
CUT = {
    "0/0": block(DATA[:3, :2]),
    "0/1": block(DATA[:3, 2:]),
    "1/0": block(DATA[3:, :2]),
    "1/1": block(DATA[3:, 2:]),
}


def stored(store: ts.TensorStore, key: str) -> bytes:
    assert store.kvstore is not None
    value: bytes = store.kvstore[key]
    return value


def test_the_example_of_the_specification() -> None:
    """1 x 2 x 3 elements of uint16, compressed in four ways."""
    payloads = {
        "raw": "0001 0002 0003 0004 0005 0006",
        "bzip2": "425a6839 31415926 5359023e 0dd20000 0040007f 00200031 0c010d31 a8739433 7c5dc914"
        "e1424008 f83748",
        "gzip": "1f8b0800 00000000 00006360 64606260 66606160 65600300 aaea6dbf 0c000000",
        "xz": "fd377a58 5a000004 e6d6b446 02002101 16000000 742fe5a3 01000b00 01000200 03000400"
        "05000600 0d0309ca 34ec15a7 0001240c a618d8d8 1fb6f37d 01000000 0004595a",
    }
    for name, example in payloads.items():
        wanted = {
            "dimensions": [1, 2, 3], "blockSize": [1, 2, 3], "dataType": "uint16",
            "compression": {"type": name},
        }  # fmt: skip
        layout = FORMAT.layout(FORMAT.create(wanted, Schema()))
        found = layout.codec.decode(header(1, 2, 3) + bytes.fromhex(example))
        assert found.tobytes(order="F") == np.arange(1, 7, dtype=np.uint16).tobytes()
        assert layout.keys.key((0, 4, 1)) == "0/4/1"


@pytest.mark.parametrize("padded", [[], ["1/0"], ["1/0", "1/1", "0/1"]])
def test_cut_off_and_padded_blocks_lie_side_by_side(make: Make, padded: list[str]) -> None:
    blocks = dict(CUT)
    for key in padded:
        row, column = map(int, key.split("/"))
        full = np.full((3, 2), 99, np.uint16)
        part = DATA[row * 3 : row * 3 + 3, column * 2 : column * 2 + 2]
        full[: part.shape[0], : part.shape[1]] = part
        blocks[key] = block(full)
    store = make(blocks=blocks)
    assert (store.read().result() == DATA).all()
    assert (store[3:, 1:3].read().result() == DATA[3:, 1:3]).all()
    assert store[4, 3].read().result() == DATA[4, 3]


def test_what_a_cut_off_block_lacks_is_zero(make: Make) -> None:
    """Even inside the array: whoever wrote it knew a smaller one."""
    store = make(blocks={"0/0": block(DATA[:2, :1]), "1/1": header(0, 2)})
    expected = np.zeros((5, 4), np.uint16)
    expected[:2, :1] = DATA[:2, :1]
    assert (store.read().result() == expected).all()


async def test_a_cut_off_block_grows_with_the_array(make: Make) -> None:
    store = await asyncio.to_thread(make, blocks=CUT)
    larger = await store.resize(exclusive_max=[6, 5])
    expected = np.zeros((6, 5), np.uint16)
    expected[:5, :4] = DATA
    assert (await larger.read() == expected).all()
    await larger[5, 0].write(77)
    expected[5, 0] = 77
    assert (await larger.read() == expected).all()
    # What is written anew has the full size, and what was not touched is as it was.
    assert stored(larger, "1/0")[:12] == header(3, 2)
    assert stored(larger, "1/1") == CUT["1/1"]
    theirs = tensorstore.open(
        {"driver": "n5", "kvstore": "memory://", "metadata": metadata_of(larger)}, create=True
    ).result()
    for key in (*CUT, "attributes.json"):
        theirs.kvstore.write(key, stored(larger, key)).result()
    assert (theirs.read().result() == expected).all()


def metadata_of(store: ts.TensorStore) -> Any:
    return store.spec().to_json()["metadata"]


async def test_writers_of_parts_of_a_cut_off_block_lose_nothing(make: Make) -> None:
    store = await asyncio.to_thread(make, blocks=CUT)
    expected = DATA.copy()
    async with asyncio.TaskGroup() as group:
        for number, (row, column) in enumerate(np.ndindex(2, 2)):
            place = (3 + row, 2 + column)
            expected[place] = 100 + number
            group.create_task(written(store, place, 100 + number))
    assert (await store.read() == expected).all()


async def written(store: ts.TensorStore, place: tuple[int, ...], value: int) -> None:
    await store[place].write(value)


async def test_shrinking_and_growing_again(make: Make) -> None:
    store = await asyncio.to_thread(make, blocks=CUT)
    smaller = await store.resize(exclusive_max=[2, 4])
    assert smaller.kvstore is not None
    keys = [key.decode() for key in await smaller.kvstore.list()]
    assert sorted(keys) == ["0/0", "0/1", "attributes.json"]
    larger = await smaller.resize(exclusive_max=[5, 4])
    found = await larger.read()
    assert (found[:2] == DATA[:2]).all()
    assert (found[3:] == 0).all()


async def test_a_block_of_zeros_is_not_stored(make: Make) -> None:
    store = await asyncio.to_thread(make, blocks=CUT)
    await store[3:, 2:].write(0)
    assert store.kvstore is not None
    assert b"1/1" not in await store.kvstore.list()
    strict = {**store.spec().to_json(), "fill_missing_data_reads": False}
    with pytest.raises(NotFound, match="1/1"):
        await (await ts.open(strict, context=store.context)).read()


def test_a_block_of_variable_length_is_read_where_it_fills_its_size(make: Make) -> None:
    fits = header(2, 2, mode=1, count=4) + payload(DATA[3:, :2])
    store = make(blocks={**CUT, "1/0": fits})
    assert (store.read().result() == DATA).all()
    store = make(blocks={**CUT, "1/0": header(2, 2, mode=1, count=3) + payload(DATA[3:, :2])[:6]})
    with pytest.raises(DataLoss, match="variable length: 3 elements"):
        store.read().result()


# -- compressions -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["raw", "gzip", "bzip2", "xz", "lz4"])
async def test_the_old_way_to_name_a_compression(make: Make, name: str) -> None:
    encoders = {
        "raw": bytes, "gzip": gzipped, "bzip2": bz2.compress, "xz": lzma.compress, "lz4": lz4,
    }  # fmt: skip
    document = {k: v for k, v in DOCUMENT.items() if k != "compression"}
    document["compressionType"] = name
    blocks = {key: value[:12] + encoders[name](value[12:]) for key, value in CUT.items()}
    store = await asyncio.to_thread(make, document, blocks)
    assert (await store.read() == DATA).all()
    assert metadata_of(store)["compression"]["type"] == name
    # Rewritten, it is read by those who know the old way, and by those who know only the new.
    larger = await store.resize(exclusive_max=[6, 4])
    rewritten = json.loads(stored(larger, "attributes.json"))
    assert rewritten["compressionType"] == rewritten["compression"]["type"] == name


def gzipped(data: bytes) -> bytes:
    return zlib.compress(data, wbits=31)


def lz4(data: bytes) -> bytes:
    """As lz4-java stores what does not shrink, with its checksum of 28 bits."""
    checksum = xxh32(data, 0x9747B28C) & 0x0FFFFFFF
    start = b"LZ4Block" + struct.pack("<BiiI", 0x16, len(data), len(data), checksum)
    return start + data + b"LZ4Block" + struct.pack("<BiiI", 0x16, 0, 0, 0)


def xxh32(data: bytes, seed: int) -> int:
    """XXH32 by its specification, for data of less than 16 bytes."""
    primes = 2654435761, 2246822519, 3266489917, 668265263, 374761393
    assert len(data) < 16
    state = seed + primes[4] + len(data)
    words = len(data) // 4
    for (word,) in struct.iter_unpack("<I", data[: 4 * words]):
        state = rotated(state + word * primes[2], 17) * primes[3]
    for byte in data[4 * words :]:
        state = rotated(state + byte * primes[4], 11) * primes[0]
    state &= 0xFFFFFFFF
    state = (state ^ state >> 15) * primes[1] & 0xFFFFFFFF
    state = (state ^ state >> 13) * primes[2] & 0xFFFFFFFF
    return state ^ state >> 16


def rotated(number: int, bits: int) -> int:
    number &= 0xFFFFFFFF
    return (number << bits | number >> 32 - bits) & 0xFFFFFFFF


def test_lz4_is_framed_as_java_frames_it(make: Make) -> None:
    compression = {"type": "lz4", "blockSize": 1 << 16}
    document = {
        **DOCUMENT, "dataType": "uint8", "dimensions": [40000, 4], "blockSize": [40000, 4],
        "compression": compression,
    }  # fmt: skip
    store = make(document)
    data = np.zeros((40000, 4), np.uint8)
    data[:, 3] = np.random.default_rng(0).integers(0, 256, 40000)
    store.write(data).result()
    assert (store.read().result() == data).all()
    value = stored(store, "0/0")[12:]
    methods, sizes, at = [], [], 0
    while at < len(value):
        magic, token, length, size, _ = struct.unpack_from("<8sBiiI", value, at)
        assert magic == b"LZ4Block"
        assert token & 15 == 6
        methods.append(token >> 4)
        sizes.append(size)
        at += 21 + length
    # Two blocks of zeros and random bytes, the rest of random bytes alone, and the end.
    assert sizes == [65536, 65536, 28928, 0]
    assert methods == [2, 2, 1, 1]


BAD_LZ4 = {
    "magic": lambda v: v.replace(b"LZ4Block", b"LZ4block", 1),
    "method": lambda v: v[:8] + b"\x36" + v[9:],
    "level": lambda v: v[:8] + b"\x10" + v[9:17] + v[17:],
    "stored size": lambda v: v[:9] + struct.pack("<i", 2**30) + v[13:],
    "negative size": lambda v: v[:9] + struct.pack("<i", -8) + v[13:],
    "decoded size": lambda v: v[:13] + struct.pack("<i", 2**31 - 1) + v[17:],
    "sizes differ": lambda v: v[:13] + struct.pack("<i", 9) + v[17:],
    "checksum": lambda v: v[:17] + b"\0\0\0\0" + v[21:],
    "high bits of the checksum": lambda v: v[:20] + bytes([v[20] | 0xF0]) + v[21:],
    "no end": lambda v: v[:-21],
    "checksum of the end": lambda v: v[:-1] + b"\1",
    "cut off": lambda v: v[:-1],
    "more": lambda v: v + b"LZ4",
    "nothing": lambda v: b"",
}


@pytest.mark.parametrize("name", list(BAD_LZ4))
def test_damaged_lz4(make: Make, name: str) -> None:
    value = lz4(payload(DATA[:3, :2]))
    store = make(
        {**DOCUMENT, "compression": {"type": "lz4"}}, {"0/0": header(3, 2) + BAD_LZ4[name](value)}
    )
    if name == "level":
        # One KiB at most, says the level: that is enough here.
        assert (store[:3, :2].read().result() == DATA[:3, :2]).all()
        return
    with pytest.raises(DataLoss, match=r"(?s)lz4.*0/0"):
        store.read().result()


def test_jpeg_is_an_image_of_bytes(make: Make) -> None:
    """Blocks of one value, which even a lossy compression keeps."""
    document = {
        **DOCUMENT, "dataType": "uint8", "dimensions": [40, 30, 2], "blockSize": [32, 16, 2],
        "compression": {"type": "jpeg", "quality": 90},
    }  # fmt: skip
    image = io.BytesIO()
    Image.new("L", (16, 64), 200).save(image, "JPEG")
    store = make(document, {"0/0/0": header(32, 16, 2) + image.getvalue()})
    assert (store[:32, :16].read().result() == 200).all()
    store[32:, :16].write(50).result()
    assert (store[32:, :16].read().result() == 50).all()
    with Image.open(io.BytesIO(stored(store, "1/0/0")[16:])) as written_image:
        assert (written_image.format, written_image.size) == ("JPEG", (32, 32))


@pytest.mark.parametrize(
    ("mode", "size", "keep"), [("RGB", (16, 64), None), ("L", (16, 63), None), ("L", (16, 64), 200)]
)
def test_damaged_jpeg(make: Make, mode: str, size: tuple[int, int], keep: int | None) -> None:
    document = {
        **DOCUMENT, "dataType": "uint8", "dimensions": [32, 32], "blockSize": [32, 32],
        "compression": {"type": "jpeg"},
    }  # fmt: skip
    image = io.BytesIO()
    Image.effect_noise(size, 50).convert(mode).save(image, "JPEG")
    store = make(document, {"0/0": header(32, 32) + image.getvalue()[:keep]})
    with pytest.raises(DataLoss, match=r"(?s)jpeg.*0/0"):
        store.read().result()


def test_jpeg_without_pillow_says_what_to_install(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    document = {**DOCUMENT, "dataType": "uint8", "compression": {"type": "jpeg"}}
    with pytest.raises(Unimplemented, match=r"asynctensor\[jpeg\]"):
        make(document)
    with pytest.raises(Unimplemented, match="one byte"):
        make({**DOCUMENT, "compression": {"type": "jpeg"}})


# -- attributes ---------------------------------------------------------------------------------


async def test_attributes_are_kept_untouched(make: Make) -> None:
    document = {
        **DOCUMENT,
        "n5": "2.5.1",
        "compression": {"type": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "nthreads": 2},
        "pixelResolution": {"unit": "um", "dimensions": [1, 2.5]},
        "deep": [{"z": 1, "a": [None, True, 1e300, "\u00e9"]}],
        "axes": "not what they mean by it",
        "units": ["nm", None],
    }
    store = await asyncio.to_thread(make, document)
    assert store.domain.labels == ("", "")
    assert store.dimension_units == (None, None)
    larger = await store.resize(exclusive_max=[6, 7])
    rewritten = json.loads(stored(larger, "attributes.json"))
    document["compression"]["blocksize"] = 0
    assert rewritten == {**document, "dimensions": [6, 7]}
    assert list(rewritten["deep"][0]) == ["z", "a"]
    # And a spec of it opens it again.
    again = await ts.open(larger.spec(), context=larger.context)
    assert again.shape == (6, 7)


def test_axes_and_units(make: Make) -> None:
    store = make({**DOCUMENT, "axes": ["x", ""], "units": ["nm", "s"], "resolution": [4, 0.5]})
    assert store.domain.labels == ("x", "")
    assert store.dimension_units == (ts.Unit(4, "nm"), ts.Unit(0.5, "s"))
    assert store.fill_value is None
    assert tuple(store.chunk_layout.inner_order or ()) == (1, 0)


def test_what_is_no_dataset_is_said_so(make: Make) -> None:
    with pytest.raises(FailedPrecondition, match=r"group.*attributes\.json"):
        make({"n5": "2.5.1", "description": "a container"})
    with pytest.raises(Unimplemented, match='"object"'):
        make({**DOCUMENT, "dataType": "object"})
    with pytest.raises(Unimplemented, match='"lz5"'):
        make({**DOCUMENT, "compression": {"type": "lz5"}})


def test_zero_is_the_only_fill_value(make: Make) -> None:
    assert make(fill_value=0).read().result().sum() == 0
    with pytest.raises(FailedPrecondition, match="fill_value"):
        make(fill_value=1)


async def test_a_path_is_recognised(make: Make) -> None:
    store = await asyncio.to_thread(make, blocks=CUT)
    found = await ts.open("memory://a/", context=store.context)
    assert (await found.read() == DATA).all()
    assert found.spec().to_json()["driver"] == "n5"


# -- what nobody can trust --------------------------------------------------------------------

FULL = block(DATA[:3, :2])
LYING = {
    "nothing": b"",
    "half a header": FULL[:7],
    "fewer dimensions": header(6) + payload(DATA[:3, :2]),
    "more dimensions": header(3, 2, 1) + payload(DATA[:3, :2]),
    "65535 dimensions": b"\0\0\xff\xff" + FULL[4:],
    "larger than a block": header(4, 2) + payload(DATA[:4, :2]),
    "other order": header(2, 3) + payload(DATA[:3, :2]),
    "2^32 - 1": header(2**32 - 1, 2**32 - 1) + payload(DATA[:3, :2]),
    "no elements": header(0, 0) + payload(DATA[:3, :2]),
    "a serialized object": header(3, 2, mode=2) + payload(DATA[:3, :2]),
    "an unknown mode": header(3, 2, mode=7) + payload(DATA[:3, :2]),
    "variable length": header(3, 2, mode=1, count=2**32 - 1) + payload(DATA[:3, :2]),
    "variable length without count": header(3, 2, mode=1),
    "cut off": FULL[:-1],
    "too long": FULL + b"\0",
}


@pytest.mark.parametrize("name", list(LYING))
async def test_lying_headers(make: Make, name: str) -> None:
    store = await asyncio.to_thread(make, blocks={**CUT, "0/0": LYING[name]})
    for damaged in (store.read, lambda: store[0, 0].read(), lambda: store[0, 0].write(1)):
        with pytest.raises(DataLoss) as caught:
            await damaged()
        assert (caught.value.key or "").endswith("0/0")
    assert stored(store, "0/0") == LYING[name]
    assert (await store[3:].read() == DATA[3:]).all()
    await store[:3, :2].write(DATA[:3, :2])
    assert (await store.read() == DATA).all()


@pytest.mark.parametrize("name", ["raw", "gzip", "bzip2", "xz", "zstd", "blosc", "lz4"])
def test_flipped_bits_give_the_data_or_data_loss(name: str) -> None:
    """And nothing else; of those with a checksum of their own, never other data."""
    compression: dict[str, Any] = {"type": name}
    if name == "blosc":
        compression |= {"cname": "lz4", "clevel": 5, "shuffle": 1}
    wanted = {
        "dimensions": [30, 20], "blockSize": [30, 20], "dataType": "uint16",
        "compression": compression,
    }  # fmt: skip
    codec = FORMAT.layout(FORMAT.create(wanted, Schema())).codec
    data = np.arange(600, dtype=np.uint16).reshape(30, 20)
    encoded = bytes(codec.encode(data))
    chance = np.random.default_rng(0)
    for _ in range(300):
        flipped = bytearray(encoded)
        flipped[chance.integers(len(encoded))] ^= 1 << int(chance.integers(8))
        try:
            found = codec.decode(bytes(flipped))
        except DataLoss:
            continue
        assert found.shape == data.shape
        if name in ("gzip", "bzip2", "xz", "lz4"):
            assert (found == data).all()


def test_bombs_are_refused(make: Make) -> None:
    zeros = bytes(2**23)
    for compression, value in (
        ({"type": "xz"}, lzma.compress(zeros)),
        ({"type": "bzip2"}, bz2.compress(zeros)),
        ({"type": "gzip"}, gzipped(zeros)),
        ({"type": "xz"}, with_dictionary_of_4_gib(lzma.compress(b"x" * 12))),
    ):
        store = make({**DOCUMENT, "compression": compression}, {"0/0": header(3, 2) + value})
        with pytest.raises(DataLoss, match="0/0"):
            store.read().result()


def with_dictionary_of_4_gib(stream: bytes) -> bytes:
    """The same xz stream; a decoder allocates its dictionary first of all."""
    head = bytearray(stream[12:20])
    assert head[:4] == b"\x02\0\x21\x01"
    head[4] = 40
    return stream[:12] + bytes(head) + struct.pack("<I", zlib.crc32(head)) + stream[24:]
