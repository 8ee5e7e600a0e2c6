"""Specs and context resources: bound, unbound, stripped, shared; as in TensorStore."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import tensorstore as ts
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as at
from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.resource_names import ResourceNames

MEMORY = {"driver": "memory", "path": "a/"}
CONTEXTS: list[dict[str, Any]] = [
    {},
    {"memory_key_value_store#a": {}},
    {"memory_key_value_store": "memory_key_value_store#a", "memory_key_value_store#a": {}},
    {"cache_pool": {"total_bytes_limit": 9}, "cache_pool#a": {"total_bytes_limit": 8}},
    {"file_io_sync": False, "file_io_concurrency": {"limit": 3}},
]
RESOURCES: dict[str, list[Any]] = {
    "cache_pool": ["cache_pool", "cache_pool#a", {"total_bytes_limit": 5}],
    "data_copy_concurrency": [{"limit": 2}],
}
STORES: list[dict[str, Any]] = [
    MEMORY,
    {**MEMORY, "memory_key_value_store": "memory_key_value_store#a"},
    {**MEMORY, "memory_key_value_store": {}},
    {**MEMORY, "context": {"memory_key_value_store": {}}},
]


def outcome(work: Any) -> Any:
    """What a call gives, or the built-in kind of error that it raises."""
    try:
        return work()
    except ValueError:
        return ValueError


def text(module: Any, spec: Any) -> str:
    return repr(spec).replace(f"{module.__name__}.", "")


@st.composite
def spec_jsons(draw: st.DrawFn) -> dict[str, Any]:
    json: dict[str, Any] = {"driver": "zarr3", "kvstore": draw(st.sampled_from(STORES))}
    for name, values in RESOURCES.items():
        if draw(st.booleans()):
            json[name] = draw(st.sampled_from(values))
    if draw(st.booleans()):
        json["context"] = draw(st.sampled_from(CONTEXTS))
    return json


STEPS = st.sampled_from([{"unbind_context": True}, {"strip_context": True}, {"context": True}])


@settings(max_examples=60, deadline=None)
@given(spec_jsons(), st.sampled_from(CONTEXTS), st.lists(STEPS, max_size=3))
def test_specs_are_bound_as_in_tensorstore(
    json: dict[str, Any], context: dict[str, Any], steps: list[dict[str, bool]]
) -> None:
    def worked(module: Any) -> list[Any]:
        bound = module.Context(context)
        spec = module.Spec(json)
        seen = []
        for step in [{"context": True}, *steps]:
            spec.update(**{k: bound if k == "context" else v for k, v in step.items()})
            seen += [spec.to_json(), text(module, spec), spec.kvstore.to_json()]
        return seen

    assert outcome(lambda: worked(at)) == outcome(lambda: worked(ts))


@pytest.mark.parametrize("json", STORES)
@pytest.mark.parametrize("context", CONTEXTS)
def test_kvstore_specs_are_bound_as_in_tensorstore(
    json: dict[str, Any], context: dict[str, Any]
) -> None:
    def worked(module: Any) -> list[Any]:
        spec = module.KvStore.Spec(json)
        unbound = spec.copy()
        spec.update(context=module.Context(context))
        seen = [spec.to_json(), text(module, spec), spec == unbound, spec == spec.copy()]
        spec.update(unbind_context=True)
        seen += [spec.to_json(), text(module, spec)]
        spec.update(strip_context=True)
        return [*seen, spec.to_json()]

    assert outcome(lambda: worked(at)) == outcome(lambda: worked(ts))


@pytest.mark.parametrize("options", [{}, {"retain_context": True}, {"unbind_context": True}])
@pytest.mark.parametrize("context", CONTEXTS)
def test_what_is_open_says_its_resources(options: dict[str, bool], context: dict[str, Any]) -> None:
    def worked(module: Any) -> list[Any]:
        bound = module.Context(context)
        store = module.open(
            {"driver": "zarr3", "kvstore": "memory://a/"},
            context=bound,
            create=True,
            dtype="uint8",
            shape=[3],
        ).result()
        view = store[1:2].label["x"]
        specs = [each.spec(minimal_spec=True, **options) for each in (store, view)]
        kvstore = store.kvstore.spec(**options)
        again = module.KvStore.open("memory://a/", context=bound).result()
        return [
            *[spec.to_json() for spec in specs],
            *[text(module, spec) for spec in specs],
            kvstore.to_json(),
            text(module, kvstore),
            kvstore == again.spec(**options),
            repr(again),
            specs[0].kvstore == kvstore,
        ]

    assert worked(at) == worked(ts)


def test_a_retained_context_is_shared_and_an_unbound_one_is_not() -> None:
    first = at.KvStore.open("memory://").result()
    first["a"] = b"1"
    retained = first.spec(retain_context=True)
    for spec in (retained, retained.copy(), copy.deepcopy(retained), copy.copy(retained)):
        assert at.KvStore.open(spec).result()["a"] == b"1"
        assert spec == retained
    unbound = first.spec(unbind_context=True)
    assert at.KvStore.open(unbound).result().list().result() == []
    assert at.KvStore.open(first.spec()).result().list().result() == []
    below = at.KvStore.open(retained / "b").result()
    below["c"] = b"2"
    assert first["bc"] == b"2"


def test_a_view_of_memory_is_opened_again_by_its_retained_spec() -> None:
    store = at.open(
        {"driver": "zarr3", "kvstore": "memory://"}, create=True, dtype="uint8", shape=[4]
    ).result()
    store[...] = [1, 2, 3, 4]
    spec = store[1:3].spec(retain_context=True)
    assert at.open(spec).result().read().result().tolist() == [2, 3]
    with pytest.raises(ValueError, match="NOT_FOUND"):
        at.open(store.spec(unbind_context=True), open=True).result()


def test_arrays_stand_on_a_kvstore_that_is_open() -> None:
    kvstore = at.KvStore.open("memory://").result()
    store = at.open(
        {"driver": "zarr3"}, kvstore=kvstore / "x", create=True, dtype="uint8", shape=[2]
    )
    store.result()[...] = 5
    assert kvstore.list().result()[0].startswith(b"x/")
    txn = at.Transaction()
    staged = at.open({"driver": "zarr3"}, kvstore=(kvstore / "x").with_transaction(txn)).result()
    assert staged.transaction is txn


def test_a_pickle_keeps_what_is_shared() -> None:
    spec = at.KvStore.open("memory://").result().spec(retain_context=True)
    first, second = pickle.loads(pickle.dumps((spec, spec / "b")))
    assert first.to_json() == spec.to_json()
    at.KvStore.open(first).result()["bc"] = b"3"
    assert at.KvStore.open(second).result()["c"] == b"3"
    array = at.Spec({"driver": "zarr3", "kvstore": "memory://"})
    array.update(context=at.Context())
    one, two = pickle.loads(pickle.dumps((array, array.copy())))
    assert one == two
    assert one != array
    assert one.to_json() == array.to_json()


def test_resources_of_two_contexts_get_two_names() -> None:
    layers = []
    for _ in range(2):
        layers.append(at.KvStore.Spec("memory://"))
        layers[-1].update(context=at.Context())
    assert layers[0] != layers[1]
    names = ResourceNames([*layers[0].value.resources(), *layers[1].value.resources()])
    assert names.context == {"memory_key_value_store": {}, "memory_key_value_store#0": {}}
    twice = [*layers[0].value.resources()] * 2
    assert ResourceNames(twice).context == {"memory_key_value_store": {}}
    own = at.Context().resolve("cache_pool", {"total_bytes_limit": 5})
    assert ResourceNames([own]).context == {}
    assert ResourceNames([own, own]).context == {"cache_pool#0": {"total_bytes_limit": 5}}


@pytest.mark.parametrize("json", [{"cache_pool": "cache_pool#b"}, {"cache_pool": "file_io_sync"}])
def test_a_resource_that_is_not_there_is_named_with_its_place(json: dict[str, Any]) -> None:
    def bind() -> None:
        spec = at.Spec({"driver": "zarr3", "kvstore": "memory://", **json})
        spec.update(context=at.Context())

    with pytest.raises(InvalidArgument, match=r'"cache_pool".*'):
        bind()


def test_what_is_no_context_is_refused() -> None:
    for spec in (at.Spec({"driver": "zarr3"}), at.KvStore.Spec("memory://")):
        with pytest.raises(IncompatibleType, match="Context"):
            spec.update(context={"cache_pool": {}})  # type: ignore[arg-type]
