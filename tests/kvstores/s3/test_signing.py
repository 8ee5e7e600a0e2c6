"""Signatures, against AWS's published examples and botocore's signer."""

from __future__ import annotations

import datetime as dt
from typing import Any

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from asynctensor.kvstores._http.message import Request
from asynctensor.kvstores.s3.address import Address
from asynctensor.kvstores.s3.signing import EMPTY_PAYLOAD, Keys, payload_hash, presigned, signed

# The keys, the time and the signatures of the examples in AWS's documentation of S3.
KEYS = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
TIME = dt.datetime(2013, 5, 24, tzinfo=dt.UTC).timestamp()
HOST = "https://examplebucket.s3.amazonaws.com"


def signature(request: Request, keys: Keys = KEYS) -> str:
    made = signed(request, keys, "us-east-1", TIME)
    return dict(made.headers)["Authorization"].rpartition("=")[2]


@pytest.mark.parametrize(
    ("method", "target", "fields", "body", "expected"),
    [
        (
            "GET", "/test.txt", (("Range", "bytes=0-9"),), None,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT", "/test%24file.text",
            (("Date", "Fri, 24 May 2013 00:00:00 GMT"),
             ("x-amz-storage-class", "REDUCED_REDUNDANCY")),
            b"Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET", "/?lifecycle=", (), None,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET", "/?max-keys=2&prefix=J", (), None,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)  # fmt: skip
def test_published_examples(method, target, fields, body, expected) -> None:
    digest = ("x-amz-content-sha256", payload_hash(body))
    assert signature(Request(method, HOST + target, (*fields, digest), body)) == expected


def test_published_presigned_url() -> None:
    url = presigned("GET", f"{HOST}/test.txt", KEYS, "us-east-1", TIME, 86400)
    assert url.endswith(
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


class _At(dt.datetime):
    """The time of the examples, as botocore asks for it."""

    @classmethod
    def now(cls, tz: Any = None) -> dt.datetime:
        return dt.datetime.fromtimestamp(TIME, tz)

    @classmethod
    def utcnow(cls) -> dt.datetime:
        return dt.datetime.fromtimestamp(TIME, dt.UTC).replace(tzinfo=None)


_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(
    st.sampled_from(["GET", "PUT", "DELETE"]),
    _texts.filter(bool),
    st.dictionaries(_texts.filter(bool), _texts, max_size=3),
    st.sampled_from([None, "http://localhost:9000", "https://h:443/below"]),
    st.none() | st.binary(max_size=30),
    st.none() | st.just("token"),
)
def test_as_botocore_signs(method, key, query, endpoint, body, token) -> None:
    keys = Keys(KEYS.access_key_id, KEYS.secret_access_key, token)
    url = Address("examplebucket", endpoint).url("eu-x-1", key, list(query.items()))
    fields = (("x-amz-content-sha256", payload_hash(body)), ("x-amz-meta-a", "b  c"))
    ours = signed(Request(method, url, fields, body), keys, "eu-x-1", TIME)
    theirs = AWSRequest(method, url, {"x-amz-meta-a": "b  c"}, data=body or b"")
    signer = botocore.auth.S3SigV4Auth(
        Credentials(keys.access_key_id, keys.secret_access_key, token), "s3", "eu-x-1"
    )
    theirs.context["payload_signing_enabled"] = True
    with pytest.MonkeyPatch.context() as patch:
        if hasattr(botocore.auth, "get_current_datetime"):
            patch.setattr(botocore.auth, "get_current_datetime", lambda *a, **k: _At.utcnow())
        else:
            patch.setattr(botocore.auth.datetime, "datetime", _At)
        signer.add_auth(theirs)
    assert dict(ours.headers)["Authorization"] == theirs.headers["Authorization"]


def test_host_header_is_signed() -> None:
    fields = (("Host", "other"), ("x-amz-content-sha256", EMPTY_PAYLOAD))
    plain = (("x-amz-content-sha256", EMPTY_PAYLOAD),)
    assert signature(Request("GET", "https://h/k", fields)) == signature(
        Request("GET", "https://other/k", plain)
    )


def test_no_secret_shows() -> None:
    keys = Keys("id", "a-secret", "a-token")
    made = signed(Request("GET", "https://h/k", (("x-amz-content-sha256", "x"),)), keys, "r", TIME)
    assert "secret" not in repr((keys, made))
    assert "token" not in repr((keys, made))
