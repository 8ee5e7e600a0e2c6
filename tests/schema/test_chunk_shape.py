"""Chunk shapes against those of the arrays that TensorStore creates."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest
import tensorstore as ts
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from asynctensor.errors import InvalidArgument
from asynctensor.index_space.dim import Dim
from asynctensor.index_space.domain import IndexDomain
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.chunk_shape import (
    choose_chunk_shape,
    choose_chunk_shapes,
    nearest_divisor,
    nearest_multiple,
)


@st.composite
def layouts(draw: st.DrawFn, *, shards: bool = True) -> tuple[list[int], dict[str, Any]]:
    """A shape, and keywords of a layout of its rank."""
    rank = draw(st.integers(1, 4))
    size = st.one_of(st.none(), st.just(-1), st.integers(1, 200))
    # Of other ratios TensorStore's search stops one step short now and then.
    ratio = st.sampled_from([None, 1])
    values = {
        "shape": st.lists(size, min_size=rank, max_size=rank),
        "aspect_ratio": st.lists(ratio, min_size=rank, max_size=rank),
        "elements": st.one_of(st.integers(0, 50), st.integers(1, 10**6)),
    }
    options = {
        f"{prefix}chunk_{kind}{soft}": value
        for prefix in (("", "read_", "write_") if shards else ("",))
        for kind, value in values.items()
        for soft in ("", "_soft_constraint")
    }
    extent = st.one_of(st.integers(0, 50), st.integers(1, 3000))
    shape = draw(st.lists(extent, min_size=rank, max_size=rank))
    return shape, draw(st.fixed_dictionaries({}, optional=options))


def created(driver: str, shape: list[int], options: dict) -> Any:
    """Write and read chunk shapes of what TensorStore creates, or its error."""
    try:
        store = ts.open(
            {"driver": driver, "kvstore": {"driver": "memory"}},
            create=True,
            dtype=ts.uint8,
            shape=shape,
            chunk_layout=ts.ChunkLayout(**options),
        ).result()
    except ValueError as error:
        # A limit of its index of shards, which is not about choosing.
        assume("more than 1073741824 entries" not in str(error))
        return "refused"
    return store.chunk_layout.write_chunk.shape, store.chunk_layout.read_chunk.shape


@given(layouts())
@settings(max_examples=150, deadline=None)
def test_shapes_are_those_that_tensorstore_chooses(layout: tuple) -> None:
    shape, options = layout
    try:
        mine: Any = choose_chunk_shapes(ChunkLayout(**options), IndexDomain(shape=shape))
    except InvalidArgument:
        mine = "refused"
    assert mine == created("zarr3", shape, options)


@given(layouts(shards=False))
@settings(max_examples=50, deadline=None)
def test_a_format_without_shards_chooses_one_shape(layout: tuple) -> None:
    shape, options = layout
    try:
        one = choose_chunk_shape(ChunkLayout(**options), IndexDomain(shape=shape))
        mine: Any = (one, one)
    except InvalidArgument:
        mine = "refused"
    assert mine == created("zarr", shape, options)


@given(layouts())
@settings(deadline=None)
def test_write_chunks_are_multiples_and_sizes_positive(layout: tuple) -> None:
    shape, options = layout
    options = {name.replace("_soft_constraint", ""): value for name, value in options.items()}
    try:
        write, read = choose_chunk_shapes(ChunkLayout(**options), IndexDomain(shape=shape))
    except InvalidArgument:
        return
    assert all(w % r == 0 for w, r in zip(write, read, strict=True))
    assert min(read) > 0
    if not options:
        assert prod(write) <= 2**20


def test_what_cannot_be_chosen_is_refused() -> None:
    unbounded = IndexDomain([Dim(10), Dim()])
    assert choose_chunk_shapes(ChunkLayout(), unbounded) == ((10, 104857),) * 2
    with pytest.raises(InvalidArgument, match="dimension 1 to unbounded"):
        choose_chunk_shapes(ChunkLayout(chunk_shape=[-1, -1]), unbounded)
    with pytest.raises(InvalidArgument, match="dimension 0: read size of 4, write size of 6"):
        choose_chunk_shapes(
            ChunkLayout(write_chunk_shape=[6], read_chunk_shape=[4]), IndexDomain(shape=[9])
        )
    with pytest.raises(InvalidArgument, match=r"Rank of constraints \(3\)"):
        choose_chunk_shape(ChunkLayout(rank=3), unbounded)
    assert choose_chunk_shapes(ChunkLayout(), IndexDomain(rank=0)) == ((), ())


@given(st.integers(1, 500), st.integers(1, 700))
@settings(deadline=None)
def test_nearest_is_nearest(number: int, near: int) -> None:
    divisors = [each for each in range(1, number + 1) if number % each == 0]
    assert nearest_divisor(number, near) == min(divisors, key=lambda d: (abs(d - near), d))
    multiples = range(number, 1300, number)
    assert nearest_multiple(number, near) == min(multiples, key=lambda m: (abs(m - near), m))
