"""JSON and URLs of kvstores mean what they mean to TensorStore, or are refused by both."""

from __future__ import annotations

from typing import Any

import pytest
import tensorstore

import asynctensor as ts

PATHS = [
    "memory://", "memory://a", "memory://a/", "memory://a%20b", "memory://a b", "memory://a%zz",
    "memory://a?b", "memory://a#b", "memory:a", "memory:", "memory", "", "file://a", "file:///a",
    "file:///a b/", "file:/a", "file:a", "a", "/a", "|", "memory://a|", "|zip", "memory://a||zip:",
    "memory:///a", "memory://%F0%9F%A7%A0", "memory://é", "memory://a!$&'()*+,;=:@~b",
    "memory://a\\b", 'memory://a"b', "memory://a<b>", "memory://a^b`c{d}", "memory://a%2Fb",
    "memory://a%2fb", "memory://a//b", "memory://../b", "memory://a\nb", "memory://\0", "foo://a",
    "zip:a", "zip://a", "json:/a", "zarr3:", "zarr3://", "auto:", "file:///a//b", "file:///a/./b",
    "file:///a/b/..", "file:///a/b/../", "file:///..", "file:///", "file:///.", "file:////",
    "file:///a/b/.", "file:///%2e%2e/a", "file:///a%2F..%2Fb", "file:///a/...", "file:///a///",
]  # fmt: skip
PIPELINES = [
    f"memory://a|{rest}"
    for rest in [
        "zip", "zip:", "zip:b", "zip:/b", "zip:b/|zip:c", "zip://b", "zip:?b", "zip:b#c", "zip:%7C",
        "zip:../b", "foo:", "zarr3", "zarr3:", "zarr3:b", "zarr3:b/", "zarr3:/b", "zarr:",
        "zarr2:b",
        "n5:b", "auto", "auto:", "auto:b", "zarr3:|array:", "zarr3:|zip:", "json:", "json:/b",
        "json:b", "zip:b|json:/c", "memory:", "memory://b", "file:///b", "array", "zarr3|auto",
        "kvstack:", "zarr3:%2F", "zip:b|zarr2:c|json:/d",
    ]
] + ["memory://|zarr3:/b", "memory://a/|zarr3:/b", "memory://|zarr3:b"]  # fmt: skip
JSON: list[Any] = [
    {"driver": "memory", "path": "a", "base": "memory://b"}, {"driver": "zip"},
    {"driver": "zip", "base": {"driver": "foo"}}, {"driver": "zip", "base": 3},
    {"driver": "zip", "base": None},
    {"driver": "zip", "base": "memory://a", "compression": "store"},
    {"driver": "zip", "base": "memory://a", "compression": "deflate"},
    {"driver": "zip", "base": "memory://a", "compression": "lzma"},
    {"driver": "zip", "base": "memory://a", "compression": 8}, {"url": "memory://a"},
    {"driver": "memory", "url": "x"}, 3, None, [], {"driver": 3}, {"driver": "memory", "path": 3},
    {"driver": "memory", "path": None}, {"driver": "memory", "context": 3},
    {"driver": "memory", "context": {}}, {"driver": "memory", "context": {"cache_pool": {}}},
    {"driver": "memory", "context": {"foo": 3}}, {"driver": "memory", "atomic": 3},
    {"driver": "memory", "atomic": True}, {"driver": "memory", "atomic": False},
    {"driver": "memory", "memory_key_value_store": 3},
    {"driver": "memory", "memory_key_value_store": "memory_key_value_store"},
    {"driver": "memory", "memory_key_value_store": "memory_key_value_store#a"},
    {"driver": "memory", "memory_key_value_store": "foo"},
    {"driver": "file", "path": "/a", "file_io_sync": 3},
    {"driver": "file", "path": "/a", "file_io_sync": True},
    {"driver": "file", "path": "/a", "file_io_mode": {"mode": "x"}},
    {"driver": "file", "path": "/a", "file_io_mode": {"mode": "default"}},
    {"driver": "file", "path": "/a", "file_io_mode": {"mode": "memmap"}},
    {"driver": "file"},
    {"driver": "zip", "base": {"driver": "zip", "base": "memory://a", "path": "b"}, "path": "c"},
    {"driver": "zip", "base": "memory://a|zip:b", "cache_pool": 3},
    {"driver": "zip", "base": "memory://a", "cache_pool": {"total_bytes_limit": 0}},
    {"driver": "zip", "base": "memory://a", "cache_pool": {"total_bytes_limit": 7}},
    {"driver": "kvstack", "layers": [], "path": "a"},
    {"driver": "kvstack", "layers": [{"base": "memory://a|zip:b", "prefix": "q"}]},
    {"driver": "kvstack", "layers": [{"base": "memory://a"}], "base": "memory://b"},
]  # fmt: skip


def _outcome(action: Any) -> Any:
    try:
        return action()
    except NotImplementedError:
        return "not implemented"
    except (ValueError, TypeError):
        return "refused"


@pytest.mark.parametrize("url", PATHS + PIPELINES)
def test_urls_are_tensorstores(url: str) -> None:
    found = []
    for module in (ts, tensorstore):
        kvstore = _outcome(lambda m=module: m.KvStore.Spec(url))
        spec = _outcome(lambda m=module: m.Spec(url))
        found.append(
            [
                each if isinstance(each, str) else (each.to_json(), _outcome(lambda e=each: e.url))
                for each in (kvstore, spec)
            ]
        )
    assert found[0] == found[1]


@pytest.mark.parametrize("json", JSON, ids=repr)
def test_json_is_tensorstores(json: Any) -> None:
    def kvstore(module: Any) -> Any:
        spec = module.KvStore.Spec(json)
        base = None if spec.base is None else spec.base.to_json()
        return spec.to_json(), spec.path, _outcome(lambda: spec.url), base

    def array(module: Any) -> Any:
        return module.Spec({"driver": "zarr3", "kvstore": json, "path": "x"}).to_json()

    for form in (kvstore, array):
        mine = _outcome(lambda f=form: f(ts))
        assert mine == _outcome(lambda f=form: f(tensorstore))


@pytest.mark.parametrize(
    ("json", "path"),
    [
        ({"driver": "zip", "base": {"driver": "memory", "atomic": 3}}, ['"base"', '"atomic"']),
        ({"driver": "kvstack", "layers": [{"base": "foo://"}]}, ['"layers"', "position 0", "foo"]),
        ({"driver": "file", "file_io_mode": {"mode": 1}}, ['"file_io_mode"', '"mode"']),
        ("memory://a|zip:b|fob:", ["fob", "memory://a|zip:b|fob:"]),
    ],
)
def test_errors_name_what_is_wrong(json: Any, path: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        ts.KvStore.Spec(json)
    for part in path:
        assert part in str(caught.value)
