"""What notebooks and rich are shown: right, escaped, and without any I/O."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import asynctensor as ts
from asynctensor.display.box import box
from asynctensor.display.picture import MAX_CUTS, Axis, Picture, size_text
from asynctensor.display.svg import svg
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.schema.json_repr import json_repr
from asynctensor.testing.faulty_store import FaultyStore

SVG = "{http://www.w3.org/2000/svg}"


@given(
    st.integers(1, 60), st.integers(-50, 50), st.integers(1, 20), st.integers(-30, 30)
)  # fmt: skip
def test_cuts_are_where_chunks_end(size: int, origin: int, step: int, grid_origin: int) -> None:
    axis = Axis(size, "", origin, step, None, grid_origin)
    inside = [i for i in range(origin + 1, origin + size) if (i - grid_origin) % step == 0]
    assert axis.count(step) == len(inside) + 1
    cuts = axis.cuts(step)
    if len(inside) > MAX_CUTS:
        assert cuts is None
    else:
        assert cuts == pytest.approx([(i - origin) / size for i in inside])


@pytest.mark.parametrize(
    ("sizes", "chunks", "lines"),
    [
        ([], [], 0),
        ([10], [3], 3),
        ([10, 10], [5, 2], 1 + 4),
        # Three faces: each pair of dimensions is seen once.
        ([4, 6, 8], [2, 3, 4], 6),
        ([9, 9, 4, 6, 8], [1, 1, 2, 3, 4], 6),
        ([2**50, 8], [1, 8], 0),
        ([0, 4], [1, 2], 1),
        ([None, 4], [None, 2], 1),
    ],
)
def test_lines_of_the_drawing(sizes: list[Any], chunks: list[Any], lines: int) -> None:
    axes = tuple(
        Axis(n, f"d{i}", chunk=c) for i, (n, c) in enumerate(zip(sizes, chunks, strict=True))
    )
    drawn = ET.fromstring(svg(Picture(axes)))
    assert len(drawn.findall(f"{SVG}line")) == lines
    assert len(drawn.findall(f"{SVG}polygon")) == (3 if len(sizes) > 2 else 1)
    texts = [text.text for text in drawn.findall(f"{SVG}text")]
    shown = [f"d{i} {'?' if n is None else f'{n:,}'}" for i, n in enumerate(sizes)][-3:]
    assert sorted(str(text) for text in texts) == sorted(shown)
    width, height = float(drawn.get("width", "0")), float(drawn.get("height", "0"))
    for polygon in drawn.findall(f"{SVG}polygon"):
        for x, y in re.findall(r"([-\d.]+),([-\d.]+)", polygon.get("points", "")):
            assert 0 <= float(x) <= width
            assert 0 <= float(y) <= height
    assert width < 450
    assert height < 350


def test_shards_are_drawn_thicker() -> None:
    axes = (Axis(8, chunk=2, shard=4), Axis(8, chunk=2, shard=8))
    lines = ET.fromstring(svg(Picture(axes))).findall(f"{SVG}line")
    assert [line.get("stroke-width") for line in lines].count("1.4") == 1
    assert [line.get("stroke-width") for line in lines].count("0.5") == 6


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(1, 10**6)), max_size=6))
def test_boxes_are_rectangles(dims: list[tuple[int, int]]) -> None:
    lines = box(Picture(tuple(Axis(n, chunk=c) for n, c in dims)))
    assert len({len(line) for line in lines}) == 1
    assert len(lines) <= 9


def test_sizes() -> None:
    assert [size_text(n) for n in (0, 1023, 1024, 1536 * 2**20, 2**80)] == [
        "0 B", "1023 B", "1.0 KiB", "1.5 GiB", "1,048,576.0 EiB",
    ]  # fmt: skip


def parsed(shown: Any) -> str:
    """The text of what a notebook is given, which must be well-formed."""
    html = shown._repr_html_().replace("<details open>", "<details>")
    return "".join(ET.fromstring(html).itertext())


def as_rich(shown: Any) -> str:
    out = io.StringIO()
    Console(file=out, width=200, color_system=None).print(shown)
    return out.getvalue()


async def test_every_object() -> None:
    faulty = FaultyStore(MemoryStore())
    kvstore = ts.KvStore(faulty)
    root = await ts.create_group(kvstore, attributes={"<b>": "[red]x[/red] & <script>"})
    metadata = {"dimension_names": ["<y>", "x"]}
    array = await root.create_array(
        "a", dtype="uint16", shape=[100, 80], chunks=[25, 20], shards=[50, 40], fill_value=7,
        metadata=metadata,
    )  # fmt: skip
    tree = await root.tree()
    faulty.requests.clear()
    for shown in (array, array[3, 10:20], array.spec(), root, kvstore, kvstore.spec(), tree):
        assert parsed(shown)
        assert as_rich(shown)
    assert faulty.requests == []
    text = as_rich(array)
    for part in ("uint16  100 × 80", "25 × 20  (4 × 4 = 16)", "50 × 40  (2 × 2 = 4)", "zarr3", "7"):
        assert part in text
        assert part.replace("  ", " ") in parsed(array).replace("  ", " ")
    assert "shards of (bytes little)" in text
    assert "memory://a/" in text
    assert "15.6 KiB uncompressed" in text
    assert "[red]x[/red] & <script>" in as_rich(root)
    assert "[red]x[/red] & <script>" in parsed(root)
    assert "<y> 100" in parsed(array)
    view = as_rich(array[10:20, 30])
    assert "uint16  10" in view
    assert "origin      10" in view


async def test_many_attributes_and_long_values() -> None:
    attributes = {f"a{i}": "x" * 1000 for i in range(30)}
    root = await ts.create_group("memory://g/", attributes=attributes)
    text = as_rich(root)
    assert "and 10 more attributes" in text
    assert len(root._repr_html_()) < 20_000


async def test_transactions_modes_contexts() -> None:
    context = ts.Context({"cache_pool": {"total_bytes_limit": 1000}})
    root = await ts.create_group("memory://g/", context=context)
    await root.create_array("a", dtype="int8", shape=[2])
    reader = await ts.open("memory://g/a/|zarr3:", read=True, context=context)
    assert "read only" in as_rich(reader)
    assert "{'cache_pool': {'total_bytes_limit': 1000}}" in as_rich(reader)
    transaction = ts.Transaction()
    assert "transaction  open" in as_rich(reader.with_transaction(transaction))
    transaction.abort()


async def test_drivers_without_chunks() -> None:
    assert "float64  2 × 2" in as_rich(ts.array([[1.0, 2], [3, 4]]))
    assert parsed(ts.cast(ts.array([1, 2]), ts.float32))
    assert parsed(ts.Spec({"driver": "zarr3", "kvstore": "memory://a/"}))
    spec = ts.Spec({"driver": "zarr3", "kvstore": "memory://a/", "schema": {"rank": 3}})
    assert "? × ? × ?" in parsed(spec)


async def test_plain_repr_is_tensorstores() -> None:
    # The separator that is not the default, because ours writes out the default too.
    keys = {"name": "default", "configuration": {"separator": "."}}
    spec = {
        "driver": "zarr3",
        "kvstore": "memory://a/",
        "metadata": {"data_type": "int8", "shape": [2], "chunk_key_encoding": keys},
    }
    ours = await ts.open(spec, create=True)
    theirs = tensorstore.open(spec, create=True).result()
    assert repr(ours) == repr(theirs)
    assert repr(ours.kvstore) == repr(theirs.kvstore)
    assert repr(ours.spec()) == repr(theirs.spec())


async def test_repr_of_a_long_index_array_shows_its_ends() -> None:
    store = await ts.open("memory://a/|zarr3", create=True, dtype="int8", shape=[10**6, 10**3])
    shown = re.sub(r"\s+", "", repr(store[np.arange(10**6)]))
    assert "[{'index_array':[[0],[1],[2],...,[999997],[999998],[999999]]}" in shown
    below = store[:, np.arange(1001)]
    assert len(repr(ts.downsample(ts.stack([below, below]), [1, 2, 2], "mean"))) < 4000
    # A short one is shown whole, and so is whatever `eval` gives back.
    assert repr(store[:2, np.arange(1000)[::-1]]).count("\n") > 1000
    view = ts.IndexTransform(input_rank=2)[np.arange(2000)]
    assert eval(repr(view), vars(ts)) == view
    spec = store.spec()[:2, np.arange(1000)[::-1]][:, :999]
    assert eval(repr(spec), vars(ts)) == spec


NUMBERS = st.integers(-9, 10**9)


@settings(deadline=None)
@given(
    st.recursive(
        NUMBERS | st.text("ab", max_size=40) | st.none() | st.lists(NUMBERS, max_size=40),
        lambda below: st.lists(below, max_size=9) | st.dictionaries(st.text("kl"), below),
    )
)
def test_json_is_laid_out_as_tensorstores(value: Any) -> None:
    json = {
        "driver": "zarr3",
        "metadata": {"attributes": {"a": value}, "node_type": "array", "zarr_format": 3},
    }
    theirs = tensorstore.Spec(json)
    assert f"Spec({json_repr(theirs.to_json())})" == repr(theirs)
    assert eval(json_repr(json)) == json


async def test_trees() -> None:
    root = await ts.create_group("memory://g/")
    await root.create_group("b/c")
    await root.create_array("b/x", dtype="int8", shape=[2, 3])
    await root.create_array("a", dtype="float32", shape=[])
    tree = await root.tree()
    assert str(tree) == repr(tree) == (
        "/\n├── a (scalar) float32\n└── b\n    ├── c\n    └── x (2 × 3) int8"
    )  # fmt: skip
    assert tree.is_complete
    assert str(await root.tree(max_depth=0)).splitlines() == [
        "/", "├── a (scalar) float32", "└── b", "… (more; see max_depth and max_nodes)",
    ]  # fmt: skip
    cut = await root.tree(max_nodes=2)
    assert not cut.is_complete
    assert len(str(cut).splitlines()) == 4
    assert (await root.tree(max_nodes=4)).is_complete
    assert (await root.open_group("b")).tree().result().root.name == "b"


async def test_a_very_deep_tree() -> None:
    root = await ts.create_group("memory://g/")
    await root.create_group("/".join(["x"] * 150))
    tree = await root.tree()
    assert not tree.is_complete
    assert parsed(tree)


def test_rich_is_not_needed() -> None:
    code = (
        "import sys, asynctensor as ts; g = ts.create_group('memory://').result(); "
        "g._repr_html_(); repr(g); print('rich' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"
