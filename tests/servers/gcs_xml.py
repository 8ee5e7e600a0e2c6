"""The XML API of our stand-in for Google Cloud Storage, which other libraries speak.

``/BUCKET`` and ``/BUCKET/OBJECT``, as in "XML API reference" of Google's documentation: conditions
by ``x-goog-if-generation-match``, ``If-Match`` and ``If-None-Match``, and listings of the second
form. There are neither uploads in parts nor signatures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from xml.sax.saxutils import escape

from aiohttp import web

from tests.servers.gcs_objects import Bucket, Refusal, StoredObject

#: What requests have as headers, and the rules as parameters.
_CONDITIONS = {
    "x-goog-if-generation-match": "ifGenerationMatch",
    "x-goog-if-metageneration-match": "ifMetagenerationMatch",
}
_CODES = {400: "InvalidArgument", 404: "NoSuchKey", 412: "PreconditionFailed"}


def etag_of(found: StoredObject) -> str:
    """The ETag, which here is a hash of the bytes."""
    return f'"{hashlib.md5(found.data, usedforsecurity=False).hexdigest()}"'


def conditions(headers: Mapping[str, str], query: Mapping[str, str]) -> dict[str, str]:
    """The conditions of a request, as the JSON API names them."""
    found = {name: headers[each] for each, name in _CONDITIONS.items() if each in headers}
    return found | {name: query[name] for name in ("generation",) if name in query}


def check_tags(headers: Mapping[str, str], found: StoredObject) -> None:
    """Whether a reader wants this object."""
    tag = etag_of(found)
    if headers.get("If-Match", tag) not in (tag, "*"):
        raise Refusal(412, "conditionNotMet", "At least one of the pre-conditions did not hold.")
    if headers.get("If-None-Match") in (tag, "*"):
        raise Refusal(304, "notModified", "")


def described(found: StoredObject) -> dict[str, str]:
    """What the headers of an answer say of an object."""
    moment = datetime.fromtimestamp(found.created, UTC)
    return {
        "ETag": etag_of(found),
        "Last-Modified": format_datetime(moment, usegmt=True),
        "x-goog-generation": str(found.generation),
        "x-goog-metageneration": str(found.metageneration),
    }


def listed(bucket: Bucket, query: Mapping[str, str]) -> web.Response:
    """A page of a listing."""
    asked = {name: query[name] for name in ("prefix", "delimiter") if name in query}
    named = {"max-keys": "maxResults", "continuation-token": "pageToken"}
    page = bucket.list(asked | {name: query[each] for each, name in named.items() if each in query})
    after = page.get("nextPageToken")
    parts = [f"<IsTruncated>{'true' if after else 'false'}</IsTruncated>"]
    if after:
        parts.append(f"<NextContinuationToken>{after}</NextContinuationToken>")
    for found in page.get("items", ()):
        moment = datetime.fromtimestamp(found.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        parts.append(
            f"<Contents><Key>{escape(found.name)}</Key><Generation>{found.generation}</Generation>"
            f"<LastModified>{moment}</LastModified><ETag>{escape(etag_of(found))}</ETag>"
            f"<Size>{len(found.data)}</Size></Contents>"
        )
    for prefix in page.get("prefixes", ()):
        parts.append(f"<CommonPrefixes><Prefix>{escape(prefix)}</Prefix></CommonPrefixes>")
    return _xml(200, f"<ListBucketResult>{''.join(parts)}</ListBucketResult>")


def refused(refusal: Refusal) -> web.Response:
    """The answer to a request that is not granted."""
    if refusal.status == 304:
        return web.Response(status=304)
    code = _CODES.get(refusal.status, refusal.reason)
    message = escape(refusal.message)
    return _xml(refusal.status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>")


def _xml(status: int, text: str) -> web.Response:
    body = "<?xml version='1.0' encoding='UTF-8'?>" + text
    return web.Response(status=status, text=body, content_type="application/xml")
