"""Reads of clouds that are begun without a task: what they bring, and what they leave to `read`."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from dataclasses import replace
from typing import Any

import pytest

from asynctensor.errors import DataLoss, Error, PermissionDenied, Unavailable
from asynctensor.kvstores.s3.address import Address as S3Bucket
from asynctensor.kvstores.s3.store import S3Store
from asynctensor.runtime.aws_credentials import AwsCredentials
from asynctensor.runtime.event_loop import start
from asynctensor.scheduler.gate import shared_gate
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.kvstore import Arrival, ReadOptions
from asynctensor.testing.kvstore_calls import read
from asynctensor.testing.network_faults import Stall
from tests.kvstores.scripted_clouds import CLOUDS, EXCHANGE, Cloud, Store
from tests.servers.scripted import Asked, Said, ScriptedServer

#: So long that a worker thread takes its checksum, whichever that is.
LARGE = bytes(range(256)) * (5 << 12)


@pytest.fixture(params=CLOUDS)
def cloud(request) -> Cloud:
    return CLOUDS[request.param]


async def begun(store: Store, key: str, options: ReadOptions | None = None) -> Any:
    """What a begun read is told; ``"not begun"`` if it is not."""

    async def run() -> Any:
        told: asyncio.Future[Arrival | Error | None]
        told = asyncio.get_running_loop().create_future()
        give_up = store.begin_read(key, options or ReadOptions(), told.set_result)
        if give_up is None:
            return "not begun"
        async with asyncio.timeout(60):
            return await told

    return await start(run)


@pytest.mark.parametrize("value", [b"", b"value", LARGE], ids=len)
async def test_values_arrive(cloud, value) -> None:
    with ScriptedServer(lambda asked: cloud.answer(value)) as server:
        store = cloud.store(server.url, False)
        found = await begun(store, "k")
        assert (found.state, bytes(found.value)) == ("value", value)
        assert found.stamp.generation == (await read(store, "k")).stamp.generation
        assert len(server.asked) == 2
        first, second = server.asked
        assert (first.method, first.target) == (second.method, second.target)
        assert first.fields == second.fields


async def test_parts_and_what_is_not_there_arrive(cloud) -> None:
    def script(asked: Asked) -> Said:
        if "none" in asked.target:
            return cloud.missing
        if cloud.condition in asked.target.lower() or cloud.condition in asked.fields:
            return Said(304)
        return cloud.answer(b"al", b"value", 1)

    with ScriptedServer(script) as server:
        store = cloud.store(server.url, False)
        found = await begun(store, "k", ReadOptions(ByteRange(1, 3)))
        assert (found.state, bytes(found.value)) == ("value", b"al")
        assert (await begun(store, "none")).state == "missing"
        known = found.stamp.generation
        again = await begun(store, "k", ReadOptions(if_not_equal=known))
        assert (again.state, again.stamp.generation) == ("unspecified", known)
        assert len(server.asked) == 3
        # Of these, a look says enough, or there is none that can be asked for.
        assert await begun(store, "k", ReadOptions(ByteRange(1, 1))) == "not begun"
        assert await begun(store, "k", ReadOptions(if_equal=b"?")) == "not begun"
        assert await begun(store, "\ud800") == "not begun"
        assert len(server.asked) == 3


@pytest.mark.parametrize("value", [b"value", LARGE], ids=len)
async def test_damage_is_left_to_reads(cloud, value) -> None:
    fields, damaged = cloud.of_value(value), b"!" + value[1:]
    with ScriptedServer(lambda asked: Said(200, fields, damaged)) as server:
        store = cloud.store(server.url, False)
        assert await begun(store, "k") is None
        with pytest.raises(DataLoss):
            await read(store, "k")


async def test_what_takes_another_request_is_left_to_reads(cloud) -> None:
    for answer in [Said(416), Said(206, body=b"x"), Said(200)]:
        with ScriptedServer(lambda asked: answer) as server:  # noqa: B023
            assert await begun(cloud.store(server.url, False), "k") is None
            assert len(server.asked) == 1


async def test_what_may_pass_is_asked_again(cloud) -> None:
    """As often as any other request, and the last error is told."""
    for status in (503, 500, 429):
        with ScriptedServer(lambda asked: Said(status)) as server:  # noqa: B023
            found = await begun(cloud.store(server.url, False), "k")
            assert isinstance(found, Unavailable)
            assert "(6 attempts)" in str(found)
            assert len(server.asked) == 6


async def test_refusals_are_told_at_once(cloud) -> None:
    """Whoever asks again is told the same; so nobody does."""
    for answer in [cloud.refused, cloud.no_place, Said(400), Said(403), Said(405), Said(501)]:
        with ScriptedServer(lambda asked: answer) as server:  # noqa: B023
            store = cloud.store(server.url, False)
            found = await begun(store, "k")
            with pytest.raises(type(found)) as caught:
                await read(store, "k")
            assert str(found) == str(caught.value)
            assert isinstance(found, Error)
            assert (found.key, found.operation) == ("k", "read")
            assert len(server.asked) == 2


async def test_packed_values_are_left_to_reads() -> None:
    packed = gzip.compress(b"value")
    fields = (*CLOUDS["gcs"].of_value(packed), ("Content-Encoding", "gzip"))
    with ScriptedServer(lambda asked: Said(200, fields, packed)) as server:
        store = CLOUDS["gcs"].store(server.url, False)
        assert await begun(store, "k") is None
        assert (await read(store, "k")).value == b"value"


@pytest.mark.parametrize("size", [100, len(LARGE)])
async def test_what_is_given_up_is_told_nobody(cloud, fault_proxy_to, size) -> None:
    value = LARGE[:size]
    with ScriptedServer(lambda asked: cloud.answer(value)) as server:
        proxy = fault_proxy_to("127.0.0.1", server.port)
        store = cloud.store(proxy.url, False)
        # Its place is the only one.
        alone = replace(store._asker.exchange, concurrency=1)
        store._asker.exchange = alone

        async def run() -> None:
            before = shared_gate().statistics()
            # Each stalls before its end, which may come in one piece.
            for turns in (0, 1, 2, 3, 5, 8, 40):
                told: list[Arrival | None] = []
                proxy.plan(Stall(after=min(50 * turns, size // 2)))
                give_up = store.begin_read("k", ReadOptions(), told.append)
                assert give_up is not None
                for _ in range(turns):
                    await asyncio.sleep(0)
                give_up()
                proxy.forget()
                assert (await store.read("k")).value == value
                assert told == []
            # Also one whose bytes are there already, and being looked at.
            began = asyncio.Event()
            reader = store._reader
            takes = reader._expected

            def watched(answer: Any) -> Any:
                began.set()
                return takes(answer)

            reader._expected = watched
            give_up = store.begin_read("k", ReadOptions(), told.append)
            await began.wait()
            reader._expected = takes
            give_up()
            assert (await store.read("k")).value == value
            # Small ones are told at once.
            assert told == [] or size < len(LARGE)
            assert shared_gate().statistics() == before

        await start(run, timeout=30)


async def test_what_is_given_up_at_the_last_moment_is_told_nobody(cloud) -> None:
    """When its checksum is known, and nobody has been told yet."""
    with ScriptedServer(lambda asked: cloud.answer(LARGE)) as server:
        store = cloud.store(server.url, False)

        async def run() -> None:
            told: list[Arrival | None] = []
            give_up: Any = store.begin_read("k", ReadOptions(), told.append)
            begun = give_up.__self__
            while begun._digesting is None or not begun._digesting.done():  # noqa: ASYNC110
                await asyncio.sleep(0)
            assert told == []
            give_up()
            for _ in range(5):
                await asyncio.sleep(0)
            assert told == []

        await start(run, timeout=30)


@pytest.fixture
def lookups(monkeypatch, tmp_path) -> Any:
    """Places where credentials are looked up; gives what counts those of Azure."""
    for name in [n for n in os.environ if n.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "aws").write_text("[default]\naws_access_key_id = id1\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws"))
    (tmp_path / "token").write_text("id1")
    monkeypatch.setenv("THE_FILE", str(tmp_path / "token"))
    given = ["id1"]

    def script(asked: Asked) -> Said:
        body = {"access_token": given[0], "expires_on": "4000000000"}
        return Said(200, (("Content-Type", "application/json"),), json.dumps(body).encode())

    def renew(name: str) -> None:
        given[0] = name
        (tmp_path / "token").write_text(name)
        (tmp_path / "aws").write_text(
            f"[default]\naws_access_key_id = {name}\naws_secret_access_key = s\n"
        )

    with ScriptedServer(script) as server:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.url}/msi")
        monkeypatch.setenv("IDENTITY_HEADER", "hidden")
        yield renew


async def test_credentials_are_looked_up_by_reads(cloud, lookups) -> None:
    """A begun read waits for nobody; it goes once somebody else has looked, and takes the new."""
    valid = ["id1"]

    def script(asked: Asked) -> Said:
        said = asked.fields.get("authorization", "")
        return cloud.answer(b"value") if valid[0] in said else cloud.refused

    with ScriptedServer(script) as server:
        store = cloud.store(server.url, True)
        assert await begun(store, "k") == "not begun"
        assert server.asked == []
        assert (await read(store, "k")).value == b"value"
        assert bytes((await begun(store, "k")).value) == b"value"
        assert len(server.asked) == 2
        # They expire.
        valid[0] = "id2"
        lookups("id2")
        assert await begun(store, "k") is None
        assert len(server.asked) == 3
        assert (await read(store, "k")).value == b"value"
        assert bytes((await begun(store, "k")).value) == b"value"
        # Who was refused had forgotten the old ones.
        assert len(server.asked) == 5


async def test_keys_that_are_not_there_are_told_by_reads(monkeypatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with ScriptedServer(lambda asked: Said(404)) as server:
        store = S3Store(S3Bucket("abc", server.url), EXCHANGE, AwsCredentials("environment"))
        before = shared_gate().statistics()
        assert await begun(store, "k") == "not begun"
        with pytest.raises(PermissionDenied, match="AWS_ACCESS_KEY_ID"):
            await read(store, "k")
        assert server.asked == []
        assert shared_gate().statistics() == before


async def test_where_the_region_is_not_known_nothing_is_begun() -> None:
    store = S3Store(S3Bucket("asynctensor-nowhere"), EXCHANGE, AwsCredentials("anonymous"))
    assert await begun(store, "k") == "not begun"
