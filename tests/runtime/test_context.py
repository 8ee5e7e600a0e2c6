from __future__ import annotations

import pickle

import pytest

from asynctensor.errors import InvalidArgument
from asynctensor.runtime.context import Context
from asynctensor.runtime.resource_type import ResourceRegistry
from asynctensor.runtime.resources import (
    STANDARD_RESOURCES,
    CachePoolResource,
    FileIoLocking,
    MemoryKeyValueStoreResource,
)
from asynctensor.runtime.workers import WorkerPool

DEFAULTS = {
    "cache_pool": ({}, {"total_bytes_limit": 0}),
    "data_copy_concurrency": ({}, {"limit": "shared"}),
    "file_io_concurrency": ({}, {"limit": "shared"}),
    "file_io_sync": (True, True),
    "file_io_locking": ({}, {"acquire_timeout": "1m", "mode": "os"}),
    "file_io_mode": ({}, {"mode": "default"}),
    "memory_key_value_store": ({}, {}),
    "http_credentials": ({"type": "none"}, {"type": "none"}),
    "aws_credentials": ({"type": "default"}, {"type": "default"}),
    "gcs_credentials": ({"type": "default"}, {"type": "default"}),
    "gcs_user_project": ({}, {}),
    "azure_credentials": ({"type": "default"}, {"type": "default"}),
}
for _name in ("experimental_gcs_grpc_credentials", "grpc_client_credentials", "ocdbt_coordinator"):
    DEFAULTS[_name] = ({}, {})
for _name, _retries in {"file_io": 0, "tsgrpc_request": 32}.items():
    DEFAULTS[f"{_name}_retries"] = (
        {},
        {"initial_delay": "1s", "max_delay": "32s", "max_retries": _retries},
    )
for _service in ("azure", "gcs", "http", "s3"):
    DEFAULTS[f"{_service}_request_concurrency"] = ({}, {"limit": "shared"})
    DEFAULTS[f"{_service}_request_retries"] = (
        {},
        {"initial_delay": "1s", "max_delay": "32s", "max_retries": 32},
    )
for _service in ("azure", "gcs", "s3"):
    DEFAULTS[f"experimental_{_service}_rate_limiter"] = ({}, {})
DEFAULTS["request_hedging"] = ({}, {"extra_requests": 0.0})


def test_every_standard_resource_is_tested_here() -> None:
    assert set(STANDARD_RESOURCES) == set(DEFAULTS)


@pytest.mark.parametrize("key", DEFAULTS)
def test_the_default_resources(key) -> None:
    short, full = DEFAULTS[key]
    resource = Context()[key]
    assert resource.to_json() == short
    assert resource.to_json(include_defaults=True) == full
    assert repr(resource) == f"Context.Resource({short!r})"


def test_a_default_context() -> None:
    context = Context()
    assert context.spec is None
    assert context.parent is None
    assert context["cache_pool"] is context["cache_pool"] is context.get("cache_pool")
    assert context["cache_pool"] != Context()["cache_pool"]


def test_what_the_resources_hold() -> None:
    context = Context(
        {
            "cache_pool": {"total_bytes_limit": 5},
            "data_copy_concurrency": {"limit": 3},
            "file_io_sync": False,
            "file_io_locking": {"mode": "lockfile", "acquire_timeout": "1.5s"},
            "file_io_mode": {"mode": "memmap"},
        }
    )
    pool = context["cache_pool"].value
    assert isinstance(pool, CachePoolResource)
    assert pool is context["cache_pool"].value
    assert pool.total_bytes_limit == 5
    workers = context["data_copy_concurrency"].value
    assert isinstance(workers, WorkerPool)
    assert workers.size == 3
    assert context["file_io_sync"].value is False
    assert context["file_io_locking"].value == FileIoLocking("lockfile", 1.5)
    assert context["file_io_mode"].value == "memmap"
    memory = context["memory_key_value_store"].value
    assert isinstance(memory, MemoryKeyValueStoreResource)
    assert memory != Context()["memory_key_value_store"].value


def test_shared_pools_are_shared_by_all_contexts() -> None:
    for key in ("data_copy_concurrency", "file_io_concurrency"):
        assert Context()[key].value is Context()[key].value
        own = {key: {"limit": 1}}
        assert Context(own)[key].value is not Context(own)[key].value
    assert Context()["file_io_concurrency"].value.size >= 4


