"""Hierarchies against zarr-python: each writes, the other reads."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.storage import LocalStore

import asynctensor as ts

FORMATS = pytest.mark.parametrize("zarr_format", [3, 2])

NAMES = st.sampled_from(["a", "b", "Ab", "a.b", "a-b", "x_1", "é", "zarr", "c", "0", "..a", "1.0"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e300, 1e300)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
ATTRIBUTES = st.dictionaries(st.text(max_size=4), VALUES, max_size=3)
#: A tree: of each node its attributes, and its shape if it is an array, else its children.
TREES = st.recursive(
    st.tuples(ATTRIBUTES, st.lists(st.integers(1, 4), max_size=2)),
    lambda inner: st.tuples(ATTRIBUTES, st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
).filter(lambda tree: isinstance(tree[1], dict))


def flat(tree: Any, path: str = "") -> dict[str, tuple[dict[str, Any], list[int] | None]]:
    """Path to attributes, and shape of an array, None for a group."""
    attributes, content = tree
    if not isinstance(content, dict):
        return {path: (attributes, content)}
    found: dict[str, Any] = {path: (attributes, None)}
    for name, child in content.items():
        found |= flat(child, f"{path}/{name}" if path else name)
    return found


async def write_ours(root: Path, tree: Any, zarr_format: int) -> ts.Group:
    nodes = flat(tree)
    kvstore = {"driver": "file", "path": f"{root}/", "file_io_sync": False}
    group = await ts.create_group(kvstore, zarr_format=zarr_format, attributes=nodes.pop("")[0])
    for path, (attributes, shape) in nodes.items():
        if shape is None:
            await group.require_group(path, attributes=attributes)
        else:
            array = await group.create_array(
                path, dtype="int16", shape=shape, attributes=attributes
            )
            await array.write(np.full(shape, 7, "i2"))
    return group


async def seen_by_us(group: ts.Group) -> dict[str, Any]:
    found: dict[str, Any] = {"": (dict(group.attrs), None)}
    async for path, member in group.members(None):
        shape = None if member.shape is None else list(member.shape)
        found[path] = (dict(member.attributes), shape)
    return found


def seen_by_zarr(group: zarr.Group) -> dict[str, Any]:
    found: dict[str, Any] = {"": (dict(group.attrs), None)}
    for path, node in group.members(max_depth=None):
        shape = list(node.shape) if isinstance(node, zarr.Array) else None
        found[path] = (dict(node.attrs), shape)
    return found


def write_zarr(root: Path, tree: Any, zarr_format: int) -> zarr.Group:
    nodes = flat(tree)
    group = zarr.create_group(root, zarr_format=zarr_format, attributes=nodes.pop("")[0])  # type: ignore[arg-type]
    for path, (attributes, shape) in nodes.items():
        if shape is None:
            group.create_group(path, attributes=attributes)
        else:
            array = group.create_array(path, shape=shape, dtype="int16", attributes=attributes)
            array[...] = 7
    return group


@FORMATS
@settings(max_examples=12, deadline=None)
@given(tree=TREES)
def test_random_trees_of_ours(zarr_format: int, tree: Any) -> None:
    with tempfile.TemporaryDirectory() as root:
        path = Path(root, "g")
        group = asyncio.run(write_ours(path, tree, zarr_format))
        assert seen_by_zarr(zarr.open_group(path, mode="r", use_consolidated=False)) == flat(tree)
        asyncio.run(_awaited(group.consolidate_metadata()))
        # Now that they hold a copy of everything, it alone is looked at.
        for file in list(path.rglob("*")):
            if file.is_file() and file.parent != path:
                file.unlink()
        theirs = zarr.open_consolidated(LocalStore(path), zarr_format=zarr_format)  # type: ignore[arg-type]
        assert seen_by_zarr(theirs) == flat(tree)
        ours = asyncio.run(_awaited(ts.open_group(path, use_consolidated=True)))
        assert asyncio.run(seen_by_us(ours)) == flat(tree)


@FORMATS
@settings(max_examples=12, deadline=None)
@given(tree=TREES)
def test_random_trees_of_theirs(zarr_format: int, tree: Any) -> None:
    with tempfile.TemporaryDirectory() as root:
        path = Path(root, "g")
        write_zarr(path, tree, zarr_format)
        ours = asyncio.run(_awaited(ts.open_group(path)))
        assert asyncio.run(seen_by_us(ours)) == flat(tree)
        zarr.consolidate_metadata(LocalStore(path), zarr_format=zarr_format)  # type: ignore[arg-type]
        ours = asyncio.run(_awaited(ts.open_group(path, use_consolidated=True)))
        assert asyncio.run(seen_by_us(ours)) == flat(tree)
        for name, node in flat(tree).items():
            if node[1] is not None:
                array = ours[name]
                assert isinstance(array, ts.TensorStore)
                assert array.read().result().tolist() == np.full(node[1], 7).tolist()
            else:
                assert dict(ours.open_group(name).result().attrs) == node[0]


async def _awaited(future: Any) -> Any:
    return await future


@FORMATS
async def test_consolidated_documents_are_the_same(zarr_format: int, tmp_path: Path) -> None:
    tree = ({"r": 1}, {"b": ({"x": 2}, {"img": ({"y": 3}, [2])}), "a": ({}, {})})
    write_zarr(tmp_path, tree, zarr_format)
    zarr.consolidate_metadata(LocalStore(tmp_path), zarr_format=zarr_format)  # type: ignore[arg-type]
    name = "zarr.json" if zarr_format == 3 else ".zmetadata"
    theirs = json.loads((tmp_path / name).read_text())
    await (await ts.open_group(tmp_path)).consolidate_metadata()
    ours = json.loads((tmp_path / name).read_text())
    if zarr_format == 2:
        for document in theirs["metadata"].values():
            # What version 3 has, and zarr-python leaves in groups of version 2.
            document.pop("consolidated_metadata", None)
    assert ours == theirs
    if zarr_format == 3:
        copies = [each["consolidated_metadata"]["metadata"] for each in (ours, theirs)]
        assert list(copies[0]) == list(copies[1])


@FORMATS
@pytest.mark.parametrize(
    "change",
    ["attribute", "own attribute", "group", "array", "delete", "array's attribute", "recreate"],
)
async def test_no_copy_outlives_a_change(zarr_format: int, change: str, tmp_path: Path) -> None:
    tree = ({}, {"b": ({"x": 2}, {"img": ({"y": 3}, [2]), "g": ({}, {})})})
    await write_ours(tmp_path, tree, zarr_format)
    await (await ts.open_group(tmp_path)).consolidate_metadata()
    root = await ts.open_group(tmp_path, use_consolidated=True)
    below = await root.open_group("b")
    assert below.is_consolidated
    if change == "attribute":
        await below.attrs.set("x", 5)
    elif change == "own attribute":
        await root.attrs.set("x", 5)
    elif change == "group":
        await below.create_group("new")
    elif change == "array":
        await below.create_array("new", dtype="int8", shape=[1])
    elif change == "delete":
        await below.delete("img")
    elif change == "array's attribute":
        await (await ts.open_attributes((await root.open_array("b/img"))[0:1])).set("y", 5)
    else:
        await below.create_group("g", delete_existing=True, attributes={"new": 1})
    seen = await seen_by_us(await ts.open_group(tmp_path))
    # Whoever asks zarr-python for the copy, if there is one, sees the same.
    assert seen_by_zarr(zarr.open_group(tmp_path, mode="r")) == seen


async def test_a_tree_of_copies_is_read(tmp_path: Path) -> None:
    """Consolidated metadata of child groups with copies of their own, in any order."""
    await write_ours(tmp_path, ({}, {"b": ({}, {"img": ({"y": 3}, [2])})}), 3)
    document = json.loads((tmp_path / "zarr.json").read_text())
    group = json.loads((tmp_path / "b/zarr.json").read_text())
    image = json.loads((tmp_path / "b/img/zarr.json").read_text())
    inline = {"kind": "inline", "must_understand": False}
    group["consolidated_metadata"] = {**inline, "metadata": {"img": image}}
    document["consolidated_metadata"] = {**inline, "metadata": {"b": group}}
    (tmp_path / "zarr.json").write_text(json.dumps(document))
    root = await ts.open_group(tmp_path, use_consolidated=True)
    assert [path for path, _ in await root.members(None)] == ["b", "b/img"]


@pytest.mark.parametrize(
    ("zarr_format", "copy", "match"),
    [
        (3, 5, "consolidated_metadata"),
        (3, {"kind": "other", "metadata": {}}, "kind"),
        (3, {"kind": "inline", "metadata": {"a": {"zarr_format": 2}}}, "a.node_type"),
        (3, {"kind": "inline"}, "metadata"),
        (2, {}, "zarr_consolidated_format"),
        (2, {"zarr_consolidated_format": 2, "metadata": {}}, "zarr_consolidated_format"),
        (2, {"zarr_consolidated_format": 1, "metadata": {"a/.zarray": 5}}, "a/.zarray"),
    ],
)
async def test_damaged_copies(tmp_path: Path, zarr_format: int, copy: Any, match: str) -> None:
    await ts.create_group(tmp_path, zarr_format=zarr_format)
    if zarr_format == 3:
        document = json.loads((tmp_path / "zarr.json").read_text())
        copy = {**document, "consolidated_metadata": copy}
    (tmp_path / ("zarr.json" if zarr_format == 3 else ".zmetadata")).write_text(json.dumps(copy))
    with pytest.raises(ts.Error, match=match) as error:
        await ts.open_group(tmp_path, use_consolidated=True)
    assert error.value.kind == "DATA_LOSS"
    # Those who do not ask for the copy are not disturbed.
    assert await (await ts.open_group(tmp_path)).keys() == []


async def test_without_a_copy(tmp_path: Path) -> None:
    group = await ts.create_group(tmp_path)
    with pytest.raises(ts.Error, match="no consolidated metadata"):
        await ts.open_group(tmp_path, use_consolidated=True)
    copied = await group.consolidate_metadata()
    assert copied.is_consolidated
    assert not (await copied.drop_consolidated_metadata()).is_consolidated
    with pytest.raises(ts.Error, match="no consolidated metadata"):
        await ts.open_group(tmp_path, use_consolidated=True)


async def test_a_consolidated_array_looks_again_when_resolved(tmp_path: Path) -> None:
    root = await ts.create_group(tmp_path)
    array = await root.create_array("a", dtype="int8", shape=[2])
    await root.consolidate_metadata()
    await array.resize(exclusive_max=[5])
    old = await (await ts.open_group(tmp_path, use_consolidated=True)).open_array("a")
    assert old.shape == (2,)
    assert (await old.resolve()).shape == (5,)
