"""What goes wrong on the way to Azure, or there: survived, or told with a typed error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from asynctensor.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
)
from asynctensor.kvstores._http.checksums import md5_digest
from asynctensor.kvstores.azure.address import Address
from asynctensor.kvstores.azure.store import AzureStore
from asynctensor.runtime.azure_credentials import ANONYMOUS
from asynctensor.runtime.event_loop import start
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import ReadOptions
from asynctensor.testing.kvstore_calls import directory, entries, fill, keys, read, write
from asynctensor.testing.network_faults import Fault, Refuse, Reply, Reset, Truncate
from tests.kvstores.azure.containers import EXCHANGE, OURS, new_store
from tests.kvstores.cloud_faults import CloudFaultSuite
from tests.servers.scripted import Asked, Said, ScriptedServer


def error_of(code: str, message: str = "Because.", detail: str = "") -> bytes:
    """An error's document, as Azure writes it."""
    more = f"<AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail>" if detail else ""
    return (
        '\ufeff<?xml version="1.0" encoding="utf-8"?>'
        f"<Error><Code>{code}</Code><Message>{message}\nRequestId:01\nTime:2020</Message>{more}"
        "</Error>"
    ).encode()


BUSY, INTERNAL = error_of("ServerBusy"), error_of("InternalError")


@pytest.fixture
def store(azure, proxied) -> AzureStore:
    return new_store(azure, endpoint=proxied)


@pytest.fixture
def beside(azure, store) -> AzureStore:
    """The same container, not through the proxy."""
    return AzureStore(replace(store._asker.address, endpoint=azure.endpoint), EXCHANGE, OURS)


LISTING = "<EnumerationResults><Blobs>{}</Blobs><NextMarker>{}</NextMarker></EnumerationResults>"


class TestAzureSurvives(CloudFaultSuite):
    """In the words of Azure."""

    undone = (Reply(status=503, body=BUSY, headers=(("Retry-After", "0"),)),
              Reply(status=500, body=INTERNAL), Refuse(),
              Reply(status=500, body=error_of("OperationTimedOut")),
              Reply(status=429, headers=(("Retry-After", "0"),)))  # fmt: skip
    lost = (Reset(after=0), Reset(after=20), Truncate(after=20))
    at_writes = (*undone[1:3], *lost[:2])
    value_fields = ((("ETag", '"1"'), ("Content-MD5", md5_digest(b"value"))),)
    damaged_listings = tuple(
        text.encode()
        for text in (
            "", "<", "<Other/>", "<EnumerationResults/>", LISTING.format("<Blob/>", ""),
            LISTING.format('<Blob><Name Encoded="true">%FF</Name></Blob>', ""),
            "<!DOCTYPE a [<!ENTITY b 'c'>]>" + LISTING.format("&b;", ""),
            LISTING.format("", "same"),
        )
    )  # fmt: skip

    @staticmethod
    def is_batch(head: bytes) -> bool:
        return b"comp=batch" in head

    def scripted(self, url: str) -> AzureStore:
        return AzureStore(Address("acc", "abc", url), EXCHANGE, ANONYMOUS)


def is_put(head: bytes) -> bool:
    return head.startswith(b"PUT")


def meanwhile(write: Callable[[], None]) -> Fault:
    """No fault: `write` is done when somebody looks what became of a write."""

    def is_look(head: bytes) -> bool:
        if head.startswith(b"HEAD"):
            write()
        return False

    return Reply(when=is_look)


async def test_others_write_after_a_lost_answer(store, beside, proxy) -> None:
    first = (await write(store, "k", b"0")).generation

    def others() -> None:
        start(beside.write, "k", b"others").result()

    # Nobody can know whether what the others replaced was ours.
    proxy.plan(Reset(after=0, when=is_put), meanwhile(others))
    with pytest.raises(Unavailable, match="not known"):
        await write(store, "k", b"1", first)
    assert (await read(store, "k")).value == b"others"
    proxy.forget()

    # Of those who replaced the same as we wanted to, we know that we did not.
    def rivals() -> None:
        assert start(beside.write, "k", b"rivals", now).result().generation != UNKNOWN

    now = (await read(store, "k")).stamp.generation
    proxy.plan(Refuse(when=is_put), meanwhile(rivals))
    assert (await write(store, "k", b"1", now)).generation == UNKNOWN
    assert (await read(store, "k")).value == b"rivals"


