"""The checksums that objects are sent with, of either kind."""

from __future__ import annotations

import base64
from hashlib import sha256

import pytest

import asynctensor as ts
from asynctensor.errors import InvalidArgument
from asynctensor.kvstores._http.checksums import crc32c
from asynctensor.kvstores.s3.address import Address
from asynctensor.kvstores.s3.multipart import Uploads
from asynctensor.kvstores.s3.signing import EMPTY_PAYLOAD
from asynctensor.kvstores.s3.store import S3Store
from asynctensor.runtime.aws_credentials import AwsCredentials
from asynctensor.testing.kvstore_calls import read, write
from tests.kvstores.s3.buckets import EXCHANGE, OURS, conditions_of, new_bucket
from tests.servers.scripted import Asked, Said, ScriptedServer

SMALL = b"value"
#: So long that a worker takes its digests.
LARGE = bytes(range(256)) * 1000
KEYS = {"type": "static", "access_key_id": "k", "secret_access_key": "s"}


def sha(value: bytes) -> str:
    return base64.b64encode(sha256(value).digest()).decode()


@pytest.mark.parametrize("algorithm", [None, "CRC32C", "SHA256"])
async def test_each_write_says_its_checksum_and_the_hash_of_what_is_signed(algorithm) -> None:
    with ScriptedServer(lambda asked: Said(200, (("ETag", '"1"'),))) as server:
        spec = {"driver": "s3", "bucket": "abc", "endpoint": server.url, "aws_region": "r"}
        if algorithm is not None:
            spec["checksum_algorithm"] = algorithm
        context = ts.Context({"aws_credentials": KEYS})
        store = await ts.KvStore.open(spec, context=context)
        said = store.spec().to_json().get("checksum_algorithm")
        assert said == (algorithm if algorithm == "SHA256" else None)
        for value in (SMALL, LARGE, b""):
            await store.write("k", value)
            fields = server.asked[-1].fields
            found = {name: fields.get(f"x-amz-checksum-{name}") for name in ("crc32c", "sha256")}
            if algorithm == "SHA256":
                assert found == {"crc32c": None, "sha256": sha(value)}
            else:
                assert found == {"crc32c": crc32c(value), "sha256": None}
            assert fields["x-amz-content-sha256"] == sha256(value).hexdigest()
            assert server.asked[-1].body == value
        await store.read("k")
        assert server.asked[-1].fields["x-amz-content-sha256"] == EMPTY_PAYLOAD


async def test_other_algorithms_are_refused() -> None:
    spec = {"driver": "s3", "bucket": "abc", "checksum_algorithm": "sha256"}
    with pytest.raises(InvalidArgument, match=r'checksum_algorithm.*"CRC32C", "SHA256"'):
        await ts.KvStore.open(spec)


async def test_sha256_of_objects_and_of_parts(s3) -> None:
    uploads = Uploads(whole=1 << 20, part=5 << 20, checksum="SHA256")
    address = Address(new_bucket(s3), s3.endpoint)
    conditions = conditions_of(s3)
    store = S3Store(address, EXCHANGE, OURS, s3.region, conditions=conditions, uploads=uploads)
    await write(store, "k", LARGE)
    assert (await read(store, "k")).value == LARGE
    parted = LARGE * 24
    assert len(parted) > uploads.part
    await write(store, "parted", parted)
    assert (await read(store, "parted")).value == parted


async def test_each_part_says_its_sha256() -> None:
    def script(asked: Asked) -> Said:
        if asked.method == "POST" and "uploads" in asked.target:
            return Said(200, (), b"<R><UploadId>u</UploadId></R>")
        if asked.method == "POST":
            return Said(200, (), b"<R><ETag>&quot;1-2&quot;</ETag></R>")
        return Said(200, (("ETag", '"1"'),))

    value = LARGE * 24
    with ScriptedServer(script) as server:
        uploads = Uploads(whole=1 << 20, part=5 << 20, checksum="SHA256")
        keys = AwsCredentials("static", (("access_key_id", "k"),), "s")
        store = S3Store(Address("abc", server.url), EXCHANGE, keys, "r", uploads=uploads)
        await write(store, "k", value)
    begun = next(asked for asked in server.asked if asked.target.endswith("uploads="))
    assert begun.fields["x-amz-checksum-algorithm"] == "SHA256"
    assert begun.fields["x-amz-checksum-type"] == "COMPOSITE"
    parts = [asked for asked in server.asked if "partNumber" in asked.target]
    assert sum(len(part.body) for part in parts) == len(value)
    for part in parts:
        assert part.fields["x-amz-checksum-sha256"] == sha(part.body)
        assert part.fields["x-amz-content-sha256"] == sha256(part.body).hexdigest()
    end = server.asked[-1]
    assert end.fields["x-amz-checksum-type"] == "COMPOSITE"
    assert "x-amz-checksum-crc32c" not in end.fields
    for part in parts:
        assert f"<ChecksumSHA256>{sha(part.body)}</ChecksumSHA256>".encode() in end.body
