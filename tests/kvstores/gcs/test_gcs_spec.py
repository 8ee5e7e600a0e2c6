"""Specs, URLs and resources of the gcs kvstore, as TensorStore has them."""

from __future__ import annotations

import pickle

import pytest
import tensorstore
from hypothesis import given
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.kvstores.gcs.address import Address
from asynctensor.kvstores.gcs.generation import generation_of, number_of
from asynctensor.storage.generation import NO_VALUE
from tests.servers.gcs_app import unquoted

SPECS = [
    {"bucket": "my-bucket", "path": "a b/%"},
    {"bucket": "my-bucket"},
    {"bucket": "abc", "path": "/a"},
    {"bucket": "abc", "gcs_user_project": {"project_id": "x"}},
    {"bucket": "abc", "gcs_user_project": {}},
    {"bucket": "abc", "gcs_request_retries": {"max_retries": 3}},
    {"bucket": "abc", "gcs_request_concurrency": {"limit": 3}},
    {"bucket": "abc", "data_copy_concurrency": {"limit": 3}},
    {"bucket": "abc", "experimental_gcs_rate_limiter": {}},
    {"bucket": "abc", "experimental_gcs_rate_limiter": {"read_rate": 1, "doubling_time": "2m"}},
    *({"bucket": name} for name in (
        "a.b", "a_b", "1.2.3.4", "goog-x", "a" * 63, "a.b_.c", ("a" * 62 + ".") * 3 + "b" * 30,
    )),
]  # fmt: skip
WRONG = [
    {},
    {"bucket": 5},
    {"bucket": "abc", "path": 5},
    {"bucket": "abc", "gcs_user_project": {"project_id": 5}},
    {"bucket": "abc", "gcs_user_project": {"x": 5}},
    {"bucket": "abc", "gcs_user_project": 5},
    {"bucket": "abc", "region": "x"},
    *({"bucket": name} for name in (
        "", "ab", "a..b", "-ab", "ab-", "_ab", "ab_", "a.-b", "a-.b", "a" * 64, "ABC", "a b",
        "a." + "b" * 60 + "." + "c" * 60 + "." + "d" * 60 + "." + "e" * 60,
    )),
]  # fmt: skip
URLS = ["gs://my-bucket/a%20b/x", "gs://my-bucket", "gs://my-bucket/", "gs://abc//a", "gs://a.b/é"]
WRONG_URLS = ["gs://", "gs:///x", "gs://MY/x", "gs://my-bucket/x?a=b", "gs://my-bucket/%F"]


@pytest.mark.parametrize("members", SPECS)
def test_specs_are_as_tensorstores(members) -> None:
    ours = ts.KvStore.Spec({"driver": "gcs", **members})
    theirs = tensorstore.KvStore.Spec({"driver": "gcs", **members})
    assert ours.to_json() == theirs.to_json()
    assert ours.url == theirs.url
    assert pickle.loads(pickle.dumps(ours)) == ours


@pytest.mark.parametrize("members", WRONG)
def test_wrong_specs_are_refused_as_there(members) -> None:
    json = {"driver": "gcs", **members}
    with pytest.raises(ValueError) as theirs:
        tensorstore.KvStore.Spec(json)
    with pytest.raises(ValueError) as ours:
        ts.KvStore.Spec(json)
    assert str(theirs.value).partition(" [source")[0] in str(ours.value)


@pytest.mark.parametrize("url", URLS)
def test_urls_are_as_tensorstores(url) -> None:
    ours, theirs = ts.KvStore.Spec(url), tensorstore.KvStore.Spec(url)
    assert (ours.to_json(), ours.url) == (theirs.to_json(), theirs.url)


@pytest.mark.parametrize("url", WRONG_URLS)
def test_wrong_urls_are_refused(url) -> None:
    with pytest.raises(ValueError):
        tensorstore.KvStore.Spec(url)
    with pytest.raises(ValueError):
        ts.KvStore.Spec(url)


def test_an_endpoint_of_its_own() -> None:
    json = {"driver": "gcs", "bucket": "abc", "endpoint": "http://localhost:1/x/", "path": "a/"}
    store = ts.KvStore.open(json).result()
    assert store.spec().to_json() == {**json, "endpoint": "http://localhost:1/x"}
    with pytest.raises(NotImplementedError, match="explicit endpoint"):
        _ = store.url
    for wrong in ("localhost:1", "ftp://x", "http://x/?a", "http://x#a", "http://user:pw@x"):
        with pytest.raises(ts.errors.InvalidArgument, match="endpoint") as caught:
            ts.KvStore.open({**json, "endpoint": wrong}).result()
        assert "pw" not in str(caught.value)


