"""Attributes: read as a mapping, written on condition; nobody's change is lost."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.testing.faulty_store import FaultyStore

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=[3, 2])
def zarr_format(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=["group", "array"])
async def node(request: pytest.FixtureRequest, tmp_path: Path, zarr_format: int) -> Path:
    """A group or an array with an attribute."""
    root = await ts.create_group(tmp_path / "root", zarr_format=zarr_format)
    if request.param == "group":
        await root.create_group("n", attributes={"a": 1})
    else:
        await root.create_array("n", dtype="int16", shape=[3], attributes={"a": 1})
    return tmp_path / "root" / "n"


async def test_a_mapping(node: Path) -> None:
    attrs = await ts.open_attributes(node)
    assert attrs["a"] == 1
    assert dict(attrs) == {"a": 1}
    assert "a" in attrs
    assert "b" not in attrs
    assert list(attrs) == ["a"]
    assert len(attrs) == 1
    assert attrs.get("b", 7) == 7
    with pytest.raises(KeyError):
        attrs["b"]


async def test_writes(node: Path) -> None:
    attrs = await ts.open_attributes(node)
    await attrs.set("b", {"c": [1, None, True, "x", 2.5]})
    await attrs.update({"d": 1, "e": 2})
    await attrs.delete("a", "missing")
    wanted = {"b": {"c": [1, None, True, "x", 2.5]}, "d": 1, "e": 2}
    assert attrs == wanted
    assert await ts.open_attributes(node) == wanted
    await attrs.replace({"z": 0})
    assert await ts.open_attributes(node) == {"z": 0}
    # What is beside the attributes is as it was.
    group = await ts.open_group(node.parent)
    assert await group.contains("n")


async def test_others_writes_are_seen_on_request(node: Path) -> None:
    one, two = await ts.open_attributes(node), await ts.open_attributes(node)
    await one.set("b", 2)
    assert two == {"a": 1}
    assert await two.refresh() is two
    assert two == {"a": 1, "b": 2}
    await one.set("c", 3)
    await two.set("d", 4)
    assert two == {"a": 1, "b": 2, "c": 3, "d": 4}


async def test_values_shown_are_copies(node: Path) -> None:
    attrs = await ts.open_attributes(node)
    value = {"b": [1]}
    await attrs.set("v", value)
    value["b"].append(2)
    attrs["v"]["b"].append(3)
    attrs.asdict()["v"]["b"].append(4)
    assert attrs["v"] == {"b": [1]}


async def test_conditions(node: Path) -> None:
    attrs = await ts.open_attributes(node)
    await attrs.set("a", 2, if_equal=1)
    for wrong in (1, True, "2", None, [2], ts.Attributes.MISSING):
        with pytest.raises(ts.Error, match="if_equal") as error:
            await attrs.set("a", 3, if_equal=wrong)
        assert error.value.kind == "FAILED_PRECONDITION"
    await attrs.set("b", 1, if_equal=ts.Attributes.MISSING)
    with pytest.raises(ts.Error, match="MISSING"):
        await attrs.set("b", 2, if_equal=ts.Attributes.MISSING)
    await attrs.update({"c": 1}, if_equal={"a": 2, "b": 1})
    with pytest.raises(ts.Error, match='"b" is 1'):
        await attrs.delete("c", if_equal={"b": 2})
    with pytest.raises(ts.Error):
        await attrs.replace({}, if_equal={"b": 2})
    await attrs.delete("c", if_equal={"b": 1})
    assert await ts.open_attributes(node) == {"a": 2, "b": 1} == attrs


async def test_a_counter_loses_nothing(node: Path) -> None:
    async def add() -> None:
        attrs = await ts.open_attributes(node)
        while True:
            found = attrs["a"]
            try:
                await attrs.set("a", found + 1, if_equal=found)
            except ts.Error:
                await attrs.refresh()
            else:
                return

    await asyncio.gather(*(add() for _ in range(8)))
    assert await ts.open_attributes(node) == {"a": 9}


async def test_many_keys_at_once(node: Path) -> None:
    handles = await asyncio.gather(*(ts.open_attributes(node) for _ in range(4)))
    await asyncio.gather(*(handles[i % 4].set(f"k{i}", i) for i in range(40)))
    assert await ts.open_attributes(node) == {"a": 1, **{f"k{i}": i for i in range(40)}}
    # Each shows all that went through itself.
    for i in range(40):
        assert handles[i % 4][f"k{i}"] == i


async def test_numpy_and_tuples(node: Path) -> None:
    attrs = await ts.open_attributes(node)
    await attrs.update({"s": np.float32(0.5), "i": np.int64(3), "t": (1, 2), "x": np.eye(2)})
    assert await ts.open_attributes(node) == {
        "a": 1, "s": 0.5, "i": 3, "t": [1, 2], "x": [[1.0, 0.0], [0.0, 1.0]],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (float("nan"), '"v".*"NaN"'),
        ([1, float("-inf")], r'"v\[1\]".*"-Infinity"'),
        ({"x": {1: 2}}, "names of attributes"),
        ({"x": {"y": {1, 2}}}, r'"v.x.y".*set'),
        (b"bytes", '"v".*bytes'),
        (np.datetime64("2020", "s"), '"v"'),
        (1j, '"v".*complex'),
    ],
)
async def test_what_json_cannot_hold(node: Path, value: Any, match: str) -> None:
    attrs = await ts.open_attributes(node)
    with pytest.raises(ts.Error, match=match):
        attrs.set("v", value)
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    with pytest.raises(ts.Error, match="levels deep"):
        attrs.set("v", deep)
    with pytest.raises(TypeError):
        attrs.set(5, 1)  # type: ignore[arg-type]
    assert await ts.open_attributes(node) == {"a": 1}


async def test_nan_written_by_others_stays(tmp_path: Path) -> None:
    group = await ts.create_group(tmp_path)
    document = json.loads((tmp_path / "zarr.json").read_text())
    document["attributes"] = {"fill": float("nan")}
    (tmp_path / "zarr.json").write_text(json.dumps(document))
    await group.attrs.set("b", 1)
    stored = json.loads((tmp_path / "zarr.json").read_text())["attributes"]
    assert np.isnan(stored["fill"])
    assert stored["b"] == 1


async def test_deleted_nodes(node: Path) -> None:
    attrs = await ts.open_attributes(node)
    group = await ts.open_group(node.parent)
    await group.delete("n")
    for call in (attrs.refresh(), attrs.set("a", 5), attrs.delete("a")):
        with pytest.raises(FileNotFoundError, match="deleted"):
            await call
    assert await group.keys() == []
    with pytest.raises(FileNotFoundError, match="no node"):
        await ts.open_attributes(node)


async def test_of_an_opened_array(node: Path) -> None:
    group = await ts.open_group(node.parent)
    array = await group.create_array("x", dtype="int8", shape=[4], attributes={"a": 1})
    attrs = await ts.open_attributes(array[1:3])
    assert attrs == {"a": 1}
    await attrs.set("b", 2)
    assert await ts.open_attributes(array) == {"a": 1, "b": 2}
    await array.write(np.arange(4, dtype="i1"))
    assert (await array.resize(exclusive_max=[6])).shape == (6,)
    # Resizing keeps what was written meanwhile.
    assert await ts.open_attributes(array) == {"a": 1, "b": 2}


async def test_of_an_array_in_a_transaction() -> None:
    group = await ts.create_group(ts.KvStore(MemoryStore()))
    array = await group.create_array("x", dtype="int8", shape=[4], attributes={"a": 1})
    async with ts.Transaction() as transaction:
        bound = await ts.open_attributes(array.with_transaction(transaction))
        await bound.set("b", 2)
        assert await ts.open_attributes(array) == {"a": 1}
    assert await ts.open_attributes(array) == {"a": 1, "b": 2}


async def test_a_view_opened_for_reading(node: Path) -> None:
    group = await ts.open_group(node.parent)
    array = await group.create_array("x", dtype="int8", shape=[4])
    reader = await ts.open(node.parent / "x", read=True)
    with pytest.raises(PermissionError):
        (await ts.open_attributes(reader)).set("a", 1)
    assert await ts.open_attributes(array) == {}


async def test_a_cancelled_write_has_happened_or_never_will() -> None:
    faulty = FaultyStore(MemoryStore())
    group = await ts.create_group(ts.KvStore(faulty))
    gate = faulty.hold("read", when=lambda key: key == "zarr.json")
    writing = asyncio.ensure_future(group.attrs.set("a", 1))
    await gate.reached()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    gate.open()
    assert await group.attrs.refresh() == {}
    await group.attrs.set("b", 1)
    assert await group.attrs.refresh() == {"b": 1}


WRITER = """
import asyncio, sys
from pathlib import Path
import asynctensor as ts

async def main(path, number):
    print("ready", flush=True)
    sys.stdin.readline()
    group = await ts.open_group(Path(path), open=True, create=True)
    try:
        await ts.create_group(Path(path) / "one", attributes={"by": number})
        print("made", flush=True)
    except FileExistsError:
        print("found", flush=True)
    for turn in range(15):
        await group.attrs.set(f"{number}-{turn}", turn)
        await group.create_group(f"{number}/{turn}")

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def test_processes(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "g"), str(number)],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(2)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        told = []
        for writer in writers:
            out, err = writer.communicate(timeout=60)
            assert (writer.returncode, err) == (0, "")
            told.append(out.strip())
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert sorted(told) == ["found", "made"]
    group = ts.open_group(tmp_path / "g").result()
    assert dict(group.attrs) == {f"{n}-{t}": t for n in range(2) for t in range(15)}
    assert group["one"].attrs["by"] == told.index("made")
    assert len(group.members(None).result()) == 2 + 30 + 1
