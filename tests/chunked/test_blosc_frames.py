"""Frames that are made together are those that are made one by one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numcodecs.blosc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.chunked.codec import Encoding
from asynctensor.chunked.compression import blosc as module
from asynctensor.chunked.compression.blosc import CNAMES, BloscCodec
from asynctensor.chunked.compression.blosc_frames import Form
from asynctensor.chunked.compression.c_blosc import c_blosc
from asynctensor.chunked.scratch import LEAD
from asynctensor.storage.address import address_of

BUILT = [name for name in CNAMES if name in module.blosc.list_compressors()]


def joined(encodings: list[Encoding]) -> list[bytes]:
    return [b"".join(e) if isinstance(e, tuple) else bytes(e) for e in encodings]


def volume(seed: int, count: int, size: int, noise: float) -> np.ndarray:
    """Chunks of which more `noise` leaves less to compress; at 16, nothing."""
    chance = np.random.default_rng(seed)
    values = chance.normal(2**15, 2**noise - 1, (count, -(-size // 2))).astype(np.uint16)
    return values.view(np.uint8)[:, :size].copy()


@settings(max_examples=100, deadline=None)
@given(
    cname=st.sampled_from(BUILT),
    clevel=st.integers(0, 9),
    shuffle=st.sampled_from((0, 1, 2)),
    typesize=st.sampled_from((1, 2, 4, 8, 16, 17, 3)),
    blocksize=st.sampled_from((0, 0, 0, 256, 4096, 65536)),
    size=st.sampled_from((64, 1024, 8192, 13_824, 65536, 65536, 100_000, 131_072)),
    count=st.integers(1, 5),
    noise=st.floats(0, 16),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_bytes_are_those_of_many_calls(
    cname: str, clevel: int, shuffle: int, typesize: int, blocksize: int, size: int, count: int,
    noise: float, seed: int,
) -> None:  # fmt: skip
    if cname in ("zstd", "zlib", "lz4hc"):
        size = min(size, 13_824)  # slow ones
    codec = BloscCodec(
        cname=cname, clevel=clevel, shuffle=shuffle, typesize=typesize, blocksize=blocksize
    )
    data = volume(seed, count, size, noise)
    data[0] = volume(seed, 1, size, 3)[0]
    for _ in range(2):  # the second time it is known what the library does
        found = joined(codec.encode_each(data.reshape(-1).data, size))
        assert found == [
            numcodecs.blosc.compress(chunk, cname.encode(), clevel, shuffle, blocksize, typesize)
            for chunk in data
        ]


@pytest.mark.parametrize("shuffle", [0, 1])
def test_what_hardly_gets_smaller_is_encoded_by_itself(shuffle: int) -> None:
    codec = BloscCodec(cname="lz4", clevel=5, shuffle=shuffle, typesize=2)
    size = 65536
    # From what is saved by a few bytes less to what takes a few more than there are.
    data = np.random.default_rng(3).integers(0, 256, (120, size), np.uint8)
    for k, chunk in enumerate(data):
        chunk[: 8 * k] = 0
    found = joined(codec.encode_each(data.reshape(-1).data, size))
    assert found == [numcodecs.blosc.compress(chunk, b"lz4", 5, shuffle, 0, 2) for chunk in data]
    assert len({len(each) for each in found}) > 20


def counted(codec: BloscCodec, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths that the library is given."""
    lengths: list[int] = []
    compress = codec._compress

    def counting(*args: int) -> int:
        lengths.append(args[2])
        return compress(*args)

    monkeypatch.setattr(codec, "_compress", counting)
    return lengths


@pytest.mark.parametrize("cname", BUILT)
def test_a_tile_takes_one_call(monkeypatch: pytest.MonkeyPatch, cname: str) -> None:
    codec = BloscCodec(cname=cname, clevel=5, shuffle=1, typesize=2)
    data = volume(5, 16, 65536, 3).reshape(-1)
    codec.encode_each(data.data, 65536)
    lengths = counted(codec, monkeypatch)
    codec.encode_each(data.data, 65536)
    assert lengths == [len(data)]


