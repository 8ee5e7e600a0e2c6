"""Who may read: whoever pays, whoever has a signed URL, whoever comes by."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest

import asynctensor as ts
from asynctensor.errors import FailedPrecondition, NotFound, PermissionDenied
from asynctensor.kvstores.s3.address import Address
from asynctensor.kvstores.s3.signing import Keys, presigned
from asynctensor.kvstores.s3.store import S3Store
from asynctensor.runtime.aws_credentials import ANONYMOUS, AwsCredentials
from asynctensor.runtime.event_loop import start
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import ReadOptions
from asynctensor.testing.kvstore_calls import entries, read, write
from tests.kvstores.s3.buckets import EXCHANGE, new_store
from tests.servers.scripted import Asked, Said, ScriptedServer

#: Of the servers, in the environment.
KEYS = AwsCredentials("environment")
OURS = AwsCredentials("static", (("access_key_id", "id"),), "secret")


async def test_whoever_pays_says_so_in_every_request() -> None:
    """It is signed, too: nobody on the way can have somebody pay."""
    listing = b"<ListBucketResult><Contents><Key>k</Key></Contents></ListBucketResult>"

    def script(asked: Asked) -> Said:
        assert asked.fields["x-amz-request-payer"] == "requester"
        assert "x-amz-request-payer" in asked.fields["authorization"]
        if "delete" in asked.target:
            return Said(body=b"<DeleteResult/>")
        return Said(200, (("ETag", '"1"'),), listing if "list-type" in asked.target else b"value")

    with ScriptedServer(script) as server:
        store = S3Store(Address("abc", server.url), EXCHANGE, OURS, "eu-x-1", requester_pays=True)
        assert (await read(store, "k")).value == b"value"
        assert (await read(store, "k", ReadOptions(ByteRange(0, 0)))).value == b""
        await write(store, "k", b"1")
        await write(store, "k", b"1", NO_VALUE)
        await write(store, "k", None)
        assert [entry.key for entry in await entries(store)] == ["k"]
        await start(store.delete_range, KeyRange())
        assert {asked.method for asked in server.asked} == {"GET", "HEAD", "PUT", "DELETE", "POST"}
    # Who does not agree to pay does not say so by mistake.
    with ScriptedServer(lambda asked: Said(403)) as server:
        with pytest.raises(PermissionDenied):
            await read(S3Store(Address("abc", server.url), EXCHANGE, OURS, "eu-x-1"), "k")
        assert "x-amz-request-payer" not in server.asked[0].fields


async def test_signed_urls_are_read_by_http(s3) -> None:
    store = new_store(s3)
    await write(store, "a/b c", b"value")
    keys = Keys(s3.access_key, s3.secret_key)
    url = store._asker.address.url(s3.region, "a/b c")
    signed = presigned("GET", url, keys, s3.region, time.time(), 60)
    opened = await ts.KvStore.open(signed)
    assert (await opened.read("")).value == b"value"
    assert (await opened.read("", byte_range=slice(1, 3))).value == b"al"
    assert "Signature" not in repr(opened)
    if s3.name == "moto":
        # It takes anything for a signature.
        return
    for wrong in (
        presigned("GET", url, keys, s3.region, time.time() - 600, 60),
        presigned("GET", url, Keys(s3.access_key, "wrong"), s3.region, time.time(), 60),
    ):
        with pytest.raises(PermissionDenied) as caught:
            await (await ts.KvStore.open(wrong)).read("")
        assert "Signature=" not in str(caught.value)


async def test_anybody_reads_what_is_public(s3) -> None:
    store = new_store(s3)
    await write(store, "k", b"value")
    address = store._asker.address
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"],
             "Resource": [f"arn:aws:s3:::{address.bucket}", f"arn:aws:s3:::{address.bucket}/*"]}
        ],
    }  # fmt: skip

    async def publish() -> int:
        body = json.dumps(policy).encode()
        answer = await store._asker.ask("PUT", None, query=(("policy", ""),), body=body)
        return answer.status

    anybody = S3Store(address, EXCHANGE, ANONYMOUS, s3.region)
    if s3.name != "moto":
        # It lets anybody read anything.
        with pytest.raises(PermissionDenied):
            await read(anybody, "k")
    assert await start(publish) in (200, 204)
    assert (await read(anybody, "k")).value == b"value"
    assert (await read(anybody, "none")).state == "missing"
    assert [entry.key for entry in await entries(anybody)] == ["k"]


async def test_what_is_wrong_with_keys_is_told_at_once(s3) -> None:
    """By a server that looks at them."""
    address = new_store(s3)._asker.address
    wrong = AwsCredentials("static", (("access_key_id", s3.access_key),), "wrong-secret")
    unknown = AwsCredentials("static", (("access_key_id", "nobody"),), "wrong-secret")
    if s3.name == "moto":
        # It looks at none.
        return
    for given in (wrong, unknown):
        store = S3Store(address, EXCHANGE, given, s3.region)
        for call in (lambda s=store: read(s, "k"), lambda s=store: write(s, "k", b"1"),
                     lambda s=store: entries(s)):  # fmt: skip
            with pytest.raises(PermissionDenied) as caught:
                await call()
            assert "wrong-secret" not in str(caught.value)
            assert "attempts" not in str(caught.value)


async def test_a_wrong_clock_is_told_at_once(s3, monkeypatch) -> None:
    """By a server that looks at its own."""
    store = new_store(s3)
    if s3.name == "moto":
        return
    late = SimpleNamespace(time=lambda: time.time() - 7200)
    monkeypatch.setattr("asynctensor.kvstores.s3.asking.SYSTEM_CLOCK", late)
    for call in (lambda: read(store, "k"), lambda: write(store, "k", b"1")):
        with pytest.raises(FailedPrecondition, match="set the clock") as caught:
            await call()
        assert "attempts" not in str(caught.value)


async def test_a_bucket_that_is_not_there(s3) -> None:
    store = S3Store(Address("asynctensor-none", s3.endpoint), EXCHANGE, KEYS, s3.region)
    for call in (
        lambda: read(store, "k"),
        lambda: write(store, "k", b"1"),
        lambda: write(store, "k", b"1", NO_VALUE),
        lambda: write(store, "k", None),
        lambda: entries(store),
        lambda: start(store.delete_range, KeyRange()),
    ):
        with pytest.raises(NotFound, match="is its name right") as caught:
            await call()
        assert "attempts" not in str(caught.value)
