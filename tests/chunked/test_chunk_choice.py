"""The choice of chunk shapes, with tensorstore as the oracle."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest
import tensorstore as ts
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.chunked.chunk_choice import choose_chunk_shape, choose_read_and_write_shapes
from asynctensor.errors import InvalidArgument
from asynctensor.schema.chunk_layout import ChunkLayout

GRIDS: list[dict[str, Any]] = [
    {"chunk": {"elements": 1000, "aspect_ratio": [1, 2, 3]}},
    {"chunk": {"elements": 10000, "aspect_ratio": [1, 2, 0.01]}},
    {"chunk": {"shape": [10, -1, 0], "elements": 1000}},
    {"chunk": {"shape_soft_constraint": [10, 20, 0], "elements": 1000}},
    {"chunk": {"elements": 0}},
    {"read_chunk": {"shape": [10, 20, 30]}},
    {"read_chunk": {"shape": [10, 20, 0]}},
    {"read_chunk": {"elements": 1000}, "write_chunk": {"elements": 500}},
    {"write_chunk": {"shape": [10, 0, 30]}},
    {"read_chunk": {"shape": [7, 0, 0]}, "write_chunk": {"shape": [0, 60, 0]}},
    {"read_chunk": {"elements": 50}, "write_chunk": {"shape": [60, 97, 12]}},
    {"read_chunk": {"shape_soft_constraint": [7, 7, 7]}, "write_chunk": {"shape": [60, 60, 60]}},
    {"read_chunk": {"shape": [7, 7, 7]}, "write_chunk": {"shape_soft_constraint": [60, 60, 60]}},
    {"read_chunk": {"shape": [7, 7, 7]}, "write_chunk": {"shape": [60, 60, 60]}},
]


def theirs(extents: list[int], layout: dict[str, Any]) -> Any:
    schema = {"chunk_layout": layout, "domain": {"shape": extents}, "dtype": "uint8"}
    spec = {"driver": "zarr3", "kvstore": "memory://", "schema": schema}
    try:
        found = ts.open(spec, create=True).result().chunk_layout
    except ValueError:
        return None
    return found.read_chunk.shape, found.write_chunk.shape


def ours(extents: list[int], layout: dict[str, Any]) -> Any:
    state = ChunkLayout({**layout, "rank": len(extents)}).state
    try:
        return choose_read_and_write_shapes(state.read, state.write, extents)
    except InvalidArgument:
        return None


@pytest.mark.parametrize("extents", [[1000, 1000, 1000], [5, 1000, 3]])
@pytest.mark.parametrize("layout", GRIDS)
def test_chooses_what_tensorstore_chooses(extents: list[int], layout: dict[str, Any]) -> None:
    assert ours(extents, layout) == theirs(extents, layout)


sizes = st.lists(st.integers(0, 40), min_size=2, max_size=2)
grids = st.fixed_dictionaries(
    {},
    optional={
        "shape": sizes,
        "shape_soft_constraint": sizes,
        "elements": st.integers(0, 2000),
        "aspect_ratio": st.lists(st.sampled_from([0, 0.5, 1, 2, 10]), min_size=2, max_size=2),
    },
)


@settings(max_examples=60, deadline=None)
@given(
    extents=st.lists(st.integers(0, 300), min_size=2, max_size=2),
    layout=st.fixed_dictionaries({}, optional={"read_chunk": grids, "write_chunk": grids}),
)
def test_any_choice_divides_and_keeps_what_is_required(
    extents: list[int], layout: dict[str, Any]
) -> None:
    chosen = ours(extents, layout)
    if chosen is None:
        return
    for shape, usage in zip(chosen, ("read_chunk", "write_chunk"), strict=True):
        assert all(size >= 1 for size in shape)
        for size, required in zip(shape, layout.get(usage, {}).get("shape", []), strict=False):
            assert required in (0, size)
    assert all(w % r == 0 for r, w in zip(*chosen, strict=True))


@pytest.mark.parametrize("extents", [[2**50, 2**40], [2**62 - 2] * 8, [0, 7], []])
def test_a_default_chunk_is_about_a_million_elements_whatever_the_array(extents: list[int]) -> None:
    grid = ChunkLayout(rank=len(extents)).state.write
    shape = choose_chunk_shape(grid, extents)
    assert prod(shape) <= 2**20
    if prod(extents) > 2**20:
        assert prod(shape) > 2**15