def test_references_share_the_resource() -> None:
    context = Context(
        {
            "cache_pool": {"total_bytes_limit": 5},
            "cache_pool#b": "cache_pool",
            "cache_pool#c": "cache_pool#b",
        }
    )
    assert context["cache_pool#c"] is context["cache_pool#b"] is context["cache_pool"]


def test_null_is_a_fresh_default_resource() -> None:
    parent = Context({"cache_pool": {"total_bytes_limit": 5}})
    child = Context({"cache_pool": None, "cache_pool#a": None}, parent)
    assert child["cache_pool"].to_json() == {}
    assert len({child["cache_pool"], child["cache_pool#a"], parent["cache_pool"]}) == 3
    assert child.spec is not None
    assert child.spec.to_json() == {"cache_pool": None, "cache_pool#a": None}


def test_a_child_inherits_what_it_does_not_name() -> None:
    parent = Context({"cache_pool#a": {"total_bytes_limit": 5}, "file_io_sync": False})
    child = Context({"cache_pool#z": "cache_pool#a", "file_io_sync": True}, parent=parent)
    assert child.parent is parent
    assert child["cache_pool#z"] is parent["cache_pool#a"] is child["cache_pool#a"]
    assert child["memory_key_value_store"] is parent["memory_key_value_store"]
    assert child["file_io_sync"].value is True
    assert parent["file_io_sync"].value is False


@pytest.mark.parametrize(
    ("json", "message"),
    [
        (None, "Expected object, but received: null"),
        (3, "Expected object, but received: 3"),
        ([], r"Expected object, but received: \[\]"),
        ({"bogus": {}}, 'Invalid context resource identifier: "bogus"'),
        ({"bogus#3": {}}, 'Invalid context resource identifier: "bogus#3"'),
        ({3: {}}, "Invalid context resource identifier: 3"),
        ({"cache_pool": 3}, "Expected object, but received: 3"),
        ({"cache_pool": {"x": 1}}, 'Object includes extra members: "x"'),
        (
            {"cache_pool": {"total_bytes_limit": -1}},
            'member "total_bytes_limit": Expected 64-bit unsigned integer, but received: -1',
        ),
        ({"cache_pool": {"total_bytes_limit": True}}, "unsigned integer, but received: true"),
        ({"cache_pool": {"total_bytes_limit": 2**64}}, "unsigned integer, but received: 1844"),
        ({"cache_pool": {"total_bytes_limit": 1.5}}, "unsigned integer, but received: 1.5"),
        ({"cache_pool": {"total_bytes_limit": float("nan")}}, "unsigned integer"),
        ({"cache_pool": {"total_bytes_limit": float("inf")}}, "unsigned integer"),
        ({"cache_pool": "data_copy_concurrency"}, 'Invalid spec or reference to "cache_pool"'),
        ({"data_copy_concurrency": {"limit": 0}}, r"integer in the range \[1, "),
        ({"file_io_concurrency": {"limit": "all"}}, 'received: "all"'),
        ({"file_io_sync": 3}, "Expected boolean, but received: 3"),
        ({"file_io_locking": {"mode": "x"}}, 'Expected one of "os", "lockfile", "none"'),
        ({"file_io_locking": {"mode": []}}, r"received: \[\]"),
        ({"file_io_locking": {"acquire_timeout": 5}}, "Expected a duration such as"),
        ({"file_io_mode": {"mode": "x"}}, 'Expected one of "default", "memmap", "direct"'),
        ({"memory_key_value_store": {"a": 1}}, 'extra members: "a"'),
    ],
)
def test_wrong_specifications_are_refused(json, message) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Context(json)
    with pytest.raises(InvalidArgument, match=message):
        Context.Spec(json)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("bogus", 'Invalid context resource identifier: "bogus"'),
        ("", 'Invalid context resource identifier: ""'),
        ("#a", 'Invalid context resource identifier: ""'),
        ("cache_pool#a", 'Resource not defined: "cache_pool#a"'),
        ("cache_pool#", 'Resource not defined: "cache_pool#"'),
    ],
)
def test_unknown_keys_are_refused(key, message) -> None:
    for context in (Context(), Context({}), Context({}, Context())):
        with pytest.raises(InvalidArgument, match=message):
            context[key]


