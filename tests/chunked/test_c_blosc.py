"""Calling C-Blosc directly gives what numcodecs gives, and trusts as little."""

from __future__ import annotations

import numpy as np
import pytest

from asynctensor.chunked.codec import Encoding
from asynctensor.chunked.compression import blosc as module
from asynctensor.chunked.compression.blosc import CNAMES, BloscCodec
from asynctensor.chunked.compression.c_blosc import c_blosc
from asynctensor.chunked.compression.packed import PackedCodec
from asynctensor.errors import DataLoss
from asynctensor.storage.address import address_of
from asynctensor.storage.kvstore import Buffer

#: Those that numcodecs' library was built with.
BUILT = [name for name in CNAMES if name in module.blosc.list_compressors()]


def chunks(count: int, size: int) -> np.ndarray:
    values = np.random.default_rng(size).normal(1000, 5, (count, size // 2))
    found = values.astype(np.uint16)
    found[0] = np.random.default_rng(0).integers(0, 2**16, size // 2)  # incompressible
    return found


def joined(encoding: Encoding) -> Buffer:
    return b"".join(encoding) if isinstance(encoding, tuple) else encoding


def test_it_can_be_called_here() -> None:
    # The wheels of numcodecs for Linux let it; elsewhere the other way is taken.
    assert c_blosc() is not None


@pytest.mark.parametrize("cname", BUILT)
@pytest.mark.parametrize("size", [2, 64, 65536, 200_000])
@pytest.mark.parametrize("shuffle", [0, 1, 2])
def test_both_ways_agree(
    monkeypatch: pytest.MonkeyPatch, cname: str, size: int, shuffle: int
) -> None:
    codec = BloscCodec(cname=cname, clevel=5, shuffle=shuffle, typesize=2)
    data = chunks(3, size)
    flat = data.reshape(-1).view(np.uint8).data
    found = [joined(each) for each in codec.encode_each(flat, size)]
    with monkeypatch.context() as patch:
        patch.setattr(module, "c_blosc", lambda: None)
        assert codec.encode_each(flat, size) == found
    for values in (found, [memoryview(bytearray(v)) for v in found], list(map(memoryview, found))):
        out = np.zeros_like(data)
        assert codec.decode_each(values, out.reshape(-1).view(np.uint8).data, size) == []
        assert (out == data).all()


@pytest.mark.parametrize("native", [True, False])
def test_damage_is_told_by_number(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    if not native:
        monkeypatch.setattr(module, "c_blosc", lambda: None)
    codec = PackedCodec(
        (128,), np.dtype(">u2").newbyteorder("="), swapped=True,
        steps=[BloscCodec(cname="lz4", clevel=5, shuffle=1, typesize=2)],
    )  # fmt: skip
    data = chunks(6, 256)
    values = [bytes(joined(v)) for v in codec.encode_each(data)]
    values[1] = values[1][:-1]  # cut off
    values[2] = values[2] + b"x"
    values[3] = values[3][:4] + (10**9).to_bytes(4, "little") + values[3][8:]  # a lying length
    values[4] = b"short"
    out = np.zeros_like(data)
    assert codec.decode_each(values, out) == [1, 2, 3, 4]
    assert (out[[0, 5]] == data[[0, 5]]).all()
    for k in (1, 2, 3, 4):
        with pytest.raises(DataLoss):
            codec.decode(values[k], out[k])


def test_flipped_bits_never_do_harm() -> None:
    chance = np.random.default_rng(7)
    for cname in BUILT:
        codec = BloscCodec(cname=cname, clevel=5, shuffle=1, typesize=2)
        (value,) = codec.encode_each(chunks(2, 4096)[1:].reshape(-1).view(np.uint8).data, 4096)
        out = bytearray(4096 + 64)
        out[4096:] = b"\xa5" * 64
        for _ in range(400):
            damaged = bytearray(value)
            for place in chance.integers(0, len(damaged), 3):
                damaged[place] ^= 1 << int(chance.integers(0, 8))
            codec.decode_each([bytes(damaged)], memoryview(out)[:4096], 4096)
            assert out[4096:] == b"\xa5" * 64


def test_addresses() -> None:
    data = bytearray(b"abc")
    whole = address_of(memoryview(data))
    assert address_of(memoryview(data)[1:]) == whole + 1
    assert address_of(memoryview(data).toreadonly()) == whole
    assert address_of(data) == whole


@pytest.mark.parametrize("cname", BUILT)
@pytest.mark.parametrize("size", [2, 65536, 128 * 1024, 1_000_000])
def test_one_chunk_is_encoded_as_numcodecs_does(
    monkeypatch: pytest.MonkeyPatch, cname: str, size: int
) -> None:
    codec = BloscCodec(cname=cname, clevel=5, shuffle=1, typesize=2)
    for chunk in chunks(2, size):
        data = chunk.view(np.uint8).data
        found = codec.encode(data)
        assert found == codec.encode(data.toreadonly())
        with monkeypatch.context() as patch:
            patch.setattr(module, "c_blosc", lambda: None)
            assert codec.encode(data) == found


def test_an_encoding_stays_as_long_as_a_part_of_it_is_held() -> None:
    codec = PackedCodec(
        (2**18,),
        np.dtype("u2"),
        steps=[BloscCodec(cname="lz4", clevel=5, shuffle=1, typesize=2)],
    )
    held, expected = [], []
    for turn in range(12):
        chunk = np.random.default_rng(turn).normal(1000, 5, 2**18).astype(np.uint16)
        for encoded in (codec.encode_apart(chunk), *codec.encode_each(chunk[None])):
            part = memoryview(encoded[-1] if isinstance(encoded, tuple) else encoded)[-1000:]
            held.append(part)
            expected.append(bytes(part))
        chunk[:] = 0  # whose memory it is has it back
        if turn % 3 == 0:
            del held[0], expected[0]
        del encoded
    assert held == expected