def test_what_cannot_be_done_together_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # The last block of each chunk is shorter than the others.
    codec = BloscCodec(cname="lz4", clevel=5, shuffle=1, typesize=2, blocksize=30_000)
    data = volume(5, 4, 200_000, 3).reshape(-1)
    assert Form.of(codec.encode(data[:200_000].data)).blocks == 0
    codec.encode_each(data.data, 200_000)
    lengths = counted(codec, monkeypatch)
    codec.encode_each(data.data, 200_000)
    assert lengths == [200_000] * 4


def laid_out(values: list[bytes], gaps: list[int], order: list[int]) -> tuple[Any, list[Any]]:
    """Values in one piece of memory behind a lead, in some order and with gaps between."""
    size = LEAD + sum(gaps) + sum(map(len, values))
    memory = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    at, views = LEAD, {}
    for k in order:
        at += gaps[k]
        memory[at : at + len(values[k])] = np.frombuffer(values[k], np.uint8)
        views[k] = memory.data[at : at + len(values[k])]
        at += len(values[k])
    return memory.data[:LEAD], [views[k] for k in range(len(values))]


def decoded(codec: BloscCodec, values: list[Any], size: int, lead: Any) -> tuple[list[int], bytes]:
    out = bytearray(b"\xa5" * (len(values) * size + 64))
    failed = codec.decode_each(values, memoryview(out)[:-64], size, lead)
    assert out[-64:] == b"\xa5" * 64
    return failed, bytes(out[:-64])


@settings(max_examples=60, deadline=None)
@given(
    cname=st.sampled_from(BUILT),
    shuffle=st.sampled_from((0, 1, 2)),
    typesize=st.sampled_from((1, 2, 4, 16, 17)),
    size=st.sampled_from((64, 1024, 8192, 13_824, 65536, 131_072)),
    count=st.integers(15, 20),
    noise=st.floats(0, 12),
    seed=st.integers(0, 2**32 - 1),
)
def test_decoding_together_gives_what_was_encoded(
    cname: str, shuffle: int, typesize: int, size: int, count: int, noise: float, seed: int
) -> None:
    if cname in ("zstd", "zlib", "lz4hc"):
        size = min(size, 8192)
    chance = np.random.default_rng(seed)
    codec = BloscCodec(cname=cname, clevel=5, shuffle=shuffle, typesize=typesize)
    data = volume(seed, count, size, noise)
    values = [bytes(codec.encode(chunk.data)) for chunk in data]
    gaps = chance.integers(0, 20, count).tolist()
    lead, views = laid_out(values, gaps, chance.permutation(count).tolist())
    assert decoded(codec, views, size, lead) == ([], data.tobytes())


def many(codec: BloscCodec) -> tuple[np.ndarray, list[bytes]]:
    data = volume(3, 20, 4096, 3)
    return data, [bytes(codec.encode(chunk.data)) for chunk in data]


@pytest.mark.parametrize("shuffle", [0, 1])
def test_a_tile_is_decoded_by_one_call(monkeypatch: pytest.MonkeyPatch, shuffle: int) -> None:
    codec = BloscCodec(cname="lz4", clevel=5, shuffle=shuffle, typesize=2)
    data, values = many(codec)
    native = c_blosc()
    assert native is not None
    sizes: list[int] = []

    def decompress(source: Any, size: int, out: int) -> int:
        sizes.append(size)
        return native.decompress(source, size, out)

    monkeypatch.setattr(module, "c_blosc", lambda: SimpleNamespace(decompress=decompress))
    lead, views = laid_out(values, [0] * 20, list(range(20)))
    assert decoded(codec, views, 4096, lead) == ([], data.tobytes())
    assert sizes == [20 * 4096]
    # In memory of its own, a value is decoded by itself, and so are all then.
    sizes.clear()
    views[7] = memoryview(values[7])
    assert decoded(codec, views, 4096, lead) == ([], data.tobytes())
    assert sizes == [4096] * 20


