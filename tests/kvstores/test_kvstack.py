"""`kvstack` keeps the store contract, and does with layers what TensorStore does."""

from __future__ import annotations

from typing import Any

import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.errors import Aborted, FailedPrecondition, InvalidArgument
from asynctensor.kvstores.kvstack.layers import Layer, layer_of, resolved, within
from asynctensor.kvstores.kvstack.store import KvStackStore
from asynctensor.kvstores.memory.memory_map import MemoryMap
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.storage.key_range import KeyRange
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite

KEYS = ["", "1", "2", "a", "x/", "x/1", "x/2", "x/20", "y", "é/1", "é/ü"]
LAYERS: list[dict[str, Any]] = [
    {},
    {"prefix": "x/"},
    {"prefix": "x/", "strip_prefix": 0},
    {"prefix": "x/", "strip_prefix": 1},
    {"prefix": ""},
    {"prefix": "é/"},
    {"exact": "1"},
    {"exact": "x/1", "strip_prefix": 0},
    {"exact": ""},
    {"inclusive_min": "2", "exclusive_max": "x/2"},
    {"inclusive_min": "x/", "exclusive_max": "x0"},
    {"inclusive_min": "x/0", "exclusive_max": "x/9"},
    {"inclusive_min": "x", "exclusive_max": "x"},
    {"inclusive_min": "x"},
    {"exclusive_max": "x"},
]
WRONG: list[dict[str, Any]] = [
    {"prefix": "x/", "strip_prefix": 5},
    {"prefix": "x/", "strip_prefix": -1},
    {"prefix": "x/", "strip_prefix": "1"},
    {"prefix": 3},
    {"inclusive_min": "x/0", "exclusive_max": "x/9", "strip_prefix": 3},
    {"inclusive_min": "x", "exclusive_max": "a"},
    {"exclusive_max": "x", "prefix": "a"},
    {"exact": "x", "prefix": "a"},
    {"exact": "x", "inclusive_min": "a"},
    {"foo": 1},
    {"base": 3},
]


class TestContract(KeyValueStoreSuite):
    pickles_share = False

    @pytest.fixture
    def store(self) -> KvStackStore:
        values = MemoryMap()
        below = (MemoryStore(values), "below/")
        return KvStackStore(
            [
                Layer(below, KeyRange(), 0),
                Layer((MemoryStore(values), "p/"), KeyRange.prefix("a/"), 2),
                Layer((MemoryStore(values), "q"), KeyRange("k1", "k5"), 1),
            ]
        )


def _spec(*layers: dict[str, Any]) -> dict[str, Any]:
    bases = ["memory://a/", "memory://b/", "memory://c/"]
    return {
        "driver": "kvstack",
        "layers": [{"base": base, **layer} for base, layer in zip(bases, layers, strict=False)],
    }


def _filled(module: Any) -> Any:
    context = module.Context()
    for base in "abc":
        store = module.KvStore.open(f"memory://{base}/", context=context).result()
        for key in KEYS:
            store[key] = f"{base}{key}"
    return context


@given(st.lists(st.sampled_from(LAYERS), max_size=2))
@settings(deadline=None, max_examples=60)
def test_layers_are_tensorstores(layers: list[dict[str, Any]]) -> None:
    # TensorStore crashes on keys of no layer.
    spec = _spec({}, *layers)
    assert ts.KvStore.Spec(spec).to_json() == tensorstore.KvStore.Spec(spec).to_json()
    answers = []
    for module in (ts, tensorstore):
        store = module.KvStore.open(spec, context=_filled(module)).result()
        values = {key: store.read(key).result() for key in KEYS}
        listed = sorted(store.list().result())
        store.delete_range(module.KvStore.KeyRange("1", "x/2")).result()
        after = sorted(store.list().result())
        found = {key: (read.state, read.value) for key, read in values.items()}
        answers.append((found, listed, after))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("layer", WRONG)
def test_wrong_layers_are_refused(layer: dict[str, Any]) -> None:
    for module in (ts, tensorstore):
        with pytest.raises(ValueError, match="layers"):
            module.KvStore.open(_spec({}, layer)).result()


@pytest.mark.parametrize("layers", [3, {}, [3], [{"prefix": "a"}], None])
def test_wrong_members_are_named(layers: Any) -> None:
    with pytest.raises(InvalidArgument, match="layers"):
        ts.KvStore.open({"driver": "kvstack", "layers": layers}).result()


def test_the_spec_of_a_store_opens_it_again() -> None:
    spec = _spec({}, {"inclusive_min": "x/0", "exclusive_max": "x/9", "strip_prefix": 2})
    spec["layers"].append({"base": "memory://c/", "exact": "x/20", "strip_prefix": 1})
    context = _filled(ts)
    store = ts.KvStore.open(spec, context=context).result()
    again = ts.KvStore.open(store.spec(), context=context).result()
    assert again.spec() == store.spec()
    assert {k: store.read(k).result().value for k in KEYS} == {
        k: again.read(k).result().value for k in KEYS
    }
    assert (store / "x").list().result() == (again / "x").list().result()
    with pytest.raises(NotImplementedError, match="URL"):
        store.url  # noqa: B018


