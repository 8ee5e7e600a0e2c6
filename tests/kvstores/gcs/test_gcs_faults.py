"""What goes wrong on the way to Google Cloud Storage, or there: survived, or told."""

from __future__ import annotations

import json

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
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores.gcs.address import Address
from asynctensor.kvstores.gcs.generation import generation_of
from asynctensor.kvstores.gcs.store import GcsStore
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.google_credentials import ANONYMOUS, GcsUserProject
from asynctensor.scheduler.retry import RetryPolicy
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import ReadOptions
from asynctensor.testing.fault_proxy import FaultProxy
from asynctensor.testing.kvstore_calls import directory, entries, fill, keys, read, write
from asynctensor.testing.network_faults import Alter, Refuse, Reply, Reset, Truncate
from tests.kvstores.cloud_faults import CloudFaultSuite
from tests.kvstores.gcs.buckets import EXCHANGE, control, meanwhile, new_bucket, new_store
from tests.servers.scripted import Asked, Said, ScriptedServer


def refusal(status: int, reason: str, message: str = "Because.") -> bytes:
    item = {"message": message, "domain": "global", "reason": reason}
    return json.dumps({"error": {"code": status, "message": message, "errors": [item]}}).encode()


BUSY = refusal(503, "backendError")
SLOWER = refusal(429, "rateLimitExceeded")


@pytest.fixture
def proxy(gcs_server, fault_proxy_to) -> FaultProxy:
    return fault_proxy_to(*gcs_server.address)


@pytest.fixture
def store(gcs_server, proxy) -> GcsStore:
    return new_store(gcs_server, endpoint=proxy.url)


class TestGcsSurvives(CloudFaultSuite):
    """In the words of Google."""

    undone = (Reply(status=503, body=BUSY), Reply(status=500, body=BUSY), Refuse(),
              Reply(status=429, body=SLOWER, headers=(("Retry-After", "0"),)),
              Reply(status=403, body=SLOWER), Reply(status=408))  # fmt: skip
    #: The last one says something else.
    lost = (Reset(after=0), Reset(after=20), Truncate(after=20), Truncate(after=200),
            Alter(change=lambda answer: Reply(status=503, body=BUSY).encoded()))  # fmt: skip
    at_writes = (*undone, *lost)
    value_fields = tuple(
        (("X-Goog-Generation", "1"), ("X-Goog-Hash", said))
        for said in (f"crc32c={crc32c(b'value')},md5=x", f"md5=x, crc32c={crc32c(b'value')}")
    )
    damaged_listings = (
        b"", b"{", b"[]", b"1", b'{"items": 1}', b'{"items": [1]}', b'{"items": [{}]}',
        b'{"items": [{"name": ""}]}', b'{"items": [{"name": "\\ud800"}]}', b'{"prefixes": [5]}',
        b'{"nextPageToken": 5}', b'{"nextPageToken": "same"}', b"[" * 100_000,
    )  # fmt: skip

    @staticmethod
    def is_put(head: bytes) -> bool:
        return is_upload(head)

    def scripted(self, url: str) -> GcsStore:
        return GcsStore(Address("abc", url), EXCHANGE, ANONYMOUS)


def is_upload(head: bytes) -> bool:
    return head.startswith(b"POST /upload")


def is_look(head: bytes) -> bool:
    return b"fields=contentEncoding" in head


async def test_what_nobody_can_know_is_said(gcs_server, store, proxy) -> None:
    # Somebody else writes right before the store looks for what became of its own write.
    proxy.plan(Reset(after=0, when=is_upload), meanwhile(gcs_server, store, is_look, b"theirs"))
    with pytest.raises(Unavailable, match="not known"):
        await write(store, "k", b"ours", NO_VALUE)
    proxy.forget()
    assert (await read(store, "k")).value == b"theirs"


async def test_a_lost_race_is_seen_by_the_mark(store, proxy) -> None:
    first = await write(store, "k", b"first", NO_VALUE)
    await write(store, "k", b"second", first.generation)
    # The answer says no, and is lost: what stands there has replaced what this was to replace.
    proxy.plan(Reset(after=0, when=is_upload))
    assert (await write(store, "k", b"late", first.generation)).generation == UNKNOWN
    assert (await read(store, "k")).value == b"second"


