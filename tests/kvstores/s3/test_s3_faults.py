"""What goes wrong on the way to S3, or there: survived, or told with a typed error."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from asynctensor.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from asynctensor.kvstores._http.checksums import crc32c
from asynctensor.kvstores._http.lost_answers import ConditionalWrite, Fate
from asynctensor.kvstores._http.stored import Head
from asynctensor.kvstores.s3.address import Address
from asynctensor.kvstores.s3.store import S3Store
from asynctensor.runtime.aws_credentials import ANONYMOUS
from asynctensor.runtime.event_loop import start
from asynctensor.storage.generation import NO_VALUE
from asynctensor.storage.key_range import KeyRange
from asynctensor.testing.fault_proxy import FaultProxy
from asynctensor.testing.kvstore_calls import entries, keys, read, write
from asynctensor.testing.network_faults import Refuse, Reply, Reset, Truncate
from tests.kvstores.cloud_faults import CloudFaultSuite
from tests.kvstores.s3.buckets import EXCHANGE, new_store
from tests.servers.scripted import Asked, Said, ScriptedServer

SLOW_DOWN = (
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate</Message></Error>"
)
CONFLICT = b"<Error><Code>ConditionalRequestConflict</Code><Message>Try again</Message></Error>"
INTERNAL = b"<Error><Code>InternalError</Code><Message>We erred</Message></Error>"


@pytest.fixture
def proxy(s3, fault_proxy_to) -> FaultProxy:
    return fault_proxy_to(*s3.address)


@pytest.fixture
def store(s3, proxy) -> S3Store:
    return new_store(s3, endpoint=proxy.url)


class TestS3Survives(CloudFaultSuite):
    """In the words of S3."""

    undone = (Reply(status=503, body=SLOW_DOWN), Reply(status=500, body=INTERNAL), Refuse(),
              Reply(status=429, headers=(("Retry-After", "0"),)))  # fmt: skip
    lost = (Reset(after=0), Reset(after=20), Truncate(after=20))
    at_writes = (undone[1], Refuse(), *lost[:2], Reply(status=409, body=CONFLICT))
    #: The last two were computed by botocore.
    value_fields = tuple(
        (("ETag", '"1"'), (f"x-amz-checksum-{kind}", said))
        for kind, said in (
            ("crc32c", crc32c(b"value")),
            ("crc32", "HXdYNA=="),
            ("sha256", "zUJATVKtVcz6mspK3IKKpYAK2dOFoGcfvL9yQRgyBhk="),
        )
    )
    damaged_listings = (
        b"", b"<", b"<Other/>", b"<ListBucketResult><Contents/></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><ListBucketResult>&b;</ListBucketResult>",
        b"<L><IsTruncated>true</IsTruncated><NextContinuationToken>same</NextContinuationToken></L>"
        .replace(b"L>", b"ListBucketResult>"),
    )  # fmt: skip

    def scripted(self, url: str) -> S3Store:
        return S3Store(Address("bucket", url), EXCHANGE, ANONYMOUS)

    async def checks_deletes(self, store: S3Store) -> bool:
        return store._writer.conditions.deletes


def is_put(head: bytes) -> bool:
    return head.startswith(b"PUT")


async def test_what_nobody_can_know_is_said(store, proxy) -> None:
    await write(store, "k", b"somebody else's, just written")
    proxy.plan(Reset(after=0, when=is_put))
    with pytest.raises(Unavailable, match="not known"):
        await write(store, "k", b"1", NO_VALUE)


def test_what_was_there_before_is_not_ours() -> None:
    fate = ConditionalWrite(NO_VALUE, "token -").fate
    assert fate(Head(b"\0x", 1, "", None, 60.0, 0.0), 1.0) is Fate.REFUSED
    assert fate(Head(b"\0x", 1, "", None, 2.0, 0.0), 1.0) is Fate.HIDDEN


# -- What S3 says, from a server that says what it is told ----------------------------------------


def refusing(status: int, code: str, **fields: str) -> ScriptedServer:
    body = f"<Error><Code>{code}</Code><Message>Because.</Message></Error>".encode()
    return ScriptedServer(lambda asked: Said(status, tuple(fields.items()), body))


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (403, "AccessDenied", PermissionDenied),
        (403, "SignatureDoesNotMatch", PermissionDenied),
        (403, "RequestTimeTooSkewed", FailedPrecondition),
        (404, "NoSuchBucket", NotFound),
        (400, "ExpiredToken", PermissionDenied),
        (301, "PermanentRedirect", FailedPrecondition),
        (507, "QuotaExceeded", ResourceExhausted),
    ],
)
async def test_refusals_are_typed_and_not_repeated(status, code, error) -> None:
    with refusing(status, code) as server:
        store = S3Store(Address("bucket", server.url), EXCHANGE, ANONYMOUS)
        calls = [lambda: read(store, "k"), lambda: write(store, "k", b"1"),
                 lambda: write(store, "k", None), lambda: entries(store)]  # fmt: skip
        for count, call in enumerate(calls, 1):
            with pytest.raises(error, match=code) as caught:
                await call()
            assert len(server.asked) == count
            # Other credentials would not set a clock.
            is_about_them = status == 403 and error is PermissionDenied
            assert ("check the credentials" in str(caught.value)) == is_about_them


async def test_the_region_is_learnt_from_answers(monkeypatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    def script(asked: Asked) -> Said:
        if "/eu-nowhere-1/s3/" in asked.fields["authorization"]:
            return Said(200, (("ETag", '"1"'),), b"value")
        return Said(
            400,
            body=b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>wrong region</Message>"
            b"<Region>eu-nowhere-1</Region></Error>",
        )

    with ScriptedServer(script) as server:
        store = S3Store(Address("bucket", server.url), EXCHANGE)
        assert (await read(store, "k")).value == b"value"
        assert (await read(store, "k")).value == b"value"
        assert len(server.asked) == 3


async def test_keys_that_no_object_can_have(s3) -> None:
    store = new_store(s3)
    for key in ("", "a" * 1025, "é" * 513, "a\0b", "\ud800"):
        with pytest.raises(InvalidArgument):
            await write(store, key, b"1")
    odd = ["a//b", "/a", "a/../b", "a/./b", "k" * 900, "\x01", "a\tb", "a\u2028b", "?", "%2F"]
    for key in odd:
        await write(store, key, key.encode())
        assert (await read(store, key)).value == key.encode()
    assert await keys(store) == sorted(odd, key=str.encode)
    await start(store.delete_range, KeyRange())
    assert await keys(store) == []


@pytest.mark.parametrize("key", ["a\x01b", "\x01", "a\uffff", "a\nb"])
async def test_prefixes_that_are_repeated_in_a_form_that_is_no_xml(key: str) -> None:
    """As Ceph does; the keys themselves come encoded."""

    def script(asked: Asked) -> Said:
        if asked.method == "DELETE":
            return Said(204)
        query = dict(parse_qsl(urlsplit(asked.target).query))
        assert query["encoding-type"] == "url"
        repeated = "".join([query.get(name, "") for name in ("prefix", "start-after")])
        named = "".join([f"&#{ord(c)};" if c < " " else c for c in repeated])
        found = f"<Contents><Key>{quote(key, safe='')}</Key><Size>1</Size></Contents>"
        listed = found if key.startswith(query.get("prefix", "")) else ""
        return Said(
            body=f"<ListBucketResult><Prefix>{named}</Prefix><EncodingType>url</EncodingType>"
            f"{listed}</ListBucketResult>".encode()
        )

    with ScriptedServer(script) as server:
        store = S3Store(Address("bucket", server.url), EXCHANGE, ANONYMOUS)
        await start(store.delete_range, KeyRange(key, key + "\0"))
        assert [each.target for each in server.asked if each.method == "DELETE"] == [
            f"/bucket/{quote(key, safe='')}"
        ]
        await start(store.delete_range, KeyRange(key + "0", key + "9"))
        assert len([each for each in server.asked if each.method == "DELETE"]) == 1
