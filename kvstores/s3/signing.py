"""Signatures of requests, as AWS defines them. Pure.

Source: "Signature Version 4 signing process" and "Authenticating Requests: Using Query Parameters"
in AWS's documentation of S3::

    canonical = method LF path LF query LF *( name ":" value LF ) LF names LF payload-hash
    to-sign   = "AWS4-HMAC-SHA256" LF time LF scope LF hex(sha256(canonical))
    scope     = date "/" region "/s3/aws4_request"
    key       = hmac(hmac(hmac(hmac("AWS4" secret, date), region), "s3"), "aws4_request")

The path is signed as it is sent: S3, unlike AWS's other services, does not encode it a second time.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from time import gmtime, strftime
from typing import Final

from asynctensor.kvstores._http.message import Body, Request
from asynctensor.kvstores._http.query import Pairs, encoded_query

#: Where in a URL its path cannot have begun yet.
_AUTHORITY: Final = len("https://")
_ALGORITHM: Final = "AWS4-HMAC-SHA256"
#: Where a body is neither hashed nor signed: TLS, and checksums of its own, protect it.
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
EMPTY_PAYLOAD: Final = sha256(b"").hexdigest()
#: What servers on the way may change.
_UNSIGNED_FIELDS: Final = frozenset({"accept-encoding", "authorization", "user-agent"})


@dataclass(frozen=True, slots=True)
class Keys:
    """What requests are signed with.

    Attributes:
        access_key_id: Says who asks.
        secret_access_key: Proves it.
        session_token: Of keys that are valid for some time only.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def payload_hash(body: Body | None) -> str:
    """The hash of a body, as ``x-amz-content-sha256`` says it."""
    if body is None:
        return EMPTY_PAYLOAD
    digest = sha256()
    for piece in body if isinstance(body, tuple) else (body,):
        digest.update(piece)
    return digest.hexdigest()


def host_of(url: str) -> str:
    """What ``Host`` says in a request for a URL: without the port that its scheme has anyhow."""
    before = url.partition("?")[0]
    end = before.find("/", _AUTHORITY)
    return _host(before if end < 0 else before[:end])


@lru_cache(maxsize=64)
def _host(root: str) -> str:
    scheme, _, host = root.partition("://")
    return host.removesuffix(":443" if scheme == "https" else ":80")


def signed(request: Request, keys: Keys, region: str, time: float) -> Request:
    """`request` with the header that says who asks.

    Args:
        request: With the header ``x-amz-content-sha256``, and with ``Host`` unless that is the
            URL's own.
        keys: Whose request it is.
        region: Where the bucket is.
        time: Now, in Unix seconds.
    """
    moment = _moment(int(time))
    fields = (*request.headers, ("x-amz-date", moment))
    if keys.session_token is not None:
        fields = (*fields, ("x-amz-security-token", keys.session_token))
    canonical, names = _canonical_fields(fields, request.url)
    payload = next(v for n, v in request.headers if n.lower() == "x-amz-content-sha256")
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    path, _, query = _target(request.url)
    text = f"{request.method}\n{path}\n{query}\n{canonical}\n{names}\n{payload}"
    signature = _signature(keys, scope, moment, text)
    authorization = (
        f"{_ALGORITHM} Credential={keys.access_key_id}/{scope}, SignedHeaders={names}, "
        f"Signature={signature}"
    )
    headers = (*fields, ("Authorization", authorization))
    return Request(request.method, request.url, headers, request.body, request.max_body)


def presigned(method: str, url: str, keys: Keys, region: str, time: float, seconds: int) -> str:
    """A URL with which anybody may send one kind of request for some time.

    Args:
        method: ``"GET"``.
        url: The URL, without a query.
        keys: Whose request it will be.
        region: Where the bucket is.
        time: From when on, in Unix seconds.
        seconds: For how long: a week at most.
    """
    moment = _moment(int(time))
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    pairs = [
        ("X-Amz-Algorithm", _ALGORITHM),
        ("X-Amz-Credential", f"{keys.access_key_id}/{scope}"),
        ("X-Amz-Date", moment),
        ("X-Amz-Expires", str(seconds)),
        ("X-Amz-SignedHeaders", "host"),
    ]
    if keys.session_token is not None:
        pairs.append(("X-Amz-Security-Token", keys.session_token))
    canonical, names = _canonical_fields((), url)
    query = encoded_query(pairs)
    path = _target(url)[0]
    text = f"{method}\n{path}\n{query}\n{canonical}\n{names}\n{UNSIGNED_PAYLOAD}"
    return f"{url}?{query}&X-Amz-Signature={_signature(keys, scope, moment, text)}"


@lru_cache(maxsize=4)
def _moment(seconds: int) -> str:
    return strftime("%Y%m%dT%H%M%SZ", gmtime(seconds))


def _target(url: str) -> tuple[str, str, str]:
    before, mark, query = url.partition("?")
    start = before.find("/", _AUTHORITY)
    return "/" if start < 0 else before[start:], mark, query


def _canonical_fields(fields: Pairs, url: str) -> tuple[str, str]:
    found = {name.lower(): " ".join(value.split()) for name, value in fields}
    found.setdefault("host", host_of(url))
    names = sorted(name for name in found if name not in _UNSIGNED_FIELDS)
    return "".join([f"{name}:{found[name]}\n" for name in names]), ";".join(names)


@lru_cache(maxsize=16)
def _keyed(secret: str, scope: str) -> hmac.HMAC:
    """What signs for a day, a region and a service, the same all that day; to be copied.

    Unlike ``hmac.digest``, an update of few bytes keeps the GIL: getting it back from threads that
    hash bodies took longer than all else here.
    """
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, digestmod="sha256")


def _signature(keys: Keys, scope: str, moment: str, canonical: str) -> str:
    digest = sha256(canonical.encode()).hexdigest()
    text = f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}"
    signer = _keyed(keys.secret_access_key, scope).copy()
    signer.update(text.encode())
    return signer.hexdigest()
