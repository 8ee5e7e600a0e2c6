"""Virtual arrays of both libraries, over the same random domains, grids and views."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor
from asynctensor.errors import Error

LIBRARIES = (asynctensor, tensorstore)


class Backed:
    """A virtual array over a NumPy array, which records what is asked of it."""

    def __init__(self, library: Any, origin: Any, shape: Any, layout: Any) -> None:
        self.data = np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)
        self.origin, self.calls = origin, []
        self.library = library
        domain = library.IndexDomain(inclusive_min=origin, shape=shape)
        self.array = library.virtual_chunked(
            self.read,
            self.write,
            dtype=library.int32,
            domain=domain,
            chunk_layout=library.ChunkLayout(**layout),
        )

    def part(self, domain: Any) -> np.ndarray:
        bounds = zip(domain.inclusive_min, domain.exclusive_max, self.origin, strict=True)
        return self.data[tuple(slice(low - start, high - start) for low, high, start in bounds)]

    def read(self, domain: Any, chunk: np.ndarray, parameters: Any) -> None:
        self.calls.append(("read", *self.described(domain, chunk)))
        chunk[...] = self.part(domain)

    def write(self, domain: Any, chunk: np.ndarray, parameters: Any) -> None:
        self.calls.append(("write", *self.described(domain, chunk)))
        self.part(domain)[...] = chunk

    def described(self, domain: Any, chunk: np.ndarray) -> tuple[Any, ...]:
        assert domain.shape == chunk.shape
        sides = tuple(domain.inclusive_min), tuple(domain.exclusive_max)
        # The stride of a dimension of size 1 means nothing.
        steps = sorted((-n, d) for d, n in enumerate(chunk.strides) if chunk.shape[d] > 1)
        return (*sides, chunk.flags.writeable, tuple(d for _, d in steps))


def alike(ours: list[Any], theirs: list[Any], known: set[Any]) -> set[Any]:
    """Checks that both ask the same, and gives the chunks that TensorStore has just seen.

    Of those it may have `known` still, within one tick of its clock, and need not read them.
    """
    assert not Counter(theirs) - Counter(ours)
    missing = Counter(ours) - Counter(theirs)
    assert all(kind == "read" and (low, high) in known for kind, low, high, *_ in missing)
    return known | chunks_of(theirs)


def chunks_of(calls: list[Any]) -> set[Any]:
    """The chunks that some calls are about."""
    return {call[1:3] for call in calls}


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any], int]:
    rank = draw(st.integers(1, 3))
    sides = st.tuples(*[st.integers(1, 7)] * rank)
    layout: dict[str, Any] = {}
    if draw(st.booleans()):
        layout["read_chunk_shape"] = draw(sides)
    if draw(st.booleans()):
        layout["grid_origin"] = draw(st.tuples(*[st.integers(-9, 9)] * rank))
    if draw(st.booleans()):
        layout["inner_order"] = tuple(draw(st.permutations(range(rank))))
    origin = draw(st.tuples(*[st.integers(-9, 9)] * rank))
    return origin, draw(sides), layout, draw(st.integers(0, 2**32))


def view_of(store: Any, seed: int) -> Any:
    """The same random view of an array of either library."""
    chance = np.random.default_rng(seed)
    for _ in range(chance.integers(0, 3)):
        dim = int(chance.integers(store.rank)) if store.rank else 0
        if not store.rank or 0 in store.shape:
            break
        low, high = store.domain[dim].inclusive_min, store.domain[dim].exclusive_max
        key: list[Any] = [slice(None)] * store.rank
        kind = chance.integers(4)
        if kind == 0:
            key[dim] = int(chance.integers(low, high))
        elif kind == 1:
            ends = sorted(int(n) for n in chance.integers(low, high + 1, 2))
            key[dim] = slice(*ends, int(chance.integers(1, 4)))
        elif kind == 2:
            key[dim] = slice(None, None, -int(chance.integers(1, 3)))
        else:
            points = [int(n) for n in chance.integers(low, high, chance.integers(1, 5))]
            store = store.oindex[(*key[:dim], points)]
            continue
        store = store[tuple(key)]
    return store


@settings(max_examples=25, deadline=None)
@given(cases())
def test_same_values_same_calls(case) -> None:
    origin, shape, layout, seed = case
    ours, theirs = (Backed(library, origin, shape, layout) for library in LIBRARIES)
    assert ours.array.schema.to_json() == theirs.array.schema.to_json()
    known: set[Any] = set()
    for step in range(2):
        mine, peer = (view_of(each.array, seed + step) for each in (ours, theirs))
        assert mine.shape == peer.shape
        assert (mine.read().result() == peer.read().result()).all()
        if 0 in mine.shape:
            assert ours.calls == []  # TensorStore asks for a chunk even so
            known |= chunks_of(theirs.calls)
            theirs.calls.clear()
            continue
        known = alike(ours.calls, theirs.calls, known)
        values = np.random.default_rng(seed + step).integers(-99, 0, mine.shape, dtype=np.int32)
        for each, view in ((ours, mine), (theirs, peer)):
            each.calls.clear()
            view.write(values).result()
        assert (ours.data == theirs.data).all()
        # TensorStore reads again what it changes, once per part of an index array.
        known = alike(sorted(set(ours.calls)), sorted(set(theirs.calls)), known)
        ours.calls.clear()
        theirs.calls.clear()


def refused(library: Any, **arguments: Any) -> type[Exception]:
    def read(domain: Any, chunk: np.ndarray, parameters: Any) -> None:
        chunk[...] = 0

    with pytest.raises(Exception) as caught:
        made = library.virtual_chunked(*arguments.pop("functions", (read,)), **arguments)
        made.read().result()
    if library is asynctensor:
        assert isinstance(caught.value, Error)
    return caught.type


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"dtype": "int32"},
        {"rank": 2},
        {"functions": (), "dtype": "int32", "rank": 1},
        {"dtype": "int32", "rank": 1},
        {"dtype": "int32", "rank": 33},
        {"dtype": "int32", "rank": 1, "shape": [2, 3]},
        {"dtype": "int32", "shape": [2], "dimension_units": ["nm", "nm"]},
        {"dtype": "nothing", "shape": [2]},
        {"dtype": "int32", "shape": [-2]},
    ],
)
def test_refused_by_both(arguments) -> None:
    ours, theirs = (refused(library, **arguments) for library in LIBRARIES)
    assert issubclass(ours, theirs)


def test_schema_with_a_fill_value() -> None:
    for library in LIBRARIES:
        schema = library.Schema(shape=[2], dtype=library.int32, fill_value=3)
        with pytest.raises(ValueError, match="fill_value not supported"):
            library.virtual_chunked(lambda *_: None, schema=schema)


def test_schema_with_a_codec() -> None:
    for library in LIBRARIES:
        codec = library.CodecSpec({"driver": "zarr"})
        schema = library.Schema(shape=[2], dtype=library.int32, codec=codec)
        made = library.virtual_chunked(lambda *_: None, schema=schema)
        assert made.codec is None


LAYOUTS = [
    {"read_chunk": {"elements": 100}},
    {"write_chunk": {"elements": 500}},
    {"chunk": {"elements": 500, "aspect_ratio": [1, 4]}},
    {"chunk": {"shape": [-1, 4]}},
    {"read_chunk": {"shape": [4, 5]}, "write_chunk": {"shape_soft_constraint": [8, 8]}},
    {"grid_origin_soft_constraint": [3, -200], "chunk": {"shape": [10, 7]}},
    {"inner_order": [1, 0]},
]
DOMAINS = [
    {"shape": [2000, 20000]},
    {"inclusive_min": [-7, 3], "shape": [20, 30]},
    {"inclusive_min": [2, -(2**62 - 1)], "exclusive_max": [5, 5]},
    {"inclusive_min": [-5, 0], "exclusive_max": [40, 2**62]},
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("domain", DOMAINS)
def test_same_grid(layout, domain) -> None:
    found = []
    for library in LIBRARIES:
        made = library.virtual_chunked(
            lambda *_: None,
            dtype=library.uint8,
            domain=library.IndexDomain(**domain),
            chunk_layout=library.ChunkLayout(layout),
        )
        found.append((made.chunk_layout.to_json(), made.domain.to_json()))
    assert found[0] == found[1]


def test_chunk_as_large_as_an_infinite_domain() -> None:
    for library in LIBRARIES:
        layout = library.ChunkLayout({"chunk": {"shape": [-1]}})
        with pytest.raises(ValueError, match="unbounded domain"):
            library.virtual_chunked(lambda *_: None, dtype="uint8", chunk_layout=layout)


@pytest.mark.parametrize("start", [0, 1000, -1000, 2**61, -(2**61), 2**62 - 10, 20 - 2**62])
def test_infinite_domain(start: int) -> None:
    # Three elements further down TensorStore 0.1.86 ends the process.
    found = []
    for library in LIBRARIES:
        domains: list[tuple[int, int]] = []

        def read(domain: Any, chunk: np.ndarray, parameters: Any, seen=domains) -> None:
            low, high = domain[0].inclusive_min, domain[0].exclusive_max
            seen.append((low, high))
            chunk[...] = np.arange(low, high)

        array = library.virtual_chunked(
            read,
            rank=1,
            dtype=library.int64,
            chunk_layout=library.ChunkLayout(read_chunk_shape=[4]),
        )
        data = array[start : start + 7].read().result()
        points = array[[start + 5, start, start + 5]].read().result()
        found.append((data.tolist(), points.tolist(), sorted(domains)))
    assert found[0] == found[1]
