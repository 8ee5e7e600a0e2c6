"""Which key space a key lies in: of many keys as of each."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from asynctensor.kvstores.repo.located import by_family, family_of, of_one_family

numbers = st.integers(0, 12).map(str) | st.sampled_from(["007", "x", "9" * 18, "1" + "0" * 18, ""])
paths = st.lists(numbers | st.sampled_from(["a", "c", "a.b"]), min_size=1, max_size=4)
spelled = st.tuples(paths, st.sampled_from("/.")).map(lambda pair: pair[1].join(pair[0]))


@given(st.lists(st.tuples(st.sampled_from(["", "a/", "a/c/", "7/"]), spelled).map("".join)))
@example(["a/1", "a/1/2", "a/1.2"])
@example(["a/1", "a/" + "1" + "0" * 18])
@example(["a/1/2.3", "a/1/2.03"])
@example(["a/1", "b/1", "c/1", "d/1", "e/1", "f/1", "zarr.json"])
def test_many_keys_are_sorted_as_each_by_itself(keys: list[str]) -> None:
    keys = list(dict.fromkeys(keys))
    documents, families = by_family(keys)
    assert sorted(documents) == sorted(key for key in keys if family_of(key) is None)
    assert len({family for family, _, _ in families}) == len(families)
    found = {}
    for family, mine, parsed in families:
        assert len(mine) == len(parsed)
        for key, inside in zip(mine, parsed, strict=True):
            found[key] = family
            assert family.parse(key) == bytes(inside).ljust(family.width, b"\0")
    assert found == {key: family_of(key) for key in keys if family_of(key) is not None}


@given(
    st.lists(
        st.tuples(st.sampled_from(["", "a/", "a/c/", "7/"]), spelled).map("".join)
        | st.tuples(st.sampled_from(["a/c/", "a/c/1/", "a/1."]), numbers).map("".join)
    )
)
@example(["a/c/1/2", "a/c/1/3", "a/c/2/3"])
@example(["a/c/1/2", "a/c/1/03"])
@example(["a/c/1/2", "a/c/1/x"])
@example(["1", "2"])
@example(["a/1.2", "a/1.3", "a/1/3"])
def test_keys_of_one_family_are_known(keys: list[str]) -> None:
    families = {family_of(key) for key in keys}
    found = of_one_family(keys)
    if len(families) != 1 or families == {None}:
        assert found is None
        return
    assert found is not None
    family, inside = found
    assert families == {family}
    assert inside == [family.parse(key) for key in keys]
