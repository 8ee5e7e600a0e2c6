"""The bytes codecs: round trips, foreign encodings, and data that nobody can trust."""

from __future__ import annotations

import bz2
import gzip
import struct
import threading
import zlib

import numcodecs
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.chunked.compression.blosc import CNAMES, BloscCodec
from asynctensor.chunked.compression.codec import BytesCodec, allocate
from asynctensor.chunked.compression.crc32c import Crc32cCodec
from asynctensor.chunked.compression.deflate import Bz2Codec, GzipCodec, ZlibCodec
from asynctensor.chunked.compression.lz4_java import Lz4JavaCodec
from asynctensor.chunked.compression.lzma import LzmaCodec
from asynctensor.chunked.compression.packed import PackedCodec
from asynctensor.chunked.compression.zstd import ZstdCodec
from asynctensor.errors import DataLoss, Error, ResourceExhausted
from asynctensor.storage.checksum import crc32c

CODECS: dict[str, BytesCodec] = {
    "blosc": BloscCodec(cname="lz4", clevel=5, shuffle=1, typesize=2),
    "blosc-zstd-bits": BloscCodec(cname="zstd", clevel=1, shuffle=2, typesize=4),
    "blosc-plain": BloscCodec(cname="blosclz", clevel=0, shuffle=0, typesize=1),
    "zstd": ZstdCodec(level=0),
    "zstd-checksum": ZstdCodec(level=-5, checksum=True),
    "gzip": GzipCodec(level=1),
    "zlib": ZlibCodec(level=9),
    "bz2": Bz2Codec(level=1),
    "crc32c": Crc32cCodec(),
    "xz": LzmaCodec(container=1, check=-1, preset=1, filters=None),
    "lz4": Lz4JavaCodec(block_size=65536),
    "lz4-small": Lz4JavaCodec(block_size=64),
}
DATA = np.arange(3000, dtype="<u2").tobytes() + bytes(500)


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> BytesCodec:
    return CODECS[request.param]


@pytest.mark.parametrize("data", [b"", b"\0", DATA, DATA * 20, DATA * 50])
def test_every_way_of_decoding_gives_back_what_was_encoded(codec: BytesCodec, data: bytes) -> None:
    encoded = bytes(codec.encode(memoryview(data)))
    out = bytearray(len(data))
    codec.decode_into(encoded, memoryview(out))
    assert out == data
    assert bytes(codec.decode(encoded, len(data) + 10)) == data
    assert bytes(codec.decode_exactly(memoryview(encoded), len(data))) == data
    assert len(encoded) <= codec.largest_encoding(len(data))
    assert codec.encoded_size(len(data)) in (None, len(encoded))


@pytest.mark.parametrize("wrong", [-1, 1, 10**6])
def test_another_length_than_expected_is_data_loss(codec: BytesCodec, wrong: int) -> None:
    encoded = bytes(codec.encode(DATA))
    with pytest.raises(DataLoss):
        codec.decode_into(encoded, memoryview(bytearray(len(DATA) + wrong)))
    with pytest.raises(DataLoss):
        codec.decode_exactly(encoded, len(DATA) + wrong)
    if wrong < 0:
        with pytest.raises(DataLoss):
            codec.decode(encoded, len(DATA) + wrong)


def test_truncated_and_prolonged_data_is_data_loss(codec: BytesCodec) -> None:
    encoded = bytes(codec.encode(DATA))
    for cut in (0, 1, 5, len(encoded) // 2, len(encoded) - 1):
        with pytest.raises(DataLoss):
            codec.decode_into(encoded[:cut], memoryview(bytearray(len(DATA))))
    for tail in (b"\0", b"garbage after the end"):
        with pytest.raises(DataLoss):
            codec.decode_exactly(encoded + tail, len(DATA))


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(CODECS)),
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_damaged_data_never_does_worse_than_data_loss(
    name: str, flips: list[tuple[int, int]]
) -> None:
    codec = CODECS[name]
    damaged = bytearray(codec.encode(DATA))
    for position, value in flips:
        # Half of them in the first bytes, where the headers are.
        damaged[position % (32 if position % 2 else len(damaged))] = value
    for decode in (
        lambda: codec.decode_into(damaged, memoryview(bytearray(len(DATA)))),
        lambda: codec.decode(bytes(damaged), len(DATA)),
    ):
        try:
            decode()
        except Error as error:
            assert isinstance(error, DataLoss)  # noqa: PT017 (it need not be raised)


