"""`json` against TensorStore, and its own promise: edits of different parts are never lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.errors import Aborted, DataLoss, FailedPrecondition, NotFound

DOCUMENT = '{"x":{"y":[1,2,3],"z~/":5},"n":null}'
POINTERS = [
    "", "/", "/x", "/x/y", "/x/y/0", "/x/y/3", "/x/y/-", "/x/y/01", "/x/z~0~1", "/q", "/q/r", "/n",
    "/n/a", "/x/y/0/k", "/x/y/-/k", "/x/y/3/k", "/x/y/1e0", "/x/y/ 1", "/x/y/+1",
]  # fmt: skip
VALUES: list[Any] = [
    1, 1.5, 1e22, -0.0, 0.1, float("nan"), float("inf"), True, None, 'é\x01"', [1, [2]], (1, 2),
    {"b": 1, "a": [None]}, {1: 2}, b"ab", np.int64(3), np.float32(0.5), np.array([1, 2]),
    np.array([[1], [2]], dtype=object), np.array({"a": 3}, dtype=object), np.array(3), 2**64 - 1,
]  # fmt: skip


class World:
    """A context of one library, and its memory as a kvstore."""

    def __init__(self, module: Any, content: str | None = DOCUMENT) -> None:
        self.module, self.context = module, module.Context()
        self.kvstore = module.KvStore.open("memory://", context=self.context).result()
        if content is not None:
            self["a"] = content

    def __getitem__(self, key: str) -> Any:
        return self.kvstore[key]

    def __setitem__(self, key: str, value: str) -> None:
        self.kvstore[key] = value

    def open(self, pointer: str = "", **options: Any) -> Any:
        """The part of the document "a" at `pointer`."""
        spec = {"driver": "json", "kvstore": "memory://a", "json_pointer": pointer}
        return self.module.open(spec, context=self.context, **options).result()


def _outcome(action: Any) -> Any:
    try:
        return action()
    except Exception as error:
        for kind in (TypeError, OverflowError, ValueError, NotImplementedError):
            if isinstance(error, kind):
                return kind
        raise


@pytest.mark.parametrize("pointer", POINTERS)
def test_reads_are_tensorstores(pointer: str) -> None:
    found = [
        _outcome(lambda m=m: World(m).open(pointer).read().result().item())  # type: ignore[misc]
        for m in (ts, tensorstore)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("pointer", POINTERS)
@pytest.mark.parametrize(
    "content", [None, DOCUMENT, "null", "[]", "3", '{"a":', "", '{"x":1,"x":2}']
)
def test_writes_are_tensorstores(pointer: str, content: str | None) -> None:
    outcomes = []
    for module in (ts, tensorstore):
        kvstore = World(module, content)
        array = kvstore.open(pointer)
        outcome = _outcome(lambda a=array: a.write({"new": 1}).result())
        read = kvstore.kvstore.read("a").result()
        outcomes.append((outcome, read.state, read.value))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_are_tensorstores(value: Any) -> None:
    found = []
    for module in (ts, tensorstore):
        kvstore = World(module, None)
        kvstore.open().write(value).result()
        found.append(kvstore["a"])
    assert found[0] == found[1]


@pytest.mark.parametrize("value", [{1, 2}, {"a": object()}, {"a": {None}}, {(1, 2): 3}, "\ud800"])
def test_values_without_json_are_refused(value: Any) -> None:
    kvstore = World(ts)
    with pytest.raises((TypeError, ValueError)):
        kvstore.open().write(value).result()
    assert kvstore["a"] == DOCUMENT.encode()


@pytest.mark.parametrize(
    "members",
    [
        {}, {"json_pointer": ""}, {"json_pointer": "/a~1"}, {"json_pointer": 3},
        {"json_pointer": "x"}, {"json_pointer": "/~"}, {"foo": 3}, {"create": True},
        {"open": True}, {"assume_metadata": True}, {"recheck_cached_data": False},
        {"recheck_cached_data": "open"}, {"recheck_cached_data": 5}, {"recheck_cached_data": "x"},
        {"recheck_cached_metadata": False}, {"dtype": "json"}, {"dtype": "int32"}, {"rank": 0},
        {"rank": 1}, {"schema": {"fill_value": 3}}, {"schema": {"domain": {"shape": []}}},
        {"schema": {"domain": {"shape": [2]}}}, {"cache_pool": 3}, {"metadata_cache_pool": {}},
        {"fill_missing_data_reads": False}, {"transform": {"input_rank": 0}},
        {"transform": {"input_shape": [3]}}, {"path": "foo"}, {"schema": {"dimension_units": []}},
        {"kvstore": "memory://a/"}, {"kvstore": None},
    ],
    ids=repr,
)  # fmt: skip
def test_specs_are_tensorstores(members: dict[str, Any]) -> None:
    spec = {"driver": "json", "kvstore": "memory://a.json", **members}
    found = [
        _outcome(lambda m=m: m.open(spec).result().spec().to_json()) for m in (ts, tensorstore)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "url",
    ["memory://a|json", "memory://a|json:", "memory://a|json:/x/y", "memory://a|json:/a%7Cb~1",
     "memory://a|json:x", "memory://a/|json:/x", "memory://a|zip:b|json:/c", "memory://a|json:/x|json:/y",
     "json:/a", "memory://a|zarr3:|json:/x"],
)  # fmt: skip
def test_urls_are_tensorstores(url: str) -> None:
    found = [
        _outcome(lambda m=m: (m.Spec(url).to_json(), m.Spec(url).url)) for m in (ts, tensorstore)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "change",
    [{"recheck_cached_data": False}, {"recheck_cached_data": "open"}, {"recheck_cached": False},
     {"recheck_cached_metadata": False}, {"open": True}, {"fill_value": 3},
     {"dtype": "int8"}, {"rank": 1}, {"dimension_units": []}],
    ids=repr,
)  # fmt: skip
def test_updates_are_tensorstores(change: dict[str, Any]) -> None:
    found = []
    for module in (ts, tensorstore):
        spec = module.Spec("memory://a|json:/x")
        found.append((_outcome(lambda s=spec: s.update(**change)), spec.to_json()))
    assert found[0] == found[1]


def test_what_it_is() -> None:
    mine = World(ts).open("/x/y")
    theirs = World(tensorstore).open("/x/y")
    for name in ("rank", "shape", "size", "mode", "url", "codec", "fill_value"):
        assert getattr(mine, name) == getattr(theirs, name), name
    assert mine.dtype.name == theirs.dtype.name == "json"
    assert mine.schema.to_json() == theirs.schema.to_json()
    assert str(mine.domain) == str(theirs.domain)
    assert mine.kvstore.url == "memory://a"
    for unsupported in (
        lambda a: a.resize([]), lambda a: a.storage_statistics(query_not_stored=True)
    ):  # fmt: skip
        for array in (mine, theirs):
            with pytest.raises(NotImplementedError):
                unsupported(array).result()
    assert mine[ts.newaxis].read().result()[0] == [1, 2, 3]
    mine[ts.newaxis].write([7]).result()
    assert mine.read().result().item() == 7


def test_what_is_read_is_the_callers_own() -> None:
    array = World(ts).open("/x")
    first = array.read().result().item()
    first["y"].append(4)
    assert array.read().result().item() == {"y": [1, 2, 3], "z~/": 5}
    twice = array[ts.newaxis][[0, 0]].read().result()
    twice[0]["y"] = 0
    assert twice[1]["y"] == [1, 2, 3]


def test_what_is_written_is_read_at_once() -> None:
    array = World(ts).open("/x/y")
    value = [1]
    write = array.write(value)
    write.copy.result()
    value.append(2)
    write.commit.result()
    assert array.read().result().item() == [1]


def test_damage_names_the_key() -> None:
    kvstore = World(ts, '{"a": ')
    with pytest.raises(DataLoss) as caught:
        kvstore.open("/a").read().result()
    assert (caught.value.key, caught.value.operation) == ("a", "read")
    with pytest.raises(DataLoss) as caught:
        kvstore.open("/a").write(1).result()
    assert (caught.value.key, caught.value.operation) == ("a", "write")
    kvstore.open().write(1).result()
    assert kvstore["a"] == b"1"


def test_numbers_keep_their_digits() -> None:
    kvstore = World(ts, '{"a":123456789012345678901234567890}')
    kvstore.open("/b").write(1).result()
    assert kvstore["a"] == b'{"a":123456789012345678901234567890,"b":1}'


@pytest.mark.parametrize("recheck", [True, False, "open"])
def test_when_data_are_read_again(recheck: Any) -> None:
    seen = []
    for module in (ts, tensorstore):
        kvstore = World(module, "1")
        spec = module.Spec({"driver": "json", "kvstore": "memory://a"})
        spec.update(recheck_cached_data=recheck)
        array = kvstore.open(recheck_cached_data=recheck)
        found = [array.read().result().item()]
        kvstore["a"] = "2"
        found.append(array.read().result().item())
        array.write(3).result()
        found.append(array.read().result().item())
        seen.append(found)
    assert seen[0] == seen[1]


def test_members_written_by_many_threads() -> None:
    kvstore = World(ts, None)
    context = kvstore.context

    def write(n: int) -> None:
        own = ts.Context() if n % 2 else context
        # Every other thread shares nothing with the rest but the stored bytes.
        if n % 2:
            spec = {"driver": "json", "kvstore": "memory://a", "json_pointer": f"/m{n}/k"}
            own = ts.Context({"cache_pool": {"total_bytes_limit": n}}, context)
            array = ts.open(spec, context=own).result()
        else:
            array = kvstore.open(f"/m{n}/k")
        for k in range(5):
            array.write(k).result()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert json.loads(kvstore["a"]) == {f"m{n}": {"k": 4} for n in range(8)}


async def test_many_at_once_are_few_writes() -> None:
    kvstore = World(ts, None)
    arrays = [kvstore.open(f"/m{n}") for n in range(100)]
    await asyncio.gather(*(array.write(n) for n, array in enumerate(arrays)))
    assert json.loads(kvstore["a"]) == {f"m{n}": n for n in range(100)}


async def test_one_that_fails_fails_alone() -> None:
    kvstore = World(ts, '{"a":1}')
    good = [kvstore.open(f"/m{n}") for n in range(3)]
    bad = kvstore.open("/a/b")
    outcomes = await asyncio.gather(
        *(array.write(1) for array in (good[0], bad, *good[1:])), return_exceptions=True
    )
    assert [type(each) for each in outcomes] == [type(None), FailedPrecondition] + [type(None)] * 2
    assert json.loads(kvstore["a"]) == {"a": 1, "m0": 1, "m1": 1, "m2": 1}


async def test_cancelled_writes_have_happened_or_never_will() -> None:
    kvstore = World(ts, "{}")
    writes = [kvstore.open(f"/m{n}").write(n) for n in range(30)]
    for write in writes[::3]:
        write.cancel()
    for write in writes:
        with contextlib.suppress(asyncio.CancelledError):
            await write
    first = json.loads(kvstore["a"])
    assert {f"m{n}" for n in range(30) if n % 3} <= first.keys()
    await kvstore.open("/last").write(1)
    assert json.loads(kvstore["a"]) == {**first, "last": 1}


def _increment(path: str, name: str) -> None:
    array = ts.open(f"file://{path}|json:/{name}").result()
    for n in range(20):
        array.write(n).result()


def test_members_written_by_many_processes(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"kept":1}')
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_increment, args=(str(path), f"m{n}")) for n in range(3)]
    for worker in workers:
        worker.start()
    _increment(str(path), "mine")
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert json.loads(path.read_text()) == {
        "kept": 1, "mine": 19, **{f"m{n}": 19 for n in range(3)}
    }  # fmt: skip


class TestTransactions:
    async def test_reads_see_what_is_staged(self) -> None:
        kvstore = World(ts)
        async with ts.Transaction() as transaction:
            array = kvstore.open().with_transaction(transaction)
            part = kvstore.open("/x/y/0").with_transaction(transaction)
            await part.write(9)
            assert (await part.read()).item() == 9
            assert (await array.read()).item()["x"]["y"] == [9, 2, 3]
            assert kvstore["a"] == DOCUMENT.encode()
            await kvstore.open("/new").with_transaction(transaction).write([])
        assert json.loads(kvstore["a"]) == {
            "x": {"y": [9, 2, 3], "z~/": 5}, "n": None, "new": []
        }  # fmt: skip

    async def test_other_parts_may_change_meanwhile(self) -> None:
        kvstore = World(ts)
        transaction = ts.Transaction()
        await kvstore.open("/q").with_transaction(transaction).write(3)
        kvstore["a"] = '{"other":1}'
        await transaction.commit_async()
        assert json.loads(kvstore["a"]) == {"other": 1, "q": 3}

    async def test_what_was_read_must_not_change(self) -> None:
        kvstore = World(ts)
        transaction = ts.Transaction()
        array = kvstore.open("/x").with_transaction(transaction)
        await array.read()
        await array.write(1)
        kvstore["a"] = "{}"
        with pytest.raises(Aborted):
            await transaction.commit_async()
        assert kvstore["a"] == b"{}"

    async def test_an_edit_that_leads_nowhere_fails_the_commit(self) -> None:
        kvstore = World(ts, "3")
        transaction = ts.Transaction()
        await kvstore.open("/x").with_transaction(transaction).write(1)
        with pytest.raises(FailedPrecondition, match="cannot be applied"):
            await transaction.commit_async()
        assert kvstore["a"] == b"3"

    async def test_over_a_value_staged_by_theWorld(self) -> None:
        kvstore = World(ts)
        transaction = ts.Transaction()
        await kvstore.kvstore.with_transaction(transaction).write("a", '{"k":1}')
        await kvstore.open("/l").with_transaction(transaction).write(2)
        await transaction.commit_async()
        assert json.loads(kvstore["a"]) == {"k": 1, "l": 2}
        transaction = ts.Transaction()
        await kvstore.kvstore.with_transaction(transaction).write("a", None)
        with pytest.raises(NotFound):
            await kvstore.open().with_transaction(transaction).read()
        transaction.abort()

    @given(st.lists(st.tuples(st.sampled_from(POINTERS[:12]), st.integers(0, 9)), max_size=5))
    @settings(deadline=None, max_examples=30)
    def test_many_edits_are_as_one_after_the_other(self, edits: list[tuple[str, int]]) -> None:
        plain, staged = World(ts), World(ts)
        transaction = ts.Transaction(atomic=False)
        failed = False
        for pointer, value in edits:
            staged.open(pointer).with_transaction(transaction).write(value).result()
            if not failed:
                failed = isinstance(
                    _outcome(lambda p=pointer, v=value: plain.open(p).write(v).result()),
                    type,
                )
        if failed:
            with contextlib.suppress(ValueError):
                transaction.commit_sync()
        else:
            transaction.commit_sync()
            assert staged["a"] == plain["a"] or not edits


def test_attributes_of_an_array_can_be_edited(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/"
    ts.open(f"{url}|zarr3:", create=True, dtype="int8", shape=[3]).result()
    attribute = ts.open(f"{url}zarr.json|json:/attributes/unit").result()
    attribute.write("mm").result()
    assert tensorstore.open(f"{url}zarr.json|json:/attributes").result().read().result().item() == {
        "unit": "mm"
    }
    assert ts.open(f"{url}|zarr3:").result().read().result().tolist() == [0, 0, 0]


def test_in_a_zip_file(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("b.json", DOCUMENT)
    array = ts.open(f"file://{tmp_path}/a.zip|zip:b.json|json:/x/y/2").result()
    assert array.read().result().item() == 3
    array.write(1).result()
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        assert json.loads(file.read("b.json"))["x"]["y"][2] == 1


def test_progress_is_told_from_a_worker() -> None:
    store = World(ts).open("/x/y")
    told: list[tuple[str, str]] = []

    def progress(so_far: ts.Progress) -> None:
        told.append((so_far.operation, threading.current_thread().name))

    store.read(progress=progress).result()
    store.write([1], progress=progress).result()
    assert [operation for operation, _ in told] == ["read", "write"]
    assert "asynctensor-io" not in {thread for _, thread in told}
