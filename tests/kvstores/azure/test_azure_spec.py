"""Specs and URLs of the azure kvstore."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.kvstores.azure.address import Address

PLACE = {"driver": "azure", "account": "acc", "container": "c-1"}
SPECS = [
    PLACE,
    {**PLACE, "path": "a b/%"},
    {**PLACE, "container": "$root", "path": "/a"},
    {**PLACE, "endpoint": "http://localhost:1234/acc", "path": "k"},
    {**PLACE, "azure_credentials": {"type": "anonymous"}},
    {**PLACE, "azure_credentials": {"type": "sas", "token_variable": "X"}},
    {**PLACE, "azure_credentials": {"type": "managed_identity", "client_id": "i"}},
    {**PLACE, "azure_request_retries": {"max_retries": 3}},
    {**PLACE, "azure_request_concurrency": {"limit": 3}},
]
WRONG = [
    {"account": "acc"},
    {"container": "abc"},
    {"account": "", "container": "abc"},
    {"account": 5, "container": "abc"},
    {"account": "acc", "container": "abc", "bucket": "x"},
    {"account": "acc", "container": "abc", "endpoint": None},
    *({"account": name, "container": "abc"} for name in ("ab", "A-b", "a" * 25, "a.b", "a/b")),
    *({"account": "acc", "container": name} for name in (
        "ab", "a" * 64, "Abc", "a--b", "-abc", "abc-", "a_b", "$any", "a.b", "a/b", "..."
    )),
    *({"account": "acc", "container": "abc", "azure_credentials": each} for each in (
        {}, 5, {"type": "x"}, {"type": "anonymous", "x": 1}, {"type": "sas", "token": ""},
        {"type": "sas", "token": "a b"}, {"type": "sas", "token": "a", "token_variable": "b"},
        {"type": "shared_key", "key": "a"},
    )),
]  # fmt: skip
URLS = [
    "az://acc/c-1/a%20b/x",
    "az://acc/c-1",
    "az://acc/c-1/",
    "az://acc/c-1//a",
    "az://acc/$root/x",
]
WRONG_URLS = ["az://", "az://acc", "az:///c/x", "az://acc/C/x", "az://acc/c-1/x?sig=secret"]


@pytest.mark.parametrize("json", SPECS)
def test_specs(json) -> None:
    spec = ts.KvStore.Spec(json)
    assert spec.to_json() == json
    assert pickle.loads(pickle.dumps(spec)) == spec
    store = ts.KvStore.open(json).result()
    assert store.spec().to_json() == {k: v for k, v in json.items() if "azure" not in k} | {
        "driver": "azure"
    }
    if "endpoint" in json:
        with pytest.raises(NotImplementedError, match="explicit endpoint"):
            _ = spec.url
    else:
        assert ts.KvStore.Spec(spec.url).to_json() == {
            k: v for k, v in json.items() if "azure_" not in k
        }
        assert store.url == spec.url


@pytest.mark.parametrize("members", WRONG)
def test_wrong_specs_are_refused(members) -> None:
    with pytest.raises(ValueError):
        ts.KvStore.Spec({"driver": "azure", **members})


@pytest.mark.parametrize("url", URLS)
def test_urls(url) -> None:
    spec = ts.KvStore.Spec(url)
    assert ts.KvStore.Spec(spec.to_json()).url == spec.url
    assert spec.url.rstrip("/") == url.rstrip("/")


@pytest.mark.parametrize("url", WRONG_URLS)
def test_wrong_urls_are_refused(url) -> None:
    with pytest.raises(ValueError) as caught:
        ts.KvStore.Spec(url)
    assert "secret" not in str(caught.value)


def test_an_endpoint_may_name_the_account() -> None:
    json = {
        "driver": "azure",
        "container": "abc",
        "endpoint": "https://acc.blob.core.chinacloudapi.cn",
    }
    assert ts.KvStore.Spec(json).to_json() == {**json, "account": "acc"}
    for endpoint in ("https://example.com", "http://[", "https://acc.blob"):
        with pytest.raises(ValueError, match='"account" must be specified'):
            ts.KvStore.Spec({**json, "endpoint": endpoint})


@pytest.mark.parametrize(
    "endpoint", ["localhost:1", "ftp://x", "http://x/?a", "http://x#a", "http://user:pw@x"]
)
def test_wrong_endpoints_are_refused_when_opening(endpoint) -> None:
    with pytest.raises(ts.errors.InvalidArgument, match="endpoint") as caught:
        ts.KvStore.open({**PLACE, "endpoint": endpoint}).result()
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("", "empty"), ("a" * 1025, "longer"), ("\U0001f9e0" * 513, "longer"), ("a\0b", "control"),
        ("a\tb", "control"), ("\x81", "control"), ("\uffff", "control"), ("\ud800", "Unicode"),
        ("a\\b", "backslash"), ("a.", "dot"), ("a./b", "dot"), ("a/../b", "dot"), (".", "dot"),
        ("a/" * 254, "parts"),
    ],
)  # fmt: skip
def test_keys_that_no_blob_can_have(key, why) -> None:
    with pytest.raises(ts.errors.InvalidArgument, match=why):
        Address("acc", "abc").url(key)


@given(st.text(min_size=1, max_size=1100))
def test_keys_are_refused_or_stay_what_they_are(key) -> None:
    from urllib.parse import unquote

    address = Address("acc", "abc")
    try:
        url = address.url(key)
    except ts.errors.InvalidArgument:
        return
    assert unquote(url.removeprefix("https://acc.blob.core.windows.net/abc/")) == key


def test_a_given_token_is_nowhere_to_be_seen() -> None:
    given = {"type": "sas", "token": "sv=1&sig=hidden"}
    store = ts.KvStore.open(
        {**PLACE, "endpoint": "http://localhost:1"},
        context=ts.Context(
            {"azure_credentials": given, "azure_request_retries": {"max_retries": 0}}
        ),
    ).result()
    with pytest.raises(ts.errors.Unavailable) as caught:
        store.read("k").result()
    shown = [repr(store), str(store.spec()), repr(store.spec(retain_context=True)),
             str(caught.value), repr(caught.value.__cause__), repr(store.context)]  # fmt: skip
    shown += [repr(pickle.dumps(store)), repr(pickle.dumps(caught.value))]
    assert not [text for text in shown if "hidden" in text]
    again = pickle.loads(pickle.dumps(store))
    with pytest.raises((ts.errors.PermissionDenied, ts.errors.InvalidArgument)):
        again.read("k").result()