def test_what_numcodecs_wrote_is_read_and_it_reads_ours() -> None:
    pairs = [
        (numcodecs.Blosc(cname=cname, clevel=5, shuffle=shuffle), CODECS["blosc"])
        for cname in CNAMES
        if cname in numcodecs.blosc.list_compressors()
        for shuffle in (0, 1, 2)
    ]
    pairs += [
        (numcodecs.Zstd(level=3), CODECS["zstd"]),
        (numcodecs.GZip(level=5), CODECS["gzip"]),
        (numcodecs.Zlib(level=5), CODECS["zlib"]),
        (numcodecs.BZ2(level=5), CODECS["bz2"]),
    ]
    for theirs, ours in pairs:
        assert bytes(ours.decode_exactly(theirs.encode(DATA), len(DATA))) == DATA
        assert bytes(theirs.decode(bytes(ours.encode(DATA)))) == DATA


def test_several_members_or_frames_count_as_one() -> None:
    half = len(DATA) // 2
    for name, compress in (
        ("gzip", gzip.compress),
        ("zlib", zlib.compress),
        ("bz2", bz2.compress),
        ("zstd", zstandard.ZstdCompressor().compress),
    ):
        joined = compress(DATA[:half]) + compress(DATA[half:])
        assert bytes(CODECS[name].decode_exactly(joined, len(DATA))) == DATA


def test_zstd_reads_frames_that_do_not_tell_their_size_and_skippable_ones() -> None:
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(DATA)
    skippable = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    for encoded in (silent, skippable + silent, silent + skippable):
        assert bytes(CODECS["zstd"].decode_exactly(encoded, len(DATA))) == DATA
        for wrong in (-1, 1):
            with pytest.raises(DataLoss):
                CODECS["zstd"].decode_into(encoded, memoryview(bytearray(len(DATA) + wrong)))


@pytest.mark.parametrize("data", [DATA, DATA * 50])
def test_zstd_checksum_is_verified(data: bytes) -> None:
    encoded = bytearray(CODECS["zstd-checksum"].encode(data))
    encoded[-1] ^= 1
    with pytest.raises(DataLoss, match=r"(?i)checksum"):
        CODECS["zstd"].decode_exactly(bytes(encoded), len(data))


@pytest.mark.parametrize("times", [1, 50])
def test_damaged_zstd_frames_never_raise_but_data_loss(times: int) -> None:
    data = DATA * times
    encoded = bytes(CODECS["zstd-checksum"].encode(data))
    for at in range(len(encoded)):
        damaged = encoded[:at] + bytes([encoded[at] ^ 0x41]) + encoded[at + 1 :]
        with pytest.raises(DataLoss):
            CODECS["zstd"].decode_exactly(damaged, len(data))
    for at in range(0, len(encoded), 7):
        with pytest.raises(DataLoss):
            CODECS["zstd"].decode_exactly(encoded[:at], len(data))


def test_a_decompression_bomb_stops_at_the_limit() -> None:
    bomb = bytes(2**24)
    for name in ("gzip", "zlib", "bz2", "zstd", "blosc"):
        with pytest.raises(DataLoss, match="expected 100"):
            CODECS[name].decode(bytes(CODECS[name].encode(bomb)), 100)


def test_a_blosc_header_that_lies_about_its_own_length_is_refused() -> None:
    encoded = bytearray(CODECS["blosc"].encode(DATA))
    struct.pack_into("<I", encoded, 12, len(encoded) + 4096)
    with pytest.raises(DataLoss, match="header says"):
        CODECS["blosc"].decode_exactly(bytes(encoded), len(DATA))


def test_crc32c_is_castagnoli() -> None:
    # RFC 3720, appendix B.4: 32 bytes of zeros.
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(memoryview(bytearray(32))) == 0x8A9136AA


def test_one_codec_serves_many_threads(codec: BytesCodec) -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        data = np.random.default_rng(seed).integers(0, 9, 5000, np.uint8).tobytes()
        for _ in range(20):
            if bytes(codec.decode_exactly(bytes(codec.encode(data)), len(data))) != data:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_more_memory_than_there_is_is_an_error_of_ours() -> None:
    with pytest.raises(ResourceExhausted):
        allocate((2**60,), np.dtype(np.uint64))


