"""What is signed, against azure-storage-blob's own signer."""

from __future__ import annotations

import base64
import datetime as dt
from types import SimpleNamespace

import pytest
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.rest import HttpRequest
from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy
from hypothesis import given
from hypothesis import strategies as st

from asynctensor.errors import FailedPrecondition
from asynctensor.kvstores._http.message import Request
from asynctensor.kvstores.azure.address import Address
from asynctensor.kvstores.azure.signing import (
    BearerToken,
    SasToken,
    SharedKey,
    authorized,
    string_to_sign,
)

KEY = SharedKey("account", b"a key of an account")
TIME = dt.datetime(2013, 5, 24, 1, 2, 3, tzinfo=dt.UTC).timestamp()
_texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
_keys = _texts.map(lambda key: key.replace("\\", "").replace(".", "") or "k")
_fields = st.dictionaries(
    st.sampled_from(
        ["Content-MD5", "Content-Type", "If-Match", "If-None-Match", "x-ms-range",
         "x-ms-version", "x-ms-blob-type", "x-ms-blob-content-md5", "x-ms-meta-asynctensorwrite"]
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
)  # fmt: skip


def as_theirs(request: Request) -> str:
    """What azure-storage-blob puts into ``Authorization``."""
    theirs = HttpRequest(request.method, request.url, headers=dict(request.headers))
    if request.body is not None:
        theirs.headers["Content-Length"] = str(len(request.body))
    policy = SharedKeyCredentialPolicy(KEY.account, base64.b64encode(KEY.key).decode())
    context = PipelineContext(SimpleNamespace())
    policy.on_request(PipelineRequest(theirs, context))
    return theirs.headers["Authorization"]


@given(
    st.sampled_from(["GET", "PUT", "DELETE", "HEAD"]),
    _keys,
    st.dictionaries(st.sampled_from(["comp", "blockid", "prefix", "marker", "delimiter"]), _texts),
    st.sampled_from([None, "http://127.0.0.1:10000/account", "https://h.example"]),
    _fields,
    st.none() | st.binary(max_size=30),
)
def test_as_azures_own_client_signs(method, key, query, endpoint, fields, body) -> None:
    # Theirs leaves parameters without a value out.
    asked = [(name, value) for name, value in query.items() if value]
    url = Address("account", "container", endpoint).url(key, asked)
    ours = authorized(Request(method, url, tuple(fields.items()), body), KEY, TIME)
    unsigned = [(name, value) for name, value in ours.headers if name != "Authorization"]
    theirs = as_theirs(Request(method, url, tuple(unsigned), body))
    assert dict(ours.headers)["Authorization"] == theirs


def test_what_is_signed_of_a_plain_request() -> None:
    # After the example in the reference of the REST API, "Shared Key format for 2015-02-21 and
    # later".
    fields = (("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT"), ("x-ms-version", "2015-02-21"))
    url = "https://myaccount.blob.core.windows.net/mycontainer?timeout=20&restype=container&comp=metadata"
    assert string_to_sign(Request("GET", url, fields), "myaccount") == (
        "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\n"
        "x-ms-version:2015-02-21\n/myaccount/mycontainer\ncomp:metadata\nrestype:container\n"
        "timeout:20"
    )


def test_a_shared_access_signature_ends_the_url() -> None:
    who = SasToken("sv=1&sig=a%2Bb")
    plain, asked = Request("GET", "https://h/c/k"), Request("GET", "https://h/c?comp=list")
    assert authorized(plain, who, TIME).url == "https://h/c/k?sv=1&sig=a%2Bb"
    assert authorized(asked, who, TIME).url == "https://h/c?comp=list&sv=1&sig=a%2Bb"


def test_tokens_are_sent_with_tls_or_not_at_all() -> None:
    who = BearerToken("token")
    for url in ("https://h/c/k", "http://127.0.0.1:1/c/k", "http://[::1]/c", "http://localhost/c"):
        fields = dict(authorized(Request("GET", url), who, TIME).headers)
        assert fields["Authorization"] == "Bearer token"
    for url in ("http://h/c/k", "http://127.0.0.1.example/c", "http://localhost.example/c"):
        with pytest.raises(FailedPrecondition, match="TLS"):
            authorized(Request("GET", url), who, TIME)


def test_no_secret_shows() -> None:
    for who in (SharedKey("a", b"hidden"), SasToken("sig=hidden"), BearerToken("hidden")):
        made = authorized(Request("GET", "https://h/k"), who, TIME)
        assert "hidden" not in repr((who, made))
