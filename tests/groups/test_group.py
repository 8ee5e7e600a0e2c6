"""Groups: opened, created, listed, changed; on memory and on files, in both versions of zarr."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import Aborted
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.key_range import KeyRange
from asynctensor.testing.faulty_store import FaultyStore


@pytest.fixture(params=["memory", "file"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return tmp_path / "root" if request.param == "file" else ts.KvStore(MemoryStore(), "root/")


@pytest.fixture(params=[3, 2])
def zarr_format(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
async def root(where: Any, zarr_format: int) -> ts.Group:
    return await ts.create_group(where, zarr_format=zarr_format)


async def small(group: ts.Group, path: str, **given: Any) -> ts.TensorStore:
    return await group.create_array(path, dtype="uint16", shape=[4, 6], chunks=[2, 3], **given)


async def test_a_created_group_is_opened(where: Any, zarr_format: int) -> None:
    made = await ts.create_group(where, zarr_format=zarr_format, attributes={"a": [1, {"b": None}]})
    opened = await ts.open_group(where)
    assert opened == made
    assert opened.zarr_format == zarr_format
    assert opened.attrs == {"a": [1, {"b": None}]}
    assert opened.mode == "rw"
    assert (opened.path, opened.name) == ("", "")


async def test_modes(where: Any, zarr_format: int) -> None:
    with pytest.raises(ts.Error, match="no group of a known format here; pass create=True"):
        await ts.open_group(where)
    with pytest.raises(ts.Error, match=r"no group of a known format here \["):
        await ts.open_group(where, read=True)
    with pytest.raises(FileNotFoundError, match="no zarr"):
        await ts.open_group(where, zarr_format=zarr_format)
    await ts.open_group(where, open=True, create=True, zarr_format=zarr_format, attributes={"a": 1})
    again = await ts.open_group(where, open=True, create=True, attributes={"a": 2})
    assert again.attrs == {"a": 1}
    with pytest.raises(FileExistsError, match="group here already"):
        await ts.create_group(where, zarr_format=zarr_format)
    await small(again, "x/y")
    fresh = await ts.create_group(where, zarr_format=zarr_format, delete_existing=True)
    assert fresh.attrs == {}
    assert await fresh.members(None) == []


@pytest.mark.parametrize(
    "given",
    [
        {"delete_existing": True},
        {"open": True, "create": True, "delete_existing": True},
        {"open": False},
        {"read": False, "write": False},
        {"zarr_format": 4},
        {"zarr_format": 2, "driver": "zarr3"},
        {"attributes": {"a": float("nan")}},
    ],
)
async def test_wrong_modes(where: Any, given: dict[str, Any]) -> None:
    with pytest.raises(ts.Error) as error:
        await ts.open_group(where, **given)
    assert error.value.kind == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    "form", ["path", "url", "url with format", "json", "spec", "kvstore", "KvStore.Spec"]
)
async def test_every_way_to_say_where(form: str, tmp_path: Path) -> None:
    path = f"{tmp_path}/x/"
    kvstore = {"driver": "file", "path": path}
    made: dict[str, Any] = {
        "path": tmp_path / "x",
        "url": f"file://{path}",
        "url with format": f"file://{path}|zarr3:",
        "json": {"driver": "zarr3", "kvstore": kvstore},
        "spec": ts.Spec({"driver": "zarr3", "kvstore": kvstore}),
        "kvstore": kvstore,
        "KvStore.Spec": ts.KvStore.Spec(kvstore),
    }
    group = await ts.create_group(made[form])
    assert group.kvstore.spec().to_json() == kvstore
    assert (tmp_path / "x" / "zarr.json").exists()
    assert await ts.open_group(made[form]) == group


@pytest.mark.parametrize(
    "wrong", [5, None, {"driver": "zarr3"}, "memory", {"driver": "array", "kvstore": "memory://"}]
)
async def test_no_place(wrong: Any) -> None:
    with pytest.raises(ts.Error):
        await ts.open_group(wrong)


async def test_shared_context() -> None:
    context = ts.Context()
    group = await ts.create_group("memory://g/", context=context)
    await small(group, "a")
    assert (await ts.open("memory://g/a/|zarr3:", context=context)).shape == (4, 6)
    with pytest.raises(FileNotFoundError):
        await ts.open_group("memory://g/")


async def test_children_are_made_with_their_parents(root: ts.Group) -> None:
    array = await small(root, "a/b/img", attributes={"unit": "m"})
    await array.write(np.full((4, 6), 7, "u2"))
    group = await root.create_group("a/c", attributes={"n": 1})
    assert group.path == "a/c"
    found = await root.members(None)
    assert [(path, member.kind) for path, member in found] == [
        ("a", "group"), ("a/b", "group"), ("a/c", "group"), ("a/b/img", "array"),
    ]  # fmt: skip
    image = found[-1][1]
    assert (image.name, image.shape, image.dtype, image.chunk_shape) == (
        "img", (4, 6), "uint16", (2, 3),
    )  # fmt: skip
    assert image.attributes == {"unit": "m"}
    assert found[2][1].attributes == {"n": 1}
    opened = await image.open()
    assert isinstance(opened, ts.TensorStore)
    assert (await opened.read()).tolist() == np.full((4, 6), 7).tolist()


async def test_paths(root: ts.Group) -> None:
    await small(root, "/a//b/img/")
    assert isinstance(await root.open("a"), ts.Group)
    assert isinstance(await root.open("a/b/img"), ts.TensorStore)
    assert await root.open("") is root
    below = await root.open_group("a")
    assert (await below.open_array("b/img")).shape == (4, 6)
    assert (await below.open_group("b")).path == "a/b"
    with pytest.raises(ts.Error, match="is an array"):
        await root.open_group("a/b/img")
    with pytest.raises(ts.Error, match="is a group"):
        await root.open_array("a")
    with pytest.raises(KeyError, match="'a/x'"):
        await root.open("a/x")
    assert await root.contains("a/b")
    assert not await root.contains("b")
    for wrong in ("..", "a/../b", ".", "...", "a\0b"):
        with pytest.raises(ts.Error, match="no name"):
            root.open(wrong)


@pytest.mark.parametrize(
    ("zarr_format", "names"),
    [(3, ["__a", "a/zarr.json", "__zarr"]), (2, [".zgroup", "a/.zattrs", "a\\b", ".zmetadata"])],
)
async def test_reserved_names(where: Any, zarr_format: int, names: list[str]) -> None:
    group = await ts.create_group(where, zarr_format=zarr_format)
    for name in names:
        with pytest.raises(ts.Error, match="no name"):
            group.create_group(name)
        assert name not in group


def test_operators_wait(where: Any) -> None:
    group = ts.create_group(where).result()
    group.create_group("a/b").result()
    group.create_array("c", dtype="int8", shape=[3]).result()
    assert sorted(group) == ["a", "c"]
    assert len(group) == 2
    assert "a/b" in group
    assert "b" not in group
    assert 5 not in group
    assert group["c"].shape == (3,)
    del group["a"]
    assert list(group) == ["c"]
    assert bool(group["c"].rank)
    assert group
    with pytest.raises(KeyError):
        group["a"]


async def test_listings(root: ts.Group) -> None:
    for name in ("b", "a", "c"):
        await small(root, name)
        await root.create_group(f"{name}-g/deep")
    assert await root.keys() == ["a", "a-g", "b", "b-g", "c", "c-g"]
    names = root.keys()
    assert [name async for name in names] == await names
    assert [(n, a.shape) async for n, a in root.arrays()] == [(n, (4, 6)) for n in "abc"]
    assert [(n, g.path) for n, g in await root.groups()] == [(f"{n}-g", f"{n}-g") for n in "abc"]
    assert root.keys().result() == await root.keys()
    deep = [p for p, _ in await root.members(1)]
    assert deep == [p for p, _ in await root.members(None)]
    with pytest.raises(ts.Error, match="max_depth"):
        root.members(-1)


async def test_a_listing_streams(tmp_path: Path) -> None:
    root = await ts.create_group(tmp_path)
    await asyncio.gather(*(root.create_group(f"{i:03}") for i in range(150)))
    names = []
    listing = root.keys()
    async for name in listing:
        names.append(name)
        if len(names) == 70:
            break
    assert names == [f"{i:03}" for i in range(70)]
    assert len(await root.keys()) == 150


async def test_a_listing_given_up_leaves_nothing_behind() -> None:
    faulty = FaultyStore(MemoryStore())
    root = await ts.create_group(ts.KvStore(faulty))
    for i in range(40):
        await root.create_group(str(i))
    gate = faulty.hold("read", when=lambda key: key.endswith("zarr.json"))
    listing = root.keys().__aiter__()
    first = asyncio.ensure_future(listing.__anext__())
    await gate.reached(20)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert {r.state for r in faulty.requests if r.operation == "read"} <= {"done", "cancelled"}
    gate.open()
    with pytest.raises(StopAsyncIteration):
        await listing.__anext__()
    await listing.aclose()


async def test_chunks_are_no_members(root: ts.Group) -> None:
    array = await root.create_array("a", dtype="uint8", shape=[40], chunks=[1])
    await array.write(np.ones(40, "u1"))
    assert await root.members(None) == [("a", (await root.members())[0][1])]


async def test_what_is_in_the_way(root: ts.Group) -> None:
    await small(root, "a")
    await root.create_group("g")
    for path, match in (("a", "array here"), ("a/b", "array here"), ("a/b/c", "array here")):
        with pytest.raises(ts.Error, match=match):
            await root.create_group(path)
    with pytest.raises(ts.Error, match="array here"):
        await small(root, "a/b")
    with pytest.raises(FileExistsError, match="group here"):
        await small(root, "g")
    with pytest.raises(FileExistsError):
        await small(root, "a")
    assert (await small(root, "g", delete_existing=True)).shape == (4, 6)
    assert isinstance(await root.create_group("a", delete_existing=True), ts.Group)


async def test_require(root: ts.Group) -> None:
    await root.require_group("g/h", attributes={"a": 1})
    assert (await root.require_group("g/h", attributes={"a": 2})).attrs == {"a": 1}
    given = {"dtype": "int32", "shape": [5]}
    first = await root.require_array("g/x", attributes={"a": 1}, **given)
    await first.write(9)
    second = await root.require_array("g/x", attributes={"a": 2}, **given)
    assert (await second.read()).tolist() == [9] * 5
    assert await ts.open_attributes(second) == {"a": 1}
    with pytest.raises(ts.Error) as error:
        await root.require_array("g/x", dtype="int16", shape=[5])
    assert error.value.kind == "FAILED_PRECONDITION"


async def test_arrays_are_made_as_asked(root: ts.Group, zarr_format: int) -> None:
    array = await root.create_array(
        "a", dtype="float32", shape=[8, 8], fill_value=2.5, chunks=[2, 4]
    )
    assert array.chunk_layout.read_chunk.shape == (2, 4)
    assert (await array[0, 0].read()) == 2.5
    if zarr_format == 3:
        sharded = await root.create_array(
            "s", dtype="uint8", shape=[8, 8], chunks=[2, 4], shards=[8, 8],
            metadata={"dimension_names": ["y", "x"]},
        )  # fmt: skip
        assert sharded.chunk_layout.read_chunk.shape == (2, 4)
        assert sharded.chunk_layout.write_chunk.shape == (8, 8)
        assert sharded.domain.labels == ("y", "x")
        (_, member) = (await root.members())[1]
        assert (member.chunk_shape, member.shard_shape) == ((2, 4), (8, 8))
    with pytest.raises(ts.Error, match="shapes"):
        root.create_array("b", shapes=[1])


async def test_delete(root: ts.Group) -> None:
    array = await small(root, "a/b/img")
    await array.write(np.ones((4, 6), "u2"))
    await root.create_group("ab")
    await root.delete("a")
    assert await root.keys() == ["ab"]
    left = await root.kvstore.list()
    assert not [key for key in left if key.startswith(b"a/")]
    with pytest.raises(KeyError):
        await root.delete("a")
    with pytest.raises(ts.Error, match="empty"):
        root.delete("")


async def test_the_documents_go_first(zarr_format: int) -> None:
    faulty = FaultyStore(MemoryStore())
    root = await ts.create_group(ts.KvStore(faulty), zarr_format=zarr_format)
    array = await small(root, "a")
    await array.write(np.ones((4, 6), "u2"))
    faulty.fail("delete_range", ts.Error("no"))
    with pytest.raises(ts.Error, match="no"):
        await root.delete("a")
    assert not await root.contains("a")


async def test_read_only(where: Any) -> None:
    await small(await ts.create_group(where), "a")
    group = await ts.open_group(where, read=True)
    assert group.mode == "r"
    below = await group.open_array("a")
    assert below.mode == "r"
    calls: list[Callable[[], Any]] = [
        lambda: group.create_group("x"),
        lambda: group.create_array("x", dtype="int8", shape=[1]),
        lambda: group.delete("a"),
        lambda: group.attrs.set("a", 1),
        group.consolidate_metadata,
        group.drop_consolidated_metadata,
    ]
    for call in calls:
        with pytest.raises(PermissionError):
            call()


@pytest.mark.parametrize("zarr_format", [3, 2])
async def test_one_alone_creates_it(where: Any, zarr_format: int) -> None:
    async def create(number: int) -> int | None:
        try:
            await ts.create_group(where, zarr_format=zarr_format, attributes={"by": number})
        except FileExistsError:
            return None
        return number

    (winner,) = [n for n in await asyncio.gather(*map(create, range(20))) if n is not None]
    assert (await ts.open_group(where)).attrs == {"by": winner}


async def test_parents_of_many_at_once(root: ts.Group) -> None:
    await asyncio.gather(*(root.create_group(f"a/b/{i}") for i in range(20)))
    assert len(await root.members(None)) == 22


async def test_several_formats_at_one_place(tmp_path: Path) -> None:
    await ts.create_group(tmp_path, zarr_format=2)
    await ts.create_group(tmp_path, zarr_format=3)
    with pytest.raises(ts.Error, match="several formats"):
        await ts.open_group(tmp_path)
    assert (await ts.open_group(tmp_path, zarr_format=2)).driver == "zarr"


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("zarr.json", "{", "not valid JSON"),
        ("zarr.json", "[]", "not a JSON object"),
        ("zarr.json", "{}", "zarr_format"),
        ("zarr.json", '{"zarr_format": 3}', "node_type"),
        ("zarr.json", '{"zarr_format": 3, "node_type": "tree"}', "node_type"),
        ("zarr.json", '{"zarr_format": 4, "node_type": "group"}', "zarr_format"),
        ("zarr.json", '{"zarr_format": 3, "node_type": "group", "attributes": 5}', "attributes"),
        (".zgroup", '{"zarr_format": 3}', "zarr_format"),
        (".zgroup", "{}", "zarr_format"),
        (".zattrs", "[1]", "not a JSON object"),
    ],
)
async def test_damaged_documents(tmp_path: Path, name: str, text: str, match: str) -> None:
    parent = await ts.create_group(tmp_path, zarr_format=3 if name == "zarr.json" else 2)
    damaged = tmp_path / "g"
    damaged.mkdir()
    if name == ".zattrs":
        (damaged / ".zgroup").write_text('{"zarr_format": 2}')
    (damaged / name).write_text(text)
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: ts.open_group(damaged),
        lambda: parent.open("g"),
        lambda: parent.members().all(),
    ]
    for call in calls:
        with pytest.raises(ts.Error, match=match) as error:
            await call()
        assert error.value.kind == "DATA_LOSS"
        assert "g" in f"{error.value.key}{error.value.store}"


async def test_null_attributes_are_none(tmp_path: Path) -> None:
    document = {"zarr_format": 3, "node_type": "group", "attributes": None}
    (tmp_path / "zarr.json").write_text(json.dumps(document))
    group = await ts.open_group(tmp_path)
    assert group.attrs == {}
    await group.attrs.set("a", 1)
    assert (await ts.open_group(tmp_path)).attrs == {"a": 1}


async def test_an_array_is_no_group(where: Any) -> None:
    await small(await ts.create_group(where), "a")
    at = where / "a"
    with pytest.raises(ts.Error, match="array here"):
        await ts.open_group(at)


async def test_pickles(tmp_path: Path) -> None:
    group = await ts.create_group(tmp_path / "x", attributes={"a": 1})
    await group.create_group("b")
    other = pickle.loads(pickle.dumps(group))
    assert other == group
    assert other.attrs == {"a": 1}
    assert await other.keys() == ["b"]
    await pickle.loads(pickle.dumps(group.attrs)).set("a", 2)
    assert await group.attrs.refresh() == {"a": 2}
    bound = (await ts.create_group("memory://")).with_transaction(ts.Transaction())
    with pytest.raises(ts.Error, match="cannot be pickled"):
        pickle.dumps(bound)


async def test_repr() -> None:
    group = await ts.create_group("memory://x/", attributes={"a": 1})
    assert repr(group) == "Group('memory://x/', driver='zarr3')"
    assert repr(group.attrs) == "Attributes({'a': 1})"


# -- transactions -----------------------------------------------------------------------------


async def test_a_hierarchy_is_made_in_a_transaction(zarr_format: int) -> None:
    store = MemoryStore()
    async with ts.Transaction() as transaction:
        root = await ts.create_group(
            ts.KvStore(store), zarr_format=zarr_format, transaction=transaction
        )
        array = await small(root, "a/img", attributes={"x": 1})
        await array.write(np.full((4, 6), 3, "u2"))
        await root.attrs.set("n", 5)
        await (await root.create_group("tmp")).attrs.set("n", 6)
        await root.delete("tmp")
        assert [path for path, _ in await root.members(None)] == ["a", "a/img"]
        assert (await root.attrs.refresh()) == {"n": 5}
        assert len(store.values) == 0
    root = await ts.open_group(ts.KvStore(store))
    assert root.transaction is None
    assert root.attrs == {"n": 5}
    assert [path for path, _ in await root.members(None)] == ["a", "a/img"]
    assert (await (await root.open_array("a/img")).read()).tolist() == [[3] * 6] * 4
    assert await ts.open_attributes(await root.open_array("a/img")) == {"x": 1}


async def test_an_aborted_transaction_leaves_nothing() -> None:
    store = MemoryStore()
    transaction = ts.Transaction()
    root = await ts.create_group(ts.KvStore(store), transaction=transaction)
    await small(root, "a")
    transaction.abort()
    assert len(store.values) == 0


async def test_attributes_changed_meanwhile_are_merged_by_name() -> None:
    kvstore = ts.KvStore(MemoryStore())
    root = await ts.create_group(kvstore, attributes={"a": 0})
    async with ts.Transaction() as transaction:
        await root.with_transaction(transaction).attrs.set("a", 1)
        await root.attrs.set("b", 2)
    assert await root.attrs.refresh() == {"a": 1, "b": 2}
    transaction = ts.Transaction()
    await root.with_transaction(transaction).attrs.set("a", 3)
    await root.attrs.set("a", 4)
    with pytest.raises(Aborted, match=r'attributes\["a"\].*zarr.json') as error:
        await transaction.commit_async()
    assert error.value.members == ('attributes["a"]',)
    assert await root.attrs.refresh() == {"a": 4, "b": 2}


async def test_deleting_in_a_transaction() -> None:
    store = MemoryStore()
    root = await ts.create_group(ts.KvStore(store))
    array = await small(root, "a/img")
    await array.write(np.ones((4, 6), "u2"))
    async with ts.Transaction() as transaction:
        bound = root.with_transaction(transaction)
        await bound.delete("a")
        assert await bound.keys() == []
        assert await root.keys() == ["a"]
    assert await root.keys() == []

    async def keys() -> list[str]:
        return [entry.key async for entry in store.list(KeyRange())]

    assert await start(keys) == ["zarr.json"]
