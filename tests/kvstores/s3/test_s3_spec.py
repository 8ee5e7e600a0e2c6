"""Specs and URLs of the s3 kvstore, as TensorStore has them."""

from __future__ import annotations

import pickle

import pytest
import tensorstore

import asynctensor as ts

SPECS = [
    {"bucket": "my-bucket", "path": "a b/%"},
    {"bucket": "my-bucket"},
    {"bucket": "abc", "path": "/a"},
    {"bucket": "abc", "endpoint": "http://localhost:1234/x", "path": "k"},
    {"bucket": "", "endpoint": "http://localhost:1234"},
    {"bucket": "abc", "endpoint": "http://l", "host_header": "abc.x"},
    {"bucket": "abc", "aws_region": "eu", "requester_pays": True, "use_conditional_write": False},
    {"bucket": "abc", "aws_region": "", "requester_pays": False},
    {"bucket": "abc", "use_conditional_write": True},
    {"bucket": "abc", "aws_credentials": {"type": "anonymous"}},
    {"bucket": "abc", "aws_credentials": {"type": "profile", "profile": "p", "config_file": "c"}},
    {"bucket": "abc", "aws_credentials": {"type": "ecs", "endpoint": "http://x"}},
    {"bucket": "abc", "s3_request_retries": {"max_retries": 3}},
    {"bucket": "abc", "experimental_s3_rate_limiter": {"read_rate": 3, "doubling_time": "90s"}},
    {"bucket": "abc", "experimental_s3_rate_limiter": {"write_rate": 0.5, "doubling_time": "0s"}},
    {"bucket": "abc", "experimental_s3_rate_limiter": {}},
    {"bucket": "abc", "experimental_s3_rate_limiter": "experimental_s3_rate_limiter#a"},
]
WRONG = [
    {},
    {"bucket": ""},
    {"bucket": "abc", "host_header": "abc.x"},
    {"bucket": "abc", "use_conditional_write": None},
    {"bucket": "abc", "aws_region": 5},
    {"bucket": "abc", "aws_credentials": {"type": "environment", "x": 1}},
    {"bucket": "abc", "aws_credentials": {}},
    {"bucket": "abc", "aws_credentials": 5},
    {"bucket": "abc", "experimental_s3_rate_limiter": {"x": 1}},
    *({"bucket": name} for name in (
        "a", "ab", "a..b", "192.168.1.1", "xn--abc", "abc-s3alias", "-abc", "a.-b", "abc_",
        "A" * 256, "abc--ol-s3", "sthree-abc",
    )),
]  # fmt: skip
URLS = ["s3://my-bucket/a%20b/x", "s3://my-bucket", "s3://my-bucket/", "s3://abc//a", "s3://A.b/x"]
WRONG_URLS = ["s3://", "s3:///x", "s3://MY/x", "s3://my-bucket/x?a=b"]


@pytest.mark.parametrize("members", SPECS)
def test_specs_are_as_tensorstores(members) -> None:
    ours = ts.KvStore.Spec({"driver": "s3", **members})
    theirs = tensorstore.KvStore.Spec({"driver": "s3", **members})
    assert ours.to_json() == theirs.to_json()
    assert pickle.loads(pickle.dumps(ours)) == ours
    if "endpoint" in members:
        with pytest.raises(NotImplementedError, match="explicit endpoint"):
            _ = ours.url
    else:
        assert ours.url == theirs.url


@pytest.mark.parametrize("members", WRONG)
def test_wrong_specs_are_refused_as_there(members) -> None:
    json = {"driver": "s3", **members}
    with pytest.raises(ValueError) as theirs:
        tensorstore.KvStore.Spec(json)
    with pytest.raises(ValueError) as ours:
        ts.KvStore.Spec(json)
    if members.get("aws_credentials") is None:
        assert str(theirs.value).partition(" [source")[0] in str(ours.value)


@pytest.mark.parametrize("endpoint", [None, "http://localhost:1"])
@pytest.mark.parametrize("region", ["us east", "x.example/", "eu/west", "é", "a\nb", "x" * 256])
def test_regions_that_no_service_has(region, endpoint) -> None:
    """TensorStore takes them, and puts them into the names of hosts."""
    members = {"bucket": "abc", "aws_region": region} | ({"endpoint": endpoint} if endpoint else {})
    with pytest.raises(ts.Error, match='member "aws_region": Invalid region'):
        ts.KvStore.Spec({"driver": "s3", **members})


def test_other_services_name_their_regions_as_they_like() -> None:
    members = {"bucket": "abc", "aws_region": "Room_1.a", "endpoint": "http://localhost:1"}
    assert ts.KvStore.Spec({"driver": "s3", **members}).to_json()["aws_region"] == "Room_1.a"


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


@pytest.mark.parametrize(
    "endpoint", ["localhost:1", "ftp://x", "http://x/?a", "http://x#a", "http://user:pw@x"]
)
def test_wrong_endpoints_are_refused_when_opening(endpoint) -> None:
    json = {"driver": "s3", "bucket": "abc", "endpoint": endpoint}
    with pytest.raises(ts.errors.InvalidArgument, match="endpoint") as caught:
        ts.KvStore.open(json).result()
    assert "pw" not in str(caught.value)


def test_static_keys_are_nowhere_to_be_seen() -> None:
    keys = {"type": "static", "access_key_id": "AKID", "secret_access_key": "hidden-secret",
            "session_token": "hidden-token"}  # fmt: skip
    store = ts.KvStore.open(
        {"driver": "s3", "bucket": "abc", "endpoint": "http://localhost:1"},
        context=ts.Context({"aws_credentials": keys, "s3_request_retries": {"max_retries": 0}}),
    ).result()
    with pytest.raises(ts.errors.Unavailable) as caught:
        store.read("k").result()
    shown = [repr(store), str(store.spec()), repr(store.spec(retain_context=True)),
             str(caught.value), repr(caught.value.__cause__), repr(store.context)]  # fmt: skip
    shown += [repr(pickle.dumps(store)), repr(pickle.dumps(caught.value))]
    assert not [text for text in shown if "hidden" in text]
    with pytest.raises(ts.errors.InvalidArgument, match="not kept in specs and pickles"):
        pickle.loads(pickle.dumps(store))
