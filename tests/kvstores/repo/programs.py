"""What the tests of the repository's format share: random runs, and damage done to bytes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import google_crc32c
import pytest
from hypothesis import strategies as st

from asynctensor.errors import DataLoss, Unimplemented
from asynctensor.kvstores.repo import frame, objects
from asynctensor.kvstores.repo.family import DOCUMENTS, Family
from asynctensor.kvstores.repo.run import Ref, Run

FAMILY = Family.of("a/c/", "/", 2)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VERSIONS = st.tuples(st.integers(0, 2**62), st.integers(0, 2**16 - 1))
NAMES = st.one_of(
    st.builds(
        objects.data_pack,
        st.binary(min_size=16, max_size=16),
        st.integers(0, 10**9 - 1),
        st.integers(0, 99_999_999),
        st.binary(min_size=6, max_size=6),
    ),
    st.builds(objects.page_pack, st.binary(min_size=8, max_size=8)),
    TEXT.map("x/{}".format),
)
SIZES = st.one_of(st.just(4096), st.integers(0, 2**63 - 1))
REFS = st.one_of(
    st.builds(Ref, NAMES, SIZES, SIZES, st.integers(0, 2**32 - 1), st.none(), VERSIONS),
    st.builds(Ref.of_inline, st.binary(max_size=9), VERSIONS),
)
POSITIONS = st.tuples(*[st.one_of(st.integers(0, 3), st.integers(0, 2**63 - 1))] * 2)
FAMILY_KEYS = POSITIONS.map(lambda each: b"".join(number.to_bytes(8, "big") for number in each))
STRING_KEYS = TEXT.map(str.encode)


def runs(space: bytes | None = None, max_size: int = 12) -> st.SearchStrategy[Run]:
    """Runs of `space`, or of either kind of space."""
    spaces = st.sampled_from([DOCUMENTS, FAMILY.id]) if space is None else st.just(space)
    return spaces.flatmap(
        lambda each: st.dictionaries(
            FAMILY_KEYS if each else STRING_KEYS, st.none() | REFS, max_size=max_size
        ).map(lambda items: Run.of(each, items.items()))
    )


def refuses_damage(data: bytes, decode: Callable[[bytes], object], flips: int = 400) -> None:
    """Every truncation, and flips of single bytes, give a typed error.

    Damage that the checksum cannot see, because it is made to fit, gives a typed error or a value.
    """
    step = max(1, len(data) // flips)
    for end in range(0, len(data), step):
        _typed(decode, data[:end], must_fail=True)
        _typed(decode, _resealed(data[: end + 4]), must_fail=False)
    for at in range(0, len(data), step):
        for mask in (0x01, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[at] ^= mask
            _typed(decode, bytes(damaged), must_fail=True)
            _typed(decode, _resealed(bytes(damaged)), must_fail=False)


def _resealed(data: bytes) -> bytes:
    body = data[:-4]
    return body + google_crc32c.value(body).to_bytes(4, "little")


def _typed(decode: Callable[[bytes], object], data: bytes, *, must_fail: bool) -> None:
    if must_fail:
        with pytest.raises((DataLoss, Unimplemented), match="some/object"):
            decode(data)
        return
    # An error of any other kind passes through.
    with suppress(DataLoss, Unimplemented):
        decode(data)


def as_body(kind: frame.Kind, payload: list[object]) -> bytes:
    """A body that says `payload`, whether it makes sense or not."""
    return frame.encode(kind, payload)