async def test_a_condition_that_fails_on_the_writes_own_success() -> None:
    """The first attempt is answered with 503 and done later, the second finds it done."""
    marks: list[str] = []

    def script(asked: Asked) -> Said:
        if asked.method == "POST":
            marks.append(json.loads(asked.body.split(b"\r\n")[3])["metadata"]["asynctensor-write"])
            if len(marks) == 1:
                return Said(503, body=BUSY)
            return Said(412, body=refusal(412, "conditionNotMet"))
        if len(marks) < 2:
            return Said(404, body=refusal(404, "notFound", "No such object: abc/k"))
        found = {"generation": "77", "size": "1", "metadata": {"asynctensor-write": marks[0]}}
        return Said(body=json.dumps(found).encode())

    with ScriptedServer(script) as server:
        store = GcsStore(Address("abc", server.url), EXCHANGE, ANONYMOUS)
        stamp = await write(store, "k", b"1", NO_VALUE)
        assert stamp.generation == generation_of("77")
        assert [asked.method for asked in server.asked] == ["POST", "GET", "POST", "GET"]
        assert len(set(marks)) == 1


async def test_doubt_is_not_hidden_by_another_error() -> None:
    def script(asked: Asked) -> Said:
        if asked.method == "POST":
            return Said(500)
        return Said(403, body=refusal(403, "forbidden", "No access to look."))

    with ScriptedServer(script) as server:
        store = GcsStore(Address("abc", server.url), EXCHANGE, ANONYMOUS)
        with pytest.raises(Unavailable, match=r"not known.*No access to look") as caught:
            await write(store, "k", b"1", NO_VALUE)
        assert isinstance(caught.value.__cause__, PermissionDenied)


# -- What the service says, from a server that says what it is told -------------------------------


def refusing(status: int, reason: str, message: str = "Because.") -> ScriptedServer:
    return ScriptedServer(lambda asked: Said(status, body=refusal(status, reason, message)))


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        (400, "invalid", InvalidArgument),
        (401, "authError", PermissionDenied),
        (403, "forbidden", PermissionDenied),
        (403, "accountDisabled", PermissionDenied),
        (403, "quotaExceeded", ResourceExhausted),
        (403, "retentionPolicyNotMet", FailedPrecondition),
        (410, "gone", NotFound),
        (301, "moved", FailedPrecondition),
    ],
)
async def test_refusals_are_typed_and_not_repeated(status, reason, error) -> None:
    with refusing(status, reason) as server:
        store = GcsStore(Address("abc", server.url), EXCHANGE, ANONYMOUS)
        calls = [lambda: read(store, "k"), lambda: write(store, "k", b"1"),
                 lambda: write(store, "k", None), lambda: entries(store),
                 lambda: write(store, "k", b"1", NO_VALUE)]  # fmt: skip
        for count, call in enumerate(calls, 1):
            with pytest.raises(error, match=reason) as caught:
                await call()
            assert len(server.asked) == count
            assert caught.value.store == f"{server.url}/abc"


async def test_a_bucket_that_is_not_there(gcs_server) -> None:
    store = GcsStore(Address("no-such-bucket", gcs_server.endpoint), EXCHANGE)
    for call in (
        lambda: read(store, "k"), lambda: read(store, "k", ReadOptions(ByteRange(0, 0))),
        lambda: write(store, "k", b"1"), lambda: write(store, "k", b"1", NO_VALUE),
        lambda: write(store, "k", None), lambda: entries(store),
        lambda: start(store.delete_range, KeyRange()),
    ):  # fmt: skip
        with pytest.raises(NotFound, match=r"bucket does not exist \(is its name right"):
            await call()


async def test_who_pays(gcs_server) -> None:
    address = Address(new_bucket(gcs_server, requester_pays=True), gcs_server.endpoint)
    with pytest.raises(InvalidArgument, match="gcs_user_project"):
        await write(GcsStore(address, EXCHANGE), "k", b"1")
    store = GcsStore(address, EXCHANGE, project=GcsUserProject("me"))
    await write(store, "k", b"1", NO_VALUE)
    assert (await read(store, "k")).value == b"1"
    assert await keys(store) == ["k"]
    await start(store.delete_range, KeyRange())
    assert await keys(store) == []