class TestPackedCodec:
    CHUNK = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)

    def test_raw_bytes_are_the_identity_and_are_not_copied(self) -> None:
        codec = PackedCodec((2, 3, 4), self.CHUNK.dtype)
        assert codec.is_identity
        encoded = codec.encode(self.CHUNK)
        assert np.shares_memory(np.frombuffer(encoded, np.uint16), self.CHUNK)
        assert np.shares_memory(codec.decode(encoded), self.CHUNK)

    def test_what_is_not_plainly_stored_is_no_identity(self) -> None:
        dtype = self.CHUNK.dtype
        for codec in (
            PackedCodec((2, 3), dtype, order=(1, 0)),
            PackedCodec((2, 3), dtype, swapped=True),
            PackedCodec((2, 3), dtype, steps=[Crc32cCodec()]),
            PackedCodec((2, 3), np.dtype(bool)),
        ):
            assert not codec.is_identity
        # Axes of size 1 may go anywhere.
        assert PackedCodec((2, 1, 3), dtype, order=(1, 0, 2)).is_identity

    @pytest.mark.parametrize("order", [None, (2, 0, 1), (0, 2, 1)])
    @pytest.mark.parametrize("swapped", [False, True])
    @pytest.mark.parametrize(
        "steps", [[], [CODECS["blosc"]], [CODECS["gzip"], Crc32cCodec()], [Crc32cCodec()]]
    )
    def test_round_trips_leave_the_stored_bytes_alone(
        self, order: tuple[int, ...] | None, swapped: bool, steps: list[BytesCodec]
    ) -> None:
        codec = PackedCodec((2, 3, 4), self.CHUNK.dtype, order=order, swapped=swapped, steps=steps)
        chunk = np.asfortranarray(self.CHUNK)
        stored = bytearray(codec.encode(chunk))
        before = bytes(stored)
        out = np.zeros_like(self.CHUNK)
        assert codec.decode(stored, out) is out
        np.testing.assert_array_equal(out, chunk)
        np.testing.assert_array_equal(codec.decode(stored), chunk)
        assert stored == before

    def test_the_wrong_number_of_raw_bytes_is_data_loss(self) -> None:
        codec = PackedCodec((2, 3, 4), self.CHUNK.dtype)
        for size in (0, 47, 49):
            with pytest.raises(DataLoss, match=f"{size} bytes, expected 48"):
                codec.decode(bytes(size))

    @pytest.mark.parametrize("steps", [[], [CODECS["zstd"]]])
    def test_any_byte_but_zero_is_true(self, steps: list[BytesCodec]) -> None:
        raw = PackedCodec((4,), np.dtype(np.uint8), steps=steps)
        encoded = bytes(raw.encode(np.array([0, 1, 2, 255], np.uint8)))
        codec = PackedCodec((4,), np.dtype(bool), steps=steps)
        for out in (None, np.empty(4, bool)):
            found = codec.decode(encoded, out)
            assert found.view(np.uint8).tolist() == [0, 1, 1, 1]

    @pytest.mark.parametrize("shape", [(), (0, 3)])
    def test_shapes_without_extent(self, shape: tuple[int, ...]) -> None:
        for steps in ([], [CODECS["blosc"]], [CODECS["zstd"]]):
            codec = PackedCodec(shape, np.dtype(np.float32), steps=steps)
            chunk = np.full(shape, 1.5, np.float32)
            np.testing.assert_array_equal(codec.decode(bytes(codec.encode(chunk))), chunk)


def test_lz4_blocks_keep_to_what_their_headers_say() -> None:
    codec = CODECS["lz4"]
    encoded = bytearray(codec.encode(bytes(3000)))
    assert encoded[8] == 0x26
    encoded[8] = 0x20
    with pytest.raises(DataLoss, match="level 0"):
        codec.decode_into(bytes(encoded), memoryview(bytearray(3000)))
    stored = bytearray(codec.encode(b"abcdefgh"))
    assert stored[8] == 0x16
    stored[9] = 6
    with pytest.raises(DataLoss, match="6 bytes stored and 8 decoded"):
        codec.decode_into(bytes(stored), memoryview(bytearray(8)))


def test_what_is_encoded_apart_is_no_view_of_the_chunk() -> None:
    chunk = np.arange(64, dtype=np.uint8)
    plain = PackedCodec((64,), np.dtype("u1"))
    assert np.shares_memory(np.frombuffer(plain.encode(chunk), np.uint8), chunk)
    encoded = plain.encode_apart(chunk)
    chunk[:] = 0
    assert bytes(encoded) == bytes(range(64))