def test_what_one_frame_says_is_never_found_in_another() -> None:
    # Each of them is damaged so that it is not whole, and what follows would complete it.
    codec = BloscCodec(cname="lz4", clevel=5, shuffle=1, typesize=2)
    _, values = many(codec)
    lead, views = laid_out(values, [0] * 20, list(range(20)))
    assert decoded(codec, views, 4096, lead)[0] == []
    cut = len(values[5]) - 40
    header = bytearray(values[5][:cut])
    header[12:16] = cut.to_bytes(4, "little")
    views[5] = views[5][:cut]
    views[5][:16] = header[:16]
    assert decoded(codec, [views[5]], 4096, None)[0] == [0]
    assert decoded(codec, views, 4096, lead)[0] == [5]


@pytest.mark.parametrize("streams", ["lz4", "zstd"])
def test_damage_does_no_more_harm_together_than_alone(streams: str) -> None:
    chance = np.random.default_rng(11)
    codec = BloscCodec(cname=streams, clevel=5, shuffle=1, typesize=2)
    data, values = many(codec)
    for _ in range(400):
        damaged = [bytearray(value) for value in values]
        which = int(chance.integers(0, 20))
        # Mostly in the header, the places of blocks and the lengths of streams.
        place = int(chance.integers(0, 32 if chance.random() < 0.8 else len(damaged[which])))
        damaged[which][place] ^= 1 << int(chance.integers(0, 8))
        parts = [bytes(each) for each in damaged]
        lead, views = laid_out(parts, [0] * 20, list(range(20)))
        found, out = decoded(codec, views, 4096, lead)
        alone, plain = decoded(codec, views, 4096, None)
        assert found == alone
        for k in set(range(20)) - set(alone):
            assert out[k * 4096 : (k + 1) * 4096] == plain[k * 4096 : (k + 1) * 4096]
            assert k == which or plain[k * 4096 : (k + 1) * 4096] == data[k].tobytes()


def test_chunks_that_look_like_blocks_are_not_taken_for_them() -> None:
    codec = BloscCodec(cname="lz4", clevel=5, shuffle=0, typesize=1)
    size = 4096
    blocks = bytes(codec.encode(volume(3, 1, size, 3)[0].data))
    assert len(blocks) < size
    chunk = blocks[16:].ljust(size, b"\0")
    header = bytes([*blocks[:2], blocks[2] | 2, blocks[3]])
    copied = header + np.array([size, size, size + 16], "<u4").tobytes() + chunk
    lead, views = laid_out([copied] * 20, [0] * 20, list(range(20)))
    assert decoded(codec, views, size, lead) == ([], chunk * 20)


def test_values_elsewhere_are_left_where_they_are() -> None:
    codec = BloscCodec(cname="lz4", clevel=5, shuffle=1, typesize=2)
    data, values = many(codec)
    lead, views = laid_out(values, [0] * 20, list(range(20)))
    memory = np.empty(len(lead.obj) + 8192, np.uint8)
    part = memory[: len(lead.obj)]
    part[:] = lead.obj
    begins = [address_of(view) - address_of(lead) for view in views]
    views = [part.data[at : at + len(v)] for at, v in zip(begins, values, strict=True)]
    # Behind the memory that the lead is in ...
    behind = memory[len(part) :]
    behind[: len(values[7])] = views[7]
    odd = [*views[:7], behind.data[: len(values[7])], *views[8:]]
    assert decoded(codec, odd, 4096, part.data[:LEAD]) == ([], data.tobytes())
    # ... and within the lead itself, which is written to.
    inside = part.data[LEAD - 50 : LEAD + len(values[0])]
    assert decoded(codec, views, 4096, inside) == ([], data.tobytes())
    assert decoded(codec, views, 4096, part.data[:LEAD]) == ([], data.tobytes())
    # A lead that is too short for the places of all blocks.
    assert decoded(codec, views, 4096, part.data[:64]) == ([], data.tobytes())
