"""Specs and URLs of ``http`` are TensorStore's; secrets are in none of what is shown."""

from __future__ import annotations

import pickle

import pytest
import tensorstore

import asynctensor as ts
from asynctensor.errors import InvalidArgument
from asynctensor.kvstores.http.address import Address

URLS = [
    "http://h:8080/a/b%20c?x=1&y=%2F",
    "https://h",
    "http://h/",
    "http://h/a|zip:x",
    "http://h/a/../b//c",
    "http://h/a%2fb%7e+c?a%20b",
    "http://h?",
]
JSONS = [
    {"base_url": "http://h/a", "path": "b c"},
    {"base_url": "http://h/a/", "path": "b"},
    {"base_url": "http://h?q=1", "path": "/b"},
    {"base_url": "http://h?q=1"},
    {"base_url": "http://h", "path": "b"},
    {"base_url": "http://h/a%2fb", "path": "c"},
    {"base_url": "http://h", "path": "/é%?#"},
    {"base_url": "http://h", "headers": ["X: y"]},
]
BAD = [
    {"base_url": "http://h/a/", "path": "/b"},
    {"base_url": "ftp://h"},
    {"path": "b"},
    {"base_url": "http://h/a#f"},
    {"base_url": "http://h", "headers": ["X y"]},
    {"base_url": "http://h", "headers": {"a": "b"}},
    {"base_url": "http://h", "other": 1},
    {"base_url": 3},
]


@pytest.mark.parametrize("spec", [*URLS, *({"driver": "http"} | json for json in JSONS)])
def test_specs_are_tensorstores(spec) -> None:
    ours, theirs = ts.KvStore.Spec(spec), tensorstore.KvStore.Spec(spec)
    assert ours.to_json() == theirs.to_json()
    assert ours.url == theirs.url
    for a, b in ((ours / "k", theirs / "k"), (ours + "k", theirs + "k")):
        assert a.url == b.url
        assert a.to_json() == b.to_json()


@pytest.mark.parametrize("json", BAD)
def test_what_tensorstore_refuses_is_refused(json) -> None:
    for library in (ts, tensorstore):
        with pytest.raises(ValueError):
            library.KvStore.Spec({"driver": "http"} | json)


def test_defaults() -> None:
    ours = ts.KvStore.Spec("http://h").to_json(include_defaults=True)
    theirs = tensorstore.KvStore.Spec("http://h").to_json(include_defaults=True)
    assert ours.pop("http_credentials") == "http_credentials"
    theirs.pop("data_copy_concurrency")
    assert ours == theirs


@pytest.mark.parametrize(
    "value",
    [{}, {"max_retries": 3}, {"initial_delay": "5ms", "max_delay": "1m"}, {"max_delay": "inf"}],
)
def test_resources_are_tensorstores(value) -> None:
    for service in ("http", "s3", "gcs"):
        name = f"{service}_request_retries"
        ours = ts.Context({name: value})[name]
        theirs = tensorstore.Context({name: value})[name]
        for defaults in (False, True):
            assert ours.to_json(include_defaults=defaults) == theirs.to_json(
                include_defaults=defaults
            )


@pytest.mark.parametrize(
    "value", [{"max_retries": -1}, {"max_retries": 1.5}, {"initial_delay": 3}, {"x": 1}, "x"]
)
def test_wrong_resources_are_refused(value) -> None:
    for library in (ts, tensorstore):
        with pytest.raises(ValueError):
            library.Context({"http_request_retries": value})["http_request_retries"]


@pytest.mark.parametrize(
    "base_url", ["http://h:x", "http://", "http:///a", "http://h/ä", "http://h/a b"]
)
def test_what_is_no_url_is_refused(base_url) -> None:
    with pytest.raises(InvalidArgument, match="base_url"):
        ts.KvStore.Spec({"driver": "http", "base_url": base_url})


@pytest.mark.parametrize("key", ["../a", "a/../b", "a/..", "./a", "\ud800"])
def test_keys_that_leave_their_place_are_refused(key) -> None:
    with pytest.raises(InvalidArgument, match="key"):
        Address("http://h", "/a/").url(key)


@pytest.mark.parametrize("key", ["a//b", "a..", "...", "é/%2F?#", "a" * 900])
def test_other_keys_are_encoded(key) -> None:
    url = Address("http://h", "/x").url(key)
    assert url.startswith("http://h/x/")
    assert all("!" <= c <= "~" for c in url)
    assert "?" not in url


def test_secrets_are_not_shown() -> None:
    spec = {
        "driver": "http",
        "base_url": "http://user:SECRET@h?sig=NOT-SHOWN",
        "path": "/a/",
        "context": {"http_request_retries": {"max_retries": 0}},
    }
    store = ts.KvStore.open(spec).result()
    header = ts.KvStore.open(
        {"driver": "http", "base_url": "http://h", "headers": ["authorization: SECRET", "X: y"]}
    ).result()
    token = ts.KvStore.open(
        "http://h", context=ts.Context({"http_credentials": {"type": "bearer", "token": "SECRET"}})
    ).result()
    for each in (store, header, token):
        shown = [repr(each), str(each.spec().to_json()), each.url, repr(each.store)]
        shown.append(str(each.spec(retain_context=True, unbind_context=True).to_json()))
        assert not [text for text in shown if "SECRET" in text]
        assert b"SECRET" not in pickle.dumps(each)
    assert header.spec().to_json()["headers"] == ["X: y"]
    written = {
        "driver": "http",
        "base_url": "https://u:SECRET@h?SECRET",
        "headers": ["Authorization: SECRET"],
        "http_credentials": {"type": "bearer", "token": "SECRET"},
    }
    assert "SECRET" not in repr(ts.KvStore.Spec(written))
    assert "SECRET" not in repr(ts.Spec({"driver": "zarr3", "kvstore": written}))
    assert "NOT-SHOWN" not in repr(store)
    # It is part of the address.
    assert store.url == "http://h/a/?sig=NOT-SHOWN"


def test_who_asks_is_said_once() -> None:
    spec = {"driver": "http", "base_url": "http://u:p@h", "headers": ["Authorization: x"]}
    with pytest.raises(InvalidArgument, match="say only once who asks"):
        ts.KvStore.open(spec).result()


@pytest.mark.parametrize(
    "value",
    [
        {"type": "basic", "username": "u"},
        {"type": "basic", "username": "u:v", "password": "SECRET"},
        {"type": "bearer", "token": "SECRET", "token_variable": "X"},
        {"type": "bearer", "token": "SECRET\n"},
        {"type": "digest", "token": "SECRET"},
        {"type": "bearer", "password": "SECRET"},
        {},
    ],
)
def test_wrong_credentials_are_refused_without_showing_them(value) -> None:
    with pytest.raises(InvalidArgument) as error:
        ts.Context({"http_credentials": value})["http_credentials"]
    assert "SECRET" not in str(error.value)


async def test_arrays_show_and_pickle_no_secret(caddy) -> None:
    await ts.open(f"file://{caddy.folder}/a/|zarr3:", create=True, dtype="int8", shape=[2])
    host = caddy.url.removeprefix("http://").rstrip("/")
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "http", "base_url": f"http://u:SECRET@{host}", "path": "/a/"},
    }
    array = await ts.open(spec)
    for retain in (False, True):
        shown = array.spec(retain_context=retain)
        assert "SECRET" not in str(shown.to_json())
        assert "SECRET" not in repr(shown)
    assert "SECRET" not in repr(array) + repr(array.kvstore) + str(array.url)
    assert b"SECRET" not in pickle.dumps(array) + pickle.dumps(array.kvstore)