def test_an_emulator_of_the_environment(monkeypatch) -> None:
    for text, shown in (("localhost:1", "http://localhost:1/abc"), ("https://x", "https://x/abc")):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", text)
        context = ts.Context({"gcs_request_retries": {"max_retries": 0}})
        store = ts.KvStore.open("gs://abc/k", context=context).result()
        assert store.spec().to_json() == {"driver": "gcs", "bucket": "abc", "path": "k"}
        if text == "localhost:1":
            with pytest.raises(ts.errors.Unavailable) as caught:
                store.read("").result()
            assert caught.value.store == shown
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://x/?y")
    with pytest.raises(ts.errors.InvalidArgument, match="STORAGE_EMULATOR_HOST"):
        ts.KvStore.open("gs://abc/k").result()


def test_urls_of_objects() -> None:
    google = Address("abc")
    assert google.object_url("a b/%/é+~") == (
        "https://storage.googleapis.com/storage/v1/b/abc/o/a%20b%2F%25%2F%C3%A9%2B~"
    )
    assert google.list_url([("prefix", "a/"), ("delimiter", "/")]) == (
        "https://storage.googleapis.com/storage/v1/b/abc/o?delimiter=%2F&prefix=a%2F"
    )
    assert Address("abc", "http://h:1/x").upload_url(()) == "http://h:1/x/upload/storage/v1/b/abc/o"


@given(st.text(min_size=1, max_size=200))
def test_a_key_survives_its_url(key) -> None:
    if key in (".", "..") or "\n" in key or "\r" in key:
        with pytest.raises(ts.errors.InvalidArgument):
            Address("abc").object_url(key)
        return
    url = Address("abc").object_url(key)
    assert unquoted(url.rpartition("/")[2]) == key


@given(st.integers(1, 2**63 - 1))
def test_generations(number) -> None:
    generation = generation_of(str(number))
    assert number_of(generation) == str(number)
    assert len(generation) == 9


def test_what_is_no_generation() -> None:
    for text in (None, "", "0", "-1", "1.5", "x", "٣", "9" * 20, 1.5):
        with pytest.raises(ts.errors.FailedPrecondition):
            generation_of(text)
    assert number_of(NO_VALUE) == "0"
    for generation in (b"\0", b"\0" * 9, b"\1" + b"\1" * 8, b"\0" + b"\xff" * 8, b"\0etag"):
        assert number_of(generation) is None


@pytest.mark.parametrize(
    "json",
    [
        {"type": "default"}, {"type": "anonymous"}, {"type": "service_account", "file": "/a b"},
        {"type": "token", "token_variable": "V"}, {"type": "token", "token_file": "/f"},
    ],
)  # fmt: skip
def test_credentials(json) -> None:
    context = ts.Context({"gcs_credentials": json})
    assert context["gcs_credentials"].to_json() == json
    loaded = pickle.loads(pickle.dumps(context))
    assert loaded["gcs_credentials"].to_json() == json
    assert context["gcs_credentials"].value == loaded["gcs_credentials"].value


@pytest.mark.parametrize(
    "json",
    [
        5, {}, {"type": 5}, {"type": []}, {"type": "x"}, {"type": "token"},
        {"type": "service_account"}, {"type": "service_account", "file": 5},
        {"type": "token", "token": "hidden", "token_file": "x"},
        {"type": "token", "token": "hid\nn"}, {"type": "token", "token": "hiddén"},
        {"type": "token", "token": 5}, {"type": "anonymous", "file": "x"},
        {"type": "default", "token": "hidden"},
    ],
)  # fmt: skip
def test_wrong_credentials(json) -> None:
    with pytest.raises(ts.errors.InvalidArgument) as caught:
        ts.Context({"gcs_credentials": json})
    assert "hid" not in str(caught.value)


def test_a_token_is_nowhere_to_be_seen() -> None:
    token = {"type": "token", "token": "hidden-token"}
    store = ts.KvStore.open(
        {"driver": "gcs", "bucket": "abc", "endpoint": "http://localhost:1"},
        context=ts.Context({"gcs_credentials": token, "gcs_request_retries": {"max_retries": 0}}),
    ).result()
    with pytest.raises(ts.errors.Unavailable) as caught:
        store.read("k").result()
    shown = [repr(store), str(store.spec()), repr(store.spec(retain_context=True)),
             str(caught.value), repr(caught.value.__cause__), repr(store.context)]  # fmt: skip
    shown += [repr(pickle.dumps(store)), repr(pickle.dumps(caught.value))]
    assert not [text for text in shown if "hidden" in text]
    with pytest.raises(ts.errors.InvalidArgument, match="not kept in specs and pickles"):
        pickle.loads(pickle.dumps(store))
