"""Hierarchies of N5: directories are groups, with or without documents."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorstore

import asynctensor as ts


async def test_a_hierarchy(tmp_path: Path) -> None:
    root = await ts.create_group(tmp_path / "r.n5", driver="n5", attributes={"a": 1})
    array = await root.create_array("g/img", dtype="int16", shape=[4], attributes={"unit": "m"})
    await array.write(np.arange(4, dtype="i2"))
    assert [(p, m.kind) for p, m in await root.members(None)] == [
        ("g", "group"), ("g/img", "array"),
    ]  # fmt: skip
    (_, member) = (await root.members(None))[1]
    assert (member.shape, member.dtype, member.attributes) == ((4,), "int16", {"unit": "m"})
    assert (await ts.open_group(tmp_path / "r.n5")).attrs == {"a": 1}
    kvstore = {"driver": "file", "path": f"{tmp_path}/r.n5/g/img/"}
    theirs = tensorstore.open({"driver": "n5", "kvstore": kvstore}).result()
    assert theirs.read().result().tolist() == [0, 1, 2, 3]
    with pytest.raises(ts.Error) as error:
        await root.consolidate_metadata()
    assert error.value.kind == "UNIMPLEMENTED"


async def test_directories_without_documents_are_groups(tmp_path: Path) -> None:
    dataset = {
        "dimensions": [4], "blockSize": [2], "dataType": "uint8", "compression": {"type": "raw"},
    }  # fmt: skip
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "attributes.json").write_text(json.dumps({**dataset, "x": 5}))
    root = await ts.open_group(tmp_path, driver="n5")
    assert root.attrs == {}
    assert [(p, m.kind) for p, m in await root.members(None)] == [("a", "group"), ("a/b", "array")]
    await root.attrs.set("n", 1)
    group = await root.open_group("a")
    await group.attrs.set("m", 2)
    attrs = await ts.open_attributes(await root.open_array("a/b"))
    assert attrs == {"x": 5}
    await attrs.replace({"y": 6})
    assert json.loads((tmp_path / "a/b/attributes.json").read_text()) == {**dataset, "y": 6}
    assert (await ts.open_group(tmp_path)).attrs == {"n": 1}
    with pytest.raises(ts.Error, match="meaning of its own"):
        attrs.set("dimensions", [9])
    with pytest.raises(FileNotFoundError):
        await root.open("missing")


async def test_damaged(tmp_path: Path) -> None:
    (tmp_path / "attributes.json").write_text('{"dimensions": "many"}')
    with pytest.raises(ts.Error, match="dimensions") as error:
        await ts.open_group(tmp_path)
    assert error.value.kind == "DATA_LOSS"
