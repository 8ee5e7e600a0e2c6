"""Google's own client against the server that stands for its service.

``python gcs_check.py URL`` with google-cloud-storage 3 installed; it ends with an error where the
server does something that the client does not expect.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import urllib.request
from collections.abc import Callable
from typing import Any

from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import (
    BadRequest,
    Conflict,
    NotFound,
    NotModified,
    PreconditionFailed,
    RequestRangeNotSatisfiable,
    TooManyRequests,
)
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import InvalidOperation, RefreshError
from google.cloud import storage
from google.oauth2.credentials import Credentials

BLOCK = 256 * 1024


def refused(error: type[Exception], call: Callable[..., Any], *given: Any, **named: Any) -> None:
    """Whether a call fails as it should."""
    try:
        call(*given, **named)
    except error:
        return
    raise AssertionError(f"{call} should have raised {error}")


def client_of(url: str, credentials: Any = None, project: str = "p") -> storage.Client:
    return storage.Client(
        project=project,
        credentials=credentials or AnonymousCredentials(),
        client_options=ClientOptions(api_endpoint=url),
    )


def control(url: str, bucket: str, **settings: Any) -> None:
    request = urllib.request.Request(f"{url}/control/{bucket}", json.dumps(settings).encode())
    urllib.request.urlopen(request).read()


def check_objects(bucket: storage.Bucket) -> None:
    name = "a b/é%?//" + "x" * 900
    blob = bucket.blob(name)
    refused(NotFound, blob.reload)
    refused(NotFound, blob.download_as_bytes)
    refused(NotFound, blob.delete, if_generation_match=5)
    blob.metadata = {"colour": "blue"}
    blob.upload_from_string(b"first", checksum="crc32c", if_generation_match=0)
    first = blob.generation
    assert blob.size == 5
    assert blob.md5_hash
    assert blob.crc32c
    assert blob.time_created
    # Creating, replacing, both only on a condition.
    other = bucket.blob(name)
    refused(PreconditionFailed, other.upload_from_string, b"no", if_generation_match=0)
    refused(PreconditionFailed, other.upload_from_string, b"no", if_generation_match=first + 1)
    refused(PreconditionFailed, other.upload_from_string, b"no", if_generation_not_match=first)
    other.upload_from_string(b"second", if_generation_match=first)
    second = other.generation
    assert second != first
    assert other.metageneration == 1
    # Reading.
    assert other.download_as_bytes(checksum="crc32c") == b"second"
    assert other.download_as_bytes(checksum="md5", if_generation_match=second) == b"second"
    assert other.download_as_bytes(start=2, end=3, checksum=None) == b"co"
    assert other.download_as_bytes(start=-3, checksum=None) == b"ond"
    refused(PreconditionFailed, other.download_as_bytes, if_generation_match=first)
    refused(NotModified, other.download_as_bytes, if_generation_not_match=second)
    refused(NotModified, other.reload, if_generation_not_match=second)
    refused(PreconditionFailed, other.reload, if_generation_match=first)
    refused(RequestRangeNotSatisfiable, other.download_as_bytes, start=6, checksum=None)
    refused(NotFound, bucket.blob(name, generation=first).download_as_bytes)
    # Properties.
    other.metadata = {"colour": "red"}
    other.patch(if_metageneration_match=1)
    assert other.metageneration == 2
    assert other.generation == second
    refused(PreconditionFailed, other.patch, if_metageneration_match=1)
    assert bucket.get_blob(name).metadata == {"colour": "red"}
    # Deleting.
    refused(PreconditionFailed, other.delete, if_generation_match=first)
    other.delete(if_generation_match=second)
    refused(NotFound, other.delete)
    assert bucket.get_blob(name) is None
    empty = bucket.blob("empty")
    empty.upload_from_string(b"")
    assert empty.download_as_bytes(checksum="crc32c") == b""
    assert empty.size == 0
    empty.delete()
    refused(BadRequest, bucket.blob("a\nb").upload_from_string, b"1")
    refused(BadRequest, bucket.blob("a" * 1025).upload_from_string, b"1")
    damaged = bucket.blob("damaged")
    damaged.crc32c = "AAAAAA=="
    damaged._changes.add("crc32c")
    refused(BadRequest, damaged.upload_from_string, b"1", checksum=None)


def check_resumable(url: str, bucket: storage.Bucket) -> None:
    value = bytes(range(256)) * 4 * 1024 * 3 + b"end"
    blob = bucket.blob("large", chunk_size=BLOCK)
    blob.upload_from_file(io.BytesIO(value), size=len(value), checksum="crc32c")
    assert blob.download_as_bytes(checksum="crc32c") == value
    assert blob.size == len(value)
    # Of unknown length; with a condition that fails; cut off on the way, and resumed.
    stream = bucket.blob("stream", chunk_size=BLOCK)
    with stream.open("wb", ignore_flush=True) as file:
        file.write(value)
    assert stream.download_as_bytes() == value
    refused(
        PreconditionFailed, blob.upload_from_file,
        io.BytesIO(value), size=len(value), if_generation_match=0,
    )  # fmt: skip
    control(url, bucket.name, cut_upload_after=BLOCK // 2)
    cut = bucket.blob("cut", chunk_size=2 * BLOCK)
    cut.upload_from_file(io.BytesIO(value), size=len(value), if_generation_match=0)
    assert cut.download_as_bytes() == value
    for each in (blob, stream, cut):
        each.delete()


def check_listing(client: storage.Client, url: str, bucket: storage.Bucket) -> None:
    names = ["a", "a/b", "a/c/d", "a/c/e", "b", "b/", "é/f", "é/g", "\U0001f9e0"]
    for name in names:
        bucket.blob(name).upload_from_string(name.encode())
    ordered = sorted(names, key=str.encode)
    for page in (1000, 1, 2, 3):
        control(url, bucket.name, page=page)
        assert [b.name for b in client.list_blobs(bucket)] == ordered
        assert [b.size for b in client.list_blobs(bucket)] == [len(n.encode()) for n in ordered]
        found = client.list_blobs(bucket, prefix="a/", delimiter="/")
        assert [b.name for b in found] == ["a/b"]
        assert found.prefixes == {"a/c/"}
        found = client.list_blobs(bucket, delimiter="/")
        assert [b.name for b in found] == ["a", "b", "\U0001f9e0"]
        assert found.prefixes == {"a/", "b/", "é/"}
        found = client.list_blobs(bucket, start_offset="a/c/d", end_offset="b/")
        assert [b.name for b in found] == ["a/c/d", "a/c/e", "b"]
        found = client.list_blobs(bucket, fields="items(name),nextPageToken")
        assert [b.name for b in found] == ordered
        assert next(iter(client.list_blobs(bucket, fields="items(name)"))).size is None
    assert len(list(client.list_blobs(bucket, max_results=4))) == 4
    refused(Conflict, bucket.delete)
    for name in names:
        bucket.blob(name).delete()
    assert list(client.list_blobs(bucket)) == []


def check_gzip(bucket: storage.Bucket) -> None:
    packed = gzip.compress(b"value" * 100)
    blob = bucket.blob("packed")
    blob.content_encoding = "gzip"
    blob.upload_from_string(packed, checksum="crc32c")
    assert blob.content_encoding == "gzip"
    assert blob.size == len(packed)
    assert blob.download_as_bytes(raw_download=True, checksum="crc32c") == packed
    assert blob.download_as_bytes(checksum="crc32c") == b"value" * 100
    assert blob.download_as_bytes(raw_download=True, start=2, end=9, checksum=None) == packed[2:10]
    blob.delete()


def check_refusals(url: str) -> None:
    control(url, "guarded", token="token")
    name = "k"
    client_of(url, Credentials("token")).bucket("guarded").blob(name).upload_from_string(b"1")
    # The client asks for other credentials where the server refuses them.
    refused(InvalidOperation, client_of(url).bucket("guarded").blob(name).download_as_bytes)
    refused(RefreshError, client_of(url, Credentials("x")).bucket("guarded").blob(name).reload)
    control(url, "paid", requester_pays=True)
    client = client_of(url)
    refused(BadRequest, client.bucket("paid").blob(name).upload_from_string, b"1")
    client.bucket("paid", user_project="me").blob(name).upload_from_string(b"1")
    control(url, "slow", seconds_between_writes=60)
    blob = client.bucket("slow").blob(name)
    blob.upload_from_string(b"1")
    refused(TooManyRequests, blob.upload_from_string, b"2", retry=None)
    refused(TooManyRequests, blob.delete, retry=None)
    client.bucket("slow").blob("another").upload_from_string(b"1")
    assert blob.download_as_bytes() == b"1"
    refused(NotFound, client.bucket("none").blob(name).upload_from_string, b"1")
    refused(NotFound, client.get_bucket, "none")


def check(url: str) -> None:
    """Does it all."""
    client = client_of(url)
    bucket = client.create_bucket("checked")
    refused(Conflict, client.create_bucket, "checked")
    assert client.get_bucket("checked").name == "checked"
    check_objects(bucket)
    check_resumable(url, bucket)
    check_listing(client, url, bucket)
    check_gzip(bucket)
    check_refusals(url)
    bucket.delete()
    refused(NotFound, client.get_bucket, "checked")


if __name__ == "__main__":
    check(sys.argv[1])