@pytest.mark.parametrize(
    ("condition", "status", "code"),
    [(NO_VALUE, 409, "BlobAlreadyExists"), (b'\x00"0x1"', 412, "ConditionNotMet")],
)
async def test_a_refusal_by_ones_own_write_is_none(condition, status, code) -> None:
    """The first attempt is done late: after a look, and before the second attempt."""
    marks: list[str] = []

    def script(asked: Asked) -> Said:
        mark = asked.fields.get("x-ms-meta-asynctensorwrite", "")
        if asked.method == "PUT":
            marks.append(mark)
            code_of = (("x-ms-error-code", "InternalError"),)
            return (
                Said(500, code_of)
                if len(marks) == 1
                else Said(status, (("x-ms-error-code", code),))
            )
        if len(marks) > 1:
            return Said(200, (("ETag", '"0x2"'), ("x-ms-meta-asynctensorwrite", marks[0])))
        if condition == NO_VALUE:
            return Said(404, (("x-ms-error-code", "BlobNotFound"),))
        return Said(200, (("ETag", '"0x1"'),))

    with ScriptedServer(script) as server:
        store = AzureStore(Address("acc", "abc", server.url), EXCHANGE, ANONYMOUS)
        stamp = await write(store, "k", b"1", condition.replace(b'"', b""))
        assert stamp.generation == b"\x000x2"
        assert marks[0] == marks[1]


# -- What Azure says, from a server that says what it is told -------------------------------------


def refusing(status: int, code: str, detail: str = "") -> ScriptedServer:
    fields = (("x-ms-error-code", code),)
    return ScriptedServer(lambda asked: Said(status, fields, error_of(code, detail=detail)))


@pytest.mark.parametrize(
    ("status", "code", "detail", "error", "text"),
    [
        (403, "AuthenticationFailed", "The MAC signature 'hidden' is not", PermissionDenied, "key"),
        (403, "AuthenticationFailed", "Request date header too old: 'x'",
         FailedPrecondition, "clock"),
        (403, "AuthenticationFailed", "Signature not valid in the specified time frame",
         PermissionDenied, "expired"),
        (403, "AuthorizationFailure", "", PermissionDenied, "credentials"),
        (403, "KeyBasedAuthenticationNotPermitted", "", PermissionDenied, "another type"),
        (401, "NoAuthenticationInformation", "", PermissionDenied, "azure_credentials"),
        (409, "PublicAccessNotPermitted", "", PermissionDenied, "azure_credentials"),
        (404, "ContainerNotFound", "", NotFound, "name right"),
        (409, "ContainerBeingDeleted", "", FailedPrecondition, "Because"),
        (409, "InvalidBlobType", "", FailedPrecondition, "block blob"),
        (409, "BlobImmutableDueToPolicy", "", FailedPrecondition, "Because"),
        (412, "LeaseIdMissing", "", FailedPrecondition, "lease"),
        (409, "SnapshotsPresent", "", FailedPrecondition, "snapshots"),
        (413, "RequestBodyTooLarge", "", ResourceExhausted, "Because"),
        (400, "InvalidResourceName", "", InvalidArgument, "Because"),
        (501, "FeatureNotSupported", "", Unimplemented, "Because"),
    ],
)  # fmt: skip
async def test_refusals_are_typed_and_not_repeated(status, code, detail, error, text) -> None:
    with refusing(status, code, detail) as server:
        store = AzureStore(Address("acc", "abc", server.url), EXCHANGE, ANONYMOUS)
        calls = [lambda: write(store, "k", b"1"), lambda: write(store, "k", None),
                 lambda: write(store, "k", b"1", NO_VALUE), lambda: write(store, "k", None, b"\0x"),
                 lambda: entries(store)]  # fmt: skip
        if status != 412:
            # Of a lease, readers hear nothing.
            calls.append(lambda: read(store, "k"))
        for count, call in enumerate(calls, 1):
            with pytest.raises(error, match=f"{code}(?s:.*){text}") as caught:
                await call()
            assert len(server.asked) == count
            assert "RequestId" not in str(caught.value)
            assert "hidden" not in str(caught.value)


async def test_damage_on_the_way_there_is_sent_again() -> None:
    """Azure compares what came with the checksum that it was sent with."""
    bodies: list[tuple[bytes, str]] = []

    def script(asked: Asked) -> Said:
        bodies.append((asked.body, asked.fields["content-md5"]))
        if len(bodies) == 1:
            return Said(400, (("x-ms-error-code", "Md5Mismatch"),))
        return Said(201, (("ETag", '"0x1"'),))

    with ScriptedServer(script) as server:
        store = AzureStore(Address("acc", "abc", server.url), EXCHANGE, ANONYMOUS)
        assert (await write(store, "k", b"value")).generation == b"\x000x1"
    assert bodies == [(b"value", md5_digest(b"value"))] * 2