def test_reference_cycles_are_refused() -> None:
    one = Context({"cache_pool": "cache_pool"})
    with pytest.raises(InvalidArgument, match=r'cycle: "cache_pool":"cache_pool"$'):
        one["cache_pool"]
    two = Context({"cache_pool#q": "cache_pool#r", "cache_pool#r": "cache_pool#q"})
    with pytest.raises(InvalidArgument, match='"cache_pool#q":"cache_pool#r" -> "cache_pool#r":'):
        two["cache_pool#q"]


def test_a_parent_must_be_a_context() -> None:
    with pytest.raises(InvalidArgument, match="parent must be a Context"):
        Context({}, {})


def test_the_json_of_a_specification() -> None:
    spec = Context.Spec({"cache_pool": {"total_bytes_limit": 1.0}, "cache_pool#a": None})
    assert spec.to_json() == {"cache_pool": {"total_bytes_limit": 1}, "cache_pool#a": None}
    default = Context.Spec({"data_copy_concurrency": {"limit": "shared"}})
    assert default.to_json() == {"data_copy_concurrency": {}}
    assert default.to_json(True) == {"data_copy_concurrency": {"limit": "shared"}}
    assert repr(default) == "Context.Spec({'data_copy_concurrency': {}})"
    long = Context.Spec(
        {"file_io_sync": False, "cache_pool": {"total_bytes_limit": 5000000}, "cache_pool#b": None}
    )
    assert repr(long) == (
        "Context.Spec({\n"
        "  'cache_pool': {'total_bytes_limit': 5000000},\n"
        "  'cache_pool#b': None,\n"
        "  'file_io_sync': False,\n"
        "})"
    )


def test_what_a_member_of_a_spec_asks_for() -> None:
    context = Context({"cache_pool#a": {"total_bytes_limit": 5}})
    assert context.resolve("cache_pool") is context["cache_pool"]
    assert context.resolve("cache_pool", "cache_pool#a") is context["cache_pool#a"]
    assert context.resolve("cache_pool", context["cache_pool#a"]) is context["cache_pool#a"]
    own = context.resolve("cache_pool", {"total_bytes_limit": 7})
    assert own.to_json() == {"total_bytes_limit": 7}
    assert own is not context.resolve("cache_pool", {"total_bytes_limit": 7})
    assert context.resolve("cache_pool", None) is not context["cache_pool"]
    with pytest.raises(InvalidArgument):
        context.resolve("cache_pool", "file_io_sync")
    with pytest.raises(InvalidArgument, match="cache_pool"):
        context.resolve("file_io_sync", context["cache_pool"])


def test_a_pickle_keeps_what_is_shared_inside_it() -> None:
    parent = Context({"memory_key_value_store": {}})
    child = Context({"cache_pool": {"total_bytes_limit": 1}}, parent)
    memory = parent["memory_key_value_store"]
    p, c, m = pickle.loads(pickle.dumps((parent, child, memory)))
    assert c.parent is p
    assert p["memory_key_value_store"] is m is c["memory_key_value_store"]
    assert m is not memory
    assert m.value is not memory.value
    assert c["cache_pool"].to_json() == {"total_bytes_limit": 1}
    assert c.spec.to_json() == child.spec.to_json()
    other = pickle.loads(pickle.dumps(parent))
    assert other["memory_key_value_store"] is not m


def test_specifications_are_pickled() -> None:
    json = {"cache_pool#a": None, "cache_pool": "cache_pool#a", "memory_key_value_store": {}}
    assert pickle.loads(pickle.dumps(Context.Spec(json))).to_json() == json


def test_only_known_registries_are_pickled() -> None:
    with pytest.raises(InvalidArgument, match="restore="):
        pickle.dumps(ResourceRegistry([]))


def value_of(context: Context, key: str) -> object:
    return context[key].value


def test_two_threads_get_one_resource_and_one_object(in_thread) -> None:
    for _ in range(50):
        context = Context()
        threads = [in_thread(value_of, context, "memory_key_value_store") for _ in range(4)]
        assert len({thread.result() for thread in threads}) == 1
