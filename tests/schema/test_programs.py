"""Programs of merges and updates of schemas, layouts and codecs, against TensorStore's."""

from __future__ import annotations

from typing import Any

import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts

SIZES = st.sampled_from([None, -1, 0, 1, 2, 5])
RANKS = st.integers(0, 3)


def vector(items: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(items, min_size=1, max_size=3)


GRID = st.fixed_dictionaries(
    {},
    optional={
        "shape": vector(SIZES),
        "shape_soft_constraint": vector(SIZES),
        "aspect_ratio": vector(st.sampled_from([None, 1, 2.5])),
        "aspect_ratio_soft_constraint": vector(st.sampled_from([None, 1, 2])),
        "elements": st.sampled_from([None, 1, 100]),
        "elements_soft_constraint": st.sampled_from([1, 7]),
    },
)
LAYOUT = st.fixed_dictionaries(
    {},
    optional={
        "rank": RANKS,
        "inner_order": st.permutations([0, 1]) | st.permutations([0, 1, 2]),
        "inner_order_soft_constraint": st.permutations([0, 1]),
        "grid_origin": vector(st.sampled_from([None, 0, 3])),
        "grid_origin_soft_constraint": vector(st.sampled_from([None, 0, -2])),
        "chunk": GRID,
        "write_chunk": GRID,
        "read_chunk": GRID,
        "codec_chunk": GRID,
    },
)
GZIP = [{"name": "bytes"}, {"name": "gzip", "configuration": {"level": 3}}]
N5_GZIP = {"type": "gzip", "level": 3, "useZlib": False}
#: Spelled out, and each chain as a whole: only the formats know more than that.
CODEC = st.sampled_from(
    [
        {"driver": "zarr3"},
        {"driver": "zarr3", "codecs": GZIP},
        {"driver": "zarr", "compressor": None, "filters": None},
        {"driver": "zarr", "compressor": {"id": "zlib", "level": 2}, "filters": None},
        {"driver": "n5", "compression": N5_GZIP},
        {"driver": "n5", "compression": {**N5_GZIP, "level": 4}},
        {"driver": "n5"},
    ]
)
DOMAIN = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.sampled_from([["x", "y"], ["x", ""], ["y", "x"], ["", ""]]),
        "inclusive_min": st.sampled_from([[0, 0], [1, 0], [["-inf"], 0]]),
        "exclusive_max": st.sampled_from([[4, 6], [[4], 6], [["+inf"], 6]]),
    },
).filter(bool)
SCHEMA = st.fixed_dictionaries(
    {},
    optional={
        "rank": RANKS,
        "dtype": st.sampled_from(["uint8", "float32", "int64"]),
        "domain": DOMAIN,
        "chunk_layout": LAYOUT,
        "codec": CODEC,
        "fill_value": st.sampled_from([1, 2.5, [1, 2], [[1], [2]], None]),
        "dimension_units": vector(st.sampled_from([None, "4nm", "", [2, "s"]])),
    },
)


def after(library: Any, programs: list[dict[str, Any]], member: str | None = None) -> list[Any]:
    """The JSON after each step, and "error" where one is refused, which ends it."""
    made = library.Schema()
    found: list[Any] = []
    kinds = {"chunk_layout": library.ChunkLayout, "codec": library.CodecSpec}
    for json in programs:
        try:
            if member is None:
                made.update(schema=library.Schema(json))
            else:
                made.update(**{member: kinds[member](json)})
            found.append((made.to_json(), made.rank))
        except ValueError:
            return [*found, "error"]
    return found


@settings(max_examples=120, deadline=None)
@given(st.lists(LAYOUT, min_size=1, max_size=4))
def test_layouts(programs: list[dict[str, Any]]) -> None:
    # TensorStore does not look at a layout of rank 0 that comes after another one.
    programs = [each for each in programs if each.get("rank") != 0]
    ours = after(ts, programs, "chunk_layout")
    assert ours == after(tensorstore, programs, "chunk_layout")


@settings(deadline=None)
@given(st.lists(CODEC, min_size=1, max_size=4))
def test_codecs(programs: list[dict[str, Any]]) -> None:
    assert after(ts, programs, "codec") == after(tensorstore, programs, "codec")


@settings(max_examples=120, deadline=None)
@given(st.lists(SCHEMA, min_size=1, max_size=4))
def test_schemas(programs: list[dict[str, Any]]) -> None:
    # Nor at fill values of arrays for a rank of 0, where one schema is merged into another.
    programs = [each for each in programs if each.get("rank") != 0]
    ours, theirs = after(ts, programs), after(tensorstore, programs)
    if theirs[-1:] == ["error"] and sum("fill_value" in each for each in programs) > 1:
        # To TensorStore, 1 of no data type and 1 of uint8 are two fill values.
        theirs.pop()
        ours = ours[: len(theirs)]
    assert ours == theirs