async def test_what_listings_hold() -> None:
    """Names that XML cannot hold, empty pages, folders of accounts that have them."""
    pages = [
        LISTING.format("", "m1"),
        LISTING.format(
            '<Blob><Name Encoded="true">a%01%25</Name>'
            "<Properties><Content-Length>3</Content-Length>"
            "<Last-Modified>Thu, 01 Jan 1970 00:00:09 GMT</Last-Modified></Properties></Blob>"
            "<Blob><Name>d</Name><Properties><ResourceType>directory</ResourceType></Properties>"
            "</Blob><Blob><Name>d/e%01</Name><Properties/></Blob>",
            "m2",
        ),
        LISTING.format("<BlobPrefix><Name>z/</Name></BlobPrefix>", ""),
    ]

    def script(asked: Asked) -> Said:
        place = 2 if "marker=m2" in asked.target else 1 if "marker=m1" in asked.target else 0
        return Said(200, body=pages[place].encode())

    with ScriptedServer(script) as server:
        store = AzureStore(Address("acc", "abc", server.url), EXCHANGE, ANONYMOUS)
        found = await directory(store, "")
        assert [(e.key, e.size, e.time) for e in found] == [
            ("a\x01%", 3, 9.0), ("d/e%01", -1, None), ("z/", -1, None)
        ]  # fmt: skip
        # What comes after the end of a range is not asked for.
        before = len(server.asked)
        assert [e.key for e in await entries(store, KeyRange("a", "b"))] == ["a\x01%"]
        assert len(server.asked) == before + 2


async def test_listings_in_the_order_of_utf16_are_read_to_their_end() -> None:
    pages = {
        "marker=m1": LISTING.format("<Blob><Name>\uff00</Name></Blob>", ""),
        "": LISTING.format("<Blob><Name>a</Name></Blob><Blob><Name>\U0001f9e0</Name></Blob>", "m1"),
    }

    def script(asked: Asked) -> Said:
        return Said(200, body=next(pages[m] for m in pages if m in asked.target).encode())

    with ScriptedServer(script) as server:
        store = AzureStore(Address("acc", "abc", server.url), EXCHANGE, ANONYMOUS)
        assert await keys(store, KeyRange("a", "\uff01")) == ["a", "\uff00"]


async def test_the_end_of_a_blob_that_others_replace(azure, proxy, store, beside) -> None:
    await write(store, "k", b"0123456789")
    count = 0

    def others() -> None:
        nonlocal count
        count += 1
        if count < 4:
            start(beside.write, "k", b"x" * count).result()

    def is_read(head: bytes) -> bool:
        if head.startswith(b"GET"):
            others()
        return False

    proxy.plan(Reply(when=is_read))
    # Two of them are shorter than what was looked at, one is as long and another one.
    assert (await read(store, "k", ReadOptions(ByteRange(-1)))).value == b"x"
    assert count == 4
    proxy.forget()

    def always() -> None:
        start(beside.write, "k", b"x").result()

    proxy.plan(Reply(when=lambda head: bool(head.startswith(b"GET") and always())))
    with pytest.raises(Aborted, match="16 times"):
        await read(store, "k", ReadOptions(ByteRange(-1)))


async def test_empty_blobs_have_no_parts(store) -> None:
    await write(store, "k", b"")
    for low, high in ((0, 1), (1, None), (-1, None)):
        with pytest.raises(ValueError):
            await read(store, "k", ReadOptions(ByteRange(low, high)))
    assert (await read(store, "k", ReadOptions(ByteRange(0, 0)))).value == b""


async def test_long_and_odd_keys(store) -> None:
    odd = ["a//b", "/a", "k" * 900, "日" * 900, "\U0001f9e0" * 512, "a\u2028b", "?", "%2F", "%",
           "a/", "x" * 1024, " ", "a ", "..a", "e\u0301", "&<>\"'"]  # fmt: skip
    for key in odd:
        await write(store, key, key.encode())
        assert (await read(store, key)).value == key.encode()
    assert await keys(store) == sorted(odd)
    assert await keys(store, KeyRange("\uff00", "")) == ["\U0001f9e0" * 512]
    await start(store.delete_range, KeyRange())
    assert await keys(store) == []


async def test_many_keys_are_deleted_in_batches(store, beside, proxy) -> None:
    names = [f"a/{number:03} é%?" for number in range(260)]
    await fill(beside, [*names, "b"])
    before = len(proxy.statistics.requests)
    await start(store.delete_range, KeyRange.prefix("a/"))
    # One to list, two to delete.
    assert len(proxy.statistics.requests) <= before + 4
    assert await keys(store) == ["b"]


async def test_without_batches_keys_are_deleted_one_by_one(store, proxy) -> None:
    await fill(store, ["a", "b", "c"])
    refused = Reply(
        status=400, body=error_of("InvalidInput"), when=lambda head: b"comp=batch" in head
    )
    proxy.plan(refused)
    await start(store.delete_range, KeyRange())
    assert proxy.statistics.faults == 1
    assert await keys(store) == []


async def test_what_cannot_be_deleted_is_told(azure, beside) -> None:
    await fill(beside, ["a", "b", "c"])
    asker = beside._asker

    async def lease() -> None:
        fields = (("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "60"))
        answer = await asker.ask("PUT", "b", query=(("comp", "lease"),), fields=fields)
        assert answer.status == 201

    await start(lease)
    with pytest.raises(FailedPrecondition, match="lease"):
        await start(beside.delete_range, KeyRange())
    with pytest.raises(FailedPrecondition, match="lease"):
        await write(beside, "b", b"1", (await read(beside, "b")).stamp.generation)
    assert await keys(beside) == ["b"]