def test_keys_of_no_layer() -> None:
    store = ts.KvStore.open(_spec({"prefix": "x/"}, {"exact": "k"}, {"prefix": "z"})).result()
    assert store.read("q").result().state == "missing"
    assert store.read("q", if_equal="7").result().state == "unspecified"
    with pytest.raises(InvalidArgument, match="no layer"):
        store.write("q", b"1").result()
    empty = ts.KvStore.open(_spec()).result()
    assert empty.list().result() == []
    assert empty.read("a").result().state == "missing"


def test_an_array_may_lie_in_two_layers() -> None:
    context = ts.Context()
    below = _spec({}, {"prefix": "array/c/0/"})
    spec = {"driver": "zarr3", "kvstore": {**below, "path": "array/"}}
    array = ts.open(
        spec, create=True, dtype="int32", shape=[4, 4], chunk_layout=ts.ChunkLayout(
            chunk_shape=[2, 2]
        ), context=context,
    ).result()  # fmt: skip
    array[...] = 7
    keys = {
        base: sorted(ts.KvStore.open(f"memory://{base}/", context=context).result().list().result())
        for base in "ab"
    }
    assert keys == {"a": [b"array/c/1/0", b"array/c/1/1", b"array/zarr.json"], "b": [b"0", b"1"]}
    assert (array.read().result() == 7).all()


async def test_layers_of_one_store_commit_together() -> None:
    store = ts.KvStore.open(_spec({}, {"prefix": "x/"}), context=ts.Context()).result()
    transaction = ts.Transaction()
    staged = store.with_transaction(transaction)
    await staged.write("a", b"1")
    await staged.write("x/b", b"2")
    assert store.list().result() == []
    await transaction.commit_async()
    assert sorted(await store.list()) == [b"a", b"x/b"]
    conflicting = ts.Transaction()
    staged = store.with_transaction(conflicting)
    assert (await staged.read("x/b")).value == b"2"
    await staged.write("a", b"3")
    await store.write("x/b", b"9")
    with pytest.raises(Aborted, match="x/b"):
        await conflicting.commit_async()
    assert store["a"] == b"1"


@pytest.mark.parametrize("below", ["memory", "repo"])
@pytest.mark.parametrize("first", ["stack", "below"])
async def test_a_stack_commits_together_with_what_it_shows(below: str, first: str) -> None:
    context = ts.Context()
    base: Any = {"driver": "memory", "path": "b/"}
    if below == "repo":
        await ts.Repository.open("memory://lab/", create=True, context=context)
        base = {"driver": "repo", "base": "memory://lab/", "path": "b/"}
    shown = ts.KvStore.open({**base, "path": ""}, context=context).result()
    layers = [{"base": base, "prefix": "x/", "strip_prefix": 2}]
    stack = ts.KvStore.open({"driver": "kvstack", "layers": layers}, context=context).result()
    writes = [(stack, "x/1", b"in it"), (shown, "x/1", b"beside it")]
    transaction = ts.Transaction()
    for store, key, value in writes if first == "stack" else reversed(writes):
        await store.with_transaction(transaction).write(key, value)
    # No layer has it: nothing is ever there, and nothing to validate.
    assert (await stack.with_transaction(transaction).read("y")).state == "missing"
    await transaction.commit_async()
    assert {key: shown[key] for key in await shown.list()} == {
        b"b/1": b"in it",
        b"x/1": b"beside it",
    }
    transaction = ts.Transaction()
    await shown.with_transaction(transaction).write("x/1", b"again")
    assert (await stack.with_transaction(transaction).read("x/1")).value == b"in it"
    await shown.write("b/1", b"changed")
    with pytest.raises(Aborted) as caught:
        await transaction.commit_async()
    assert caught.value.key == "x/1"
    assert shown["x/1"] == b"beside it"


async def test_one_value_is_not_written_under_two_names() -> None:
    context = ts.Context()
    store = ts.KvStore.open("memory://", context=context).result()
    stack = ts.KvStore.open(_spec({"prefix": "x/", "strip_prefix": 2}), context=context).result()
    transaction = ts.Transaction()
    await store.with_transaction(transaction).write("a/1", b"1")
    await stack.with_transaction(transaction).write("x/1", b"2")
    with pytest.raises(FailedPrecondition, match="'a/1' and 'x/1' are the same stored value"):
        await transaction.commit_async()
    assert store.list().result() == []


async def test_what_no_layer_has_is_not_written_in_a_transaction() -> None:
    stack = ts.KvStore.open(_spec({"prefix": "x/"}), context=ts.Context()).result()
    transaction = ts.Transaction()
    await stack.with_transaction(transaction).write("y", b"1")
    with pytest.raises(InvalidArgument, match="nothing can be stored under this key"):
        await transaction.commit_async()


_text = st.text(st.sampled_from("abé"), max_size=3)


@given(st.lists(st.tuples(_text, _text), max_size=5), _text, _text)
@settings(deadline=None)
def test_the_last_layer_of_a_key_has_it(ranges: list[tuple[str, str]], low: str, high: str) -> None:
    layers = [Layer(n, KeyRange(*bounds), 0) for n, bounds in enumerate(ranges)]
    found = resolved(layers)
    wanted = KeyRange(low, high)
    for key in ["", "a", "aa", "ab", "b", "bé", "é", "éa", "ééé"]:
        owner = max((e.base for e in layers if key in e.key_range), default=None)
        layer = layer_of(found, key)
        assert (None if layer is None else layer.base) == owner
        parts = [(e.base, key in part) for e, part in within(found, wanted) if key in part]
        assert parts == ([(owner, True)] if owner is not None and key in wanted else [])
