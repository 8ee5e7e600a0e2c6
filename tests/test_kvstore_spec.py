"""`KvStoreSpec` against TensorStore's `KvStore.Spec`."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import tensorstore as ts
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.errors import InvalidArgument
from asynctensor.kvstore_spec import KvStoreSpec
from asynctensor.registry import REGISTRY
from asynctensor.spec_rules import AnyRules, KvStoreRules


class WithZip(AnyRules):
    """Any rules, and an adapter."""

    def kvstore(self, name: str) -> KvStoreRules:
        if name == "zip":
            return KvStoreRules("zip", scheme="zip", adapter=True)
        return super().kvstore(name)

    def scheme(self, scheme: str, *, first: bool) -> Any:
        return self.kvstore(scheme) if scheme == "zip" else super().scheme(scheme, first=first)


@pytest.mark.parametrize(
    "json",
    [
        {"driver": "memory"},
        {"driver": "memory", "path": "a/b"},
        {"driver": "memory", "atomic": False},
        {"driver": "memory", "memory_key_value_store": "memory_key_value_store#a"},
        {"driver": "file", "path": "/a b/%|?"},
        {"driver": "file", "path": "/x/", "file_io_sync": False, "context": {}},
        "memory://a%20b",
        "file:///tmp/x/",
    ],
)
def test_json_and_urls_are_tensorstores(json: Any) -> None:
    mine, theirs = KvStoreSpec(json, rules=REGISTRY), ts.KvStore.Spec(json)
    assert mine.to_json() == theirs.to_json()
    assert (mine.path, mine.url) == (theirs.path, theirs.url)
    assert repr(mine) == repr(theirs)
    assert KvStoreSpec(mine.to_json(), rules=REGISTRY) == mine
    assert KvStoreSpec(mine, rules=REGISTRY) == mine


@given(*[st.text(st.sampled_from("/ab"), max_size=4)] * 2)
@settings(deadline=None)
def test_paths_join_as_in_tensorstore(path: str, component: str) -> None:
    mine = KvStoreSpec({"driver": "memory", "path": path})
    theirs = ts.KvStore.Spec({"driver": "memory", "path": path})
    assert (mine / component).path == (theirs / component).path
    assert (mine + component).path == (theirs + component).path
    assert mine.path == path


def test_adapters_stand_on_a_base() -> None:
    spec = KvStoreSpec("memory://abc|zip:d", rules=WithZip())
    assert spec.to_json() == ts.KvStore.Spec("memory://abc|zip:d").to_json()
    assert spec.url == "memory://abc|zip:d"
    assert spec.base == KvStoreSpec("memory://abc")
    assert (spec / "e").to_json()["path"] == "d/e"
    with pytest.raises(InvalidArgument, match="root kvstore"):
        KvStoreSpec("zip://d", rules=WithZip())
    with pytest.raises(InvalidArgument, match="kvstore adapter"):
        KvStoreSpec("memory://a|zarr3:", rules=WithZip())


@pytest.mark.parametrize(
    ("json", "text"),
    [
        ({}, 'Error parsing object member "driver": Expected string, but member is missing'),
        ({"driver": "bogus"}, 'member "driver": "bogus" is not a registered KvStore driver'),
        ({"driver": "memory", "bogus": 1}, 'Object includes extra members: "bogus"'),
        ({"driver": "memory", "path": 5}, 'member "path": Expected string, but received: 5'),
        (5, "Expected object, but received: 5"),
        ("file://host/x", "URIs do not support authority"),
        ("bogus://x", 'unsupported URL scheme: "bogus"'),
    ],
)
def test_errors_name_the_path(json: Any, text: str) -> None:
    with pytest.raises(ValueError):
        ts.KvStore.Spec(json)
    with pytest.raises(InvalidArgument) as error:
        KvStoreSpec(json, rules=REGISTRY)
    assert text in str(error.value)


def test_relative_files_have_no_url() -> None:
    with pytest.raises(InvalidArgument, match="relative paths"):
        _ = KvStoreSpec({"driver": "file", "path": "x/y"}).url


def test_a_kvstore_spec_is_a_value() -> None:
    json = {"driver": "file", "path": "/x", "file_io_locking": {"mode": "none"}}
    spec = KvStoreSpec(json, rules=REGISTRY)
    spec.options["file_io_locking"].clear()
    spec.to_json()["file_io_locking"].clear()
    assert spec.to_json() == json
    for twin in (copy.deepcopy(spec), pickle.loads(pickle.dumps(spec))):
        assert twin == spec
        assert hash(twin) == hash(spec)
    assert spec != spec / "a"
    assert spec.without_context().to_json() == {"driver": "file", "path": "/x"}
    assert spec.as_directory().path == "/x/"
    assert KvStoreSpec("memory://").as_directory().path == ""


def test_a_query_is_refused_where_a_kvstore_has_none() -> None:
    with pytest.raises(InvalidArgument, match="Query string not supported; write %3F"):
        KvStoreSpec("memory://a?b")
