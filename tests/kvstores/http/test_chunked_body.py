"""Bodies in chunks: read whole however they come, and nothing else is taken for one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asynctensor.errors import ResourceExhausted
from asynctensor.kvstores._http.chunked_body import ChunkedBody, NotChunked


def chunked(pieces: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])


def fed(body: ChunkedBody, data: bytes, cuts: list[int]) -> bool:
    """Feeds data in the pieces between cuts; whether it was all at the last one."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    complete = False
    for start, stop in itertools.pairwise(places):
        assert not complete
        complete = body.feed(data[start:stop])
    return complete


PIECES = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
CUTS = st.lists(st.integers(0, 1000), max_size=12)


@given(PIECES, CUTS)
@settings(deadline=None)
def test_bodies_come_in_any_pieces(pieces: list[bytes], cuts: list[int]) -> None:
    body = ChunkedBody(1000)
    assert fed(body, chunked(pieces), cuts)
    assert body.data == b"".join(pieces)
    assert body.follows == 0


def test_what_follows_is_noticed() -> None:
    body = ChunkedBody(10)
    assert not body.feed(b"00A\r\n0123456")
    assert body.feed(b"789\r\n0\r\n\r\nHTTP/1.1")
    assert (body.data, body.follows) == (b"0123456789", 8)


@pytest.mark.parametrize("size", [b"b", b"ffffffff"])
def test_no_body_is_longer_than_it_may_be(size: bytes) -> None:
    body = ChunkedBody(10)
    with pytest.raises(ResourceExhausted, match="more bytes than the 10 expected"):
        body.feed(size + b"\r\n")
    body = ChunkedBody(10)
    body.feed(b"6\r\n012345\r\n")
    with pytest.raises(ResourceExhausted):
        body.feed(b"5\r\n")


@pytest.mark.parametrize(
    "data",
    [
        b"body",
        b"\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"1 \r\n",
        b"1;name=value\r\n",
        b"1_0\r\n",
        b"1\n",
        b"\xef\xbc\x91\r\n",
        b"000000001\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n\n",
        b"0\r\nTrailer: x\r\n\r\n",
    ],
)
def test_what_breaks_the_grammar_is_none(data: bytes) -> None:
    with pytest.raises(NotChunked):
        ChunkedBody(100).feed(data)


@given(PIECES, st.integers(0, 200), st.binary(max_size=3), st.integers(0, 3), CUTS)
@example([b"abc"], 0, b"", 1, [])
@settings(max_examples=300, deadline=None)
def test_bodies_that_were_tampered_with_are_read_rightly_or_not_at_all(
    pieces: list[bytes], at: int, put: bytes, cut: int, cuts: list[int]
) -> None:
    good = chunked(pieces)
    at %= len(good)
    bad = good[:at] + put + good[at + cut :]
    body = ChunkedBody(1000)
    try:
        complete = body.feed(bad)
    except (NotChunked, ResourceExhausted):
        # However it comes.
        with pytest.raises((NotChunked, ResourceExhausted)):
            fed(ChunkedBody(1000), bad, cuts)
        return
    if complete:
        # It says how long it is, and where it ends.
        whole = bad[: len(bad) - body.follows]
        assert whole.endswith(b"0\r\n\r\n")
        assert len(whole) >= len(body.data) + 5