async def test_one_write_of_a_name_at_a_time(gcs_server) -> None:
    bucket = new_bucket(gcs_server, seconds_between_writes=0.02)
    # All waits together are longer than that, whatever is drawn.
    patient = Exchange(RetryPolicy(20, 0.005, 0.02))
    store = GcsStore(Address(bucket, gcs_server.endpoint), patient)
    generation = NO_VALUE
    for value in (b"1", b"2", b"3", b"4"):
        generation = (await write(store, "k", value, generation)).generation
        assert generation != UNKNOWN
    assert (await read(store, "k")).value == b"4"
    assert (await write(store, "k", None, generation)).generation == NO_VALUE


# -- Answers that make no sense -------------------------------------------------------------------


async def test_damaged_values_are_not_stored(gcs_server, store, proxy, monkeypatch) -> None:
    async def wrong(body):
        return crc32c(b"something else")

    monkeypatch.setattr("asynctensor.kvstores.gcs.writing.crc32c_of", wrong)
    with pytest.raises(InvalidArgument, match="crc32c"):
        await write(store, "k", b"value")
    assert (await read(store, "k")).state == "missing"


async def test_a_service_that_heeds_no_offsets() -> None:
    names = [{"name": name, "size": "1"} for name in ("a", "b", "c/d", "c/e", "d")]
    body = json.dumps({"items": names}).encode()
    with ScriptedServer(lambda asked: Said(200, body=body)) as server:
        store = GcsStore(Address("abc", server.url), EXCHANGE, ANONYMOUS)
        assert await keys(store, KeyRange("b", "c/e")) == ["b", "c/d"]
        assert "startOffset=b" in server.asked[-1].target
        assert "endOffset=c%2Fe" in server.asked[-1].target
        assert await keys(store, KeyRange.prefix("c/")) == ["c/d", "c/e"]
        assert "prefix=c%2F" in server.asked[-1].target
        assert "Offset" not in server.asked[-1].target


async def test_pages_follow_each_other(gcs_server) -> None:
    store = new_store(gcs_server)
    control(gcs_server, store._asker.address.bucket, page=3)
    names = [f"{i % 3}/{i:02}" for i in range(10)]
    await fill(store, names)
    assert [entry.key for entry in await entries(store)] == sorted(names)
    assert [entry.key for entry in await directory(store, "")] == ["0/", "1/", "2/"]
    assert await keys(store, KeyRange("0/06", "2/03")) == ["0/06", "0/09", "1/01", "1/04", "1/07",
                                                           "2/02"]  # fmt: skip
    await start(store.delete_range, KeyRange("0/06", "2/03"))
    assert await keys(store) == ["0/00", "0/03", "2/05", "2/08"]


async def test_answers_without_a_generation_are_refused() -> None:
    with ScriptedServer(lambda asked: Said(200, body=b"{}")) as server:
        store = GcsStore(Address("abc", server.url), EXCHANGE, ANONYMOUS)
        for call in (lambda: read(store, "k"), lambda: write(store, "k", b"1")):
            with pytest.raises(FailedPrecondition, match="generation"):
                await call()


async def test_keys_that_no_object_can_have(store, proxy) -> None:
    for key in ("", "a" * 1025, "é" * 513, "a\nb", "a\rb", "\ud800", ".", "..",
                ".well-known/acme-challenge/x"):  # fmt: skip
        for call in (lambda key=key: write(store, key, b"1"), lambda key=key: read(store, key)):
            with pytest.raises(InvalidArgument):
                await call()
    assert proxy.statistics.requests == []
    odd = ["a//b", "/a", "a/../b", "a/./b", "k" * 900, "\x01", "a\tb", "a\u2028b", "?", "%2F", "a/",
           "\0", "#", "é" * 512, "\U0001f9e0/\U0001f9e0"]  # fmt: skip
    for key in odd:
        await write(store, key, key.encode())
        assert (await read(store, key)).value == key.encode()
    assert await keys(store) == sorted(odd)
    await start(store.delete_range, KeyRange())
    assert await keys(store) == []
