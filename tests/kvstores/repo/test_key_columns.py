"""Where a key stands in a column."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asynctensor.kvstores.repo.family import keys_of
from asynctensor.kvstores.repo.key_columns import at, position

#: Some whose keys end in NULs.
COORDINATES = st.sampled_from((0, 1, 2, 255, 256, 257, 65536, 2**40))
CELLS = st.lists(st.tuples(COORDINATES, COORDINATES), max_size=20, unique=True).map(sorted)


@given(CELLS, st.tuples(COORDINATES, COORDINATES), st.integers(0, 16), st.binary(max_size=3))
def test_positions_are_those_in_a_list(
    cells: list[tuple[int, int]], cell: tuple[int, int], cut: int, more: bytes
) -> None:
    keys = keys_of(np.array(cells, np.uint64).reshape(-1, 2))
    listed = [at(keys, k) for k in range(len(keys))]
    assert listed == [b"".join(n.to_bytes(8, "big") for n in each) for each in cells]
    key = b"".join(n.to_bytes(8, "big") for n in cell)
    assert position(keys, key) == bisect_left(listed, key)
    # A longer key stands behind the one that it begins with, and a shorter one, as a bound of a
    # range is, before those that begin with it.
    assert position(keys, key + b"a" + more) == bisect_left(listed, key + b"a" + more)
    assert position(keys, key + b"\0") == bisect_left(listed, key + b"\0")
    assert position(keys, key[:cut]) == bisect_left(listed, key[:cut])
