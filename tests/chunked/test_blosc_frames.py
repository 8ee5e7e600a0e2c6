"""Frames that are made together are those that are made one by one."""

from __future__ import annotations

import numcodecs.blosc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.chunked.codec import Encoding
from asynctensor.chunked.compression import blosc as module
from asynctensor.chunked.compression.blosc import CNAMES, BloscCodec
from asynctensor.chunked.compression.blosc_frames import Form

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
