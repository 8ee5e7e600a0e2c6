"""Chunk keys as coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.errors import DataLoss, InvalidArgument
from asynctensor.kvstores.repo.family import Family, candidates, coordinates, overlaps
from asynctensor.storage.key_range import KeyRange

PREFIXES = st.sampled_from(["", "a/", "a/c/", "a/0/", "a/c/1/", "a/c.", "a/1.", "x", "a/00/", "é/"])
FAMILIES = st.builds(Family.of, PREFIXES, st.sampled_from("/."), st.integers(1, 3))
NUMBERS = st.one_of(st.integers(0, 12), st.integers(0, 2**63 - 1))


@st.composite
def _keys(draw: st.DrawFn) -> tuple[Family, list[str]]:
    family = draw(FAMILIES)
    positions = draw(st.lists(st.tuples(*[NUMBERS] * family.rank), max_size=5))
    return family, [family.prefix + family.separator.join(map(str, each)) for each in positions]


@settings(deadline=None, max_examples=50)
@given(_keys())
def test_a_key_and_its_coordinates_give_each_other(case) -> None:
    family, keys = case
    many = family.parse_many(keys)
    assert family.spell_many(many) == keys
    for key, packed in zip(keys, many.tolist(), strict=True):
        assert family.parse(key) == packed.ljust(family.width, b"\0")
        assert family.spell(family.parse(key)) == key
    assert coordinates(many, family.rank).shape == (len(keys), family.rank)


def test_positions_compare_as_their_keys_do() -> None:
    family = Family.of("c/", "/", 2)
    keys = family.parse_many(["c/10/0", "c/2/0", "c/2/300", "c/2/256", "c/0/0"])
    assert family.spell_many(np.sort(keys)) == ["c/0/0", "c/2/0", "c/2/256", "c/2/300", "c/10/0"]


@pytest.mark.parametrize(
    "key",
    [
        "a/c/",
        "a/c/1",
        "a/c/1/2/3",
        "a/c/01/2",
        "a/c/1/",
        "a/c/-1/2",
        "a/c/+1/2",
        "a/c/1_0/2",
        "a/c/ 1/2",
        "a/c/1/2\n",
        "a/c/\u0661/2",
        "a/c/1/9223372036854775808",
        "a/c/1.2",
        "b/c/1/2",
        "",
        "a",
        "a/c/00/0",
        "a/c/0/00000000000000000001",
        "a/c/²/1",
    ],
)
def test_what_is_no_key_of_the_family_is_refused(key) -> None:
    family = Family.of("a/c/", "/", 2)
    assert family.parse(key) is None
    for keys in ([key], ["a/c/1/2", key], [key, "a/c/1/2"]):
        with pytest.raises(InvalidArgument, match="no chunk key"):
            family.parse_many(keys)


@settings(deadline=None, max_examples=50)
@given(_keys(), FAMILIES)
def test_candidates_are_the_families_that_have_the_key(case, other) -> None:
    family, keys = case
    for key in keys:
        found = list(candidates(key))
        assert family in found
        assert (other in found) == (other.parse(key) is not None)
        assert [each.rank for each in found] == list(range(1, len(found) + 1))
        assert all(each.parse(key) is not None for each in found)


@pytest.mark.parametrize(
    "key", ["a", "", "a/x", "a/01", "a/9223372036854775808", "a/1/", "zarr.json"]
)
def test_other_keys_have_no_candidates(key) -> None:
    assert list(candidates(key)) == []


@settings(deadline=None, max_examples=50)
@given(FAMILIES, FAMILIES, st.lists(NUMBERS, min_size=3, max_size=3))
def test_families_that_share_a_key_overlap(one, other, numbers) -> None:
    assert overlaps(one, other) == overlaps(other, one)
    key = one.prefix + one.separator.join(map(str, numbers[: one.rank]))
    if other.parse(key) is not None:
        assert overlaps(one, other)


@settings(deadline=None, max_examples=50)
@given(FAMILIES, FAMILIES)
def test_families_that_overlap_share_a_key(one, other) -> None:
    if not overlaps(one, other):
        return
    if one.rank < other.rank:
        one, other = other, one
    spelled = other.prefix + other.separator.join("7" * other.rank)
    assert one.parse(spelled) is not None


@settings(deadline=None, max_examples=50)
@given(_keys())
def test_the_range_around_two_keys_holds_what_lies_between(case) -> None:
    family, keys = case
    packed = sorted(filter(None, map(family.parse, keys)))
    if packed:
        around = family.around(packed[0], packed[-1])
        assert all(family.spell(each) in around for each in packed)


@settings(deadline=None, max_examples=200)
@given(
    _keys(),
    st.sampled_from(["", "a", "a/", "a/c/", "a/c/1", "a/c/1/", "a/c/1/2/", "a/0/7", "a/x", "b"]),
    st.sampled_from([None, "", "a/c/1/", "a/c/10", "a/c0", "a/c/1/3", "a/1"]),
)
def test_the_extent_of_a_range_holds_its_keys(case, low, high) -> None:
    family, keys = case
    bounds = KeyRange.prefix(low) if high is None else KeyRange(low, high)
    first, last = family.extent(bounds)
    for key in keys:
        assert key not in bounds or first <= family.parse(key) <= last


def test_the_extent_of_a_slab_is_the_slab() -> None:
    family = Family.of("a/c/", "/", 2)
    first, last = family.extent(KeyRange.prefix("a/c/17/"))
    assert first == family.parse("a/c/17/0")
    assert family.parse("a/c/16/9") < first < family.parse("a/c/17/99") < last
    assert last < family.parse("a/c/18/0")


@settings(deadline=None, max_examples=50)
@given(FAMILIES)
def test_the_key_in_the_catalog_gives_the_family_back(family) -> None:
    assert Family.from_key(family.key) == family
    assert len(family.id) == 8


@pytest.mark.parametrize(
    "key",
    ["", "a", "a\0", "a\0/", "a\0/0", "a\0/65", "a\0-2", "a\0.1", "a1\0/2", "a\0/2\n", "a\0/02"],
)
def test_what_is_no_key_in_the_catalog_is_refused(key) -> None:
    with pytest.raises(DataLoss, match="describes no chunk keys"):
        Family.from_key(key)


@pytest.mark.parametrize(
    ("prefix", "separator", "rank"),
    [("a", "/", 0), ("a", "/", 65), ("a", "-", 2), ("a1", "/", 2), ("\ud800", "/", 2)],
)
def test_what_is_no_family_is_refused(prefix, separator, rank) -> None:
    with pytest.raises(InvalidArgument, match=r"no family|no prefix"):
        Family.of(prefix, separator, rank)


def test_a_single_number_has_no_separator() -> None:
    assert Family.of("a/", ".", 1) == Family.of("a/", "/", 1)


def test_a_key_of_another_length_is_not_spelled() -> None:
    with pytest.raises(InvalidArgument, match="has 16 bytes, not 8"):
        Family.of("a/", "/", 2).spell(bytes(8))
