"""Answers of clouds that are cut off: the rest of that version is asked for, and all is counted."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from asynctensor.errors import DataLoss, Unavailable
from asynctensor.scheduler.scheduled_store import ScheduledStore
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.kvstore import KeyValueStore, ReadOptions
from asynctensor.testing.kvstore_calls import read
from tests.kvstores.scripted_clouds import CLOUDS, Cloud
from tests.servers.scripted import Asked, Said, ScriptedServer

OLD, NEW = os.urandom(300_000), os.urandom(290_000)
CUT = 200_000
#: Attempts that the stores make, the first included.
MOST = 6


@pytest.fixture(params=CLOUDS)
def cloud(request) -> Cloud:
    return CLOUDS[request.param]


@pytest.fixture(params=["by a task", "begun"])
def opened(request, cloud) -> Callable[[str], KeyValueStore]:
    """Opens a store whose reads are made by a task, or begun without one."""

    def open_store(url: str) -> KeyValueStore:
        store = cloud.store(url, False)
        return ScheduledStore(store) if request.param == "begun" else store

    return open_store


def cut_off(said: Said, size: int) -> Said:
    """An answer whose connection is closed in the middle."""
    length = ("Content-Length", str(len(said.body)))
    return replace(said, fields=(*said.fields, length), body=said.body[:size], length=False)


def of_next(said: Said) -> Said:
    """The same answer of the next version."""
    names = ("ETag", "X-Goog-Generation")
    fields = [(n, v.replace("1", "2") if n in names else v) for n, v in said.fields]
    return replace(said, fields=tuple(fields))


def range_of(asked: Asked) -> str:
    return asked.fields.get("range") or asked.fields.get("x-ms-range") or ""


def says_which(asked: Asked) -> bool:
    """Whether a request names the version that it is for."""
    return asked.fields.get("if-match") == '"1"' or "ifGenerationMatch=1" in asked.target.split("&")


def part(cloud: Cloud, value: bytes, asked: Asked) -> Said:
    """What a request asks for, whichever version it names."""
    said = range_of(asked)
    if not said:
        return cloud.answer(value)
    first, _, last = said.removeprefix("bytes=").partition("-")
    return cloud.answer(value[int(first) : int(last) + 1], value, int(first))


class Script:
    """Cuts its first answer off, and goes on as `after` says."""

    def __init__(self, cloud: Cloud, after: Callable[[Asked], Said]) -> None:
        self._cloud, self._after = cloud, after
        self._is_first = True

    def __call__(self, asked: Asked) -> Said:
        if self._is_first:
            self._is_first = False
            return cut_off(part(self._cloud, OLD, asked), CUT)
        return self._after(asked)


@pytest.mark.parametrize("start", [0, 1000])
async def test_the_rest_of_the_same_version_is_asked_for(cloud, opened, start) -> None:
    script = Script(cloud, lambda asked: part(cloud, OLD, asked))
    with ScriptedServer(script) as server:
        store = opened(server.url)
        options = ReadOptions(ByteRange(start, len(OLD)) if start else ByteRange())
        assert (await read(store, "k", options)).value == OLD[start:]
        _, second = server.asked
        assert says_which(second)
        assert range_of(second) == f"bytes={start + CUT}-299999"


async def test_conditions_of_the_read_are_met_by_the_version(cloud, opened) -> None:
    """The rest is asked for on one condition: that it is of the version that has begun."""
    script = Script(cloud, lambda asked: part(cloud, OLD, asked))
    with ScriptedServer(script) as server:
        store = opened(server.url)
        known = (await read(store, "k")).stamp.generation
        other = known[:-1] + bytes([known[-1] ^ 7]) if known[-1] else b"\0\7" + bytes(7)
        for options in (ReadOptions(if_equal=known), ReadOptions(if_not_equal=other)):
            script._is_first = True
            server.asked.clear()
            assert (await read(store, "k", options)).value == OLD
            first, second = server.asked
            assert says_which(second)
            assert "if-none-match" not in second.fields
            assert "ifGenerationNotMatch" not in second.target
            conditions = first.fields.keys() & {"if-match", "if-none-match"}
            assert conditions or "ifGeneration" in first.target


@pytest.mark.parametrize("heeds", [True, False])
async def test_two_versions_are_never_put_together(cloud, opened, heeds) -> None:
    def replaced(asked: Asked) -> Said:
        if heeds and says_which(asked):
            return Said(412)
        return of_next(part(cloud, NEW, asked))

    with ScriptedServer(Script(cloud, replaced)) as server:
        found = await read(opened(server.url), "k")
        assert found.value == NEW
        assert [bool(range_of(each)) for each in server.asked] == [False, True, False]


async def test_what_was_deleted_meanwhile_is_missing(cloud, opened) -> None:
    with ScriptedServer(Script(cloud, lambda asked: cloud.missing)) as server:
        assert (await read(opened(server.url), "k")).state == "missing"
        assert len(server.asked) == 2


async def test_the_whole_is_compared_with_its_checksum(cloud, opened) -> None:
    def damaged(asked: Asked) -> Said:
        said = part(cloud, OLD, asked)
        return replace(said, body=bytes([said.body[0] ^ 1]) + said.body[1:])

    with ScriptedServer(Script(cloud, damaged)) as server:
        with pytest.raises(DataLoss, match="the bytes that came have the"):
            await read(opened(server.url), "k")
        assert says_which(server.asked[1])


@pytest.mark.parametrize("size", [1000, CUT], ids=["anew", "gone on"])
async def test_attempts_are_counted_whoever_makes_them(cloud, opened, size) -> None:
    """Also the first one, which takes no task, and those that go on."""
    with ScriptedServer(lambda asked: cut_off(cloud.answer(OLD), size)) as server:
        with pytest.raises(Unavailable, match=rf"no whole answer.*\({MOST} attempts\)"):
            await read(opened(server.url), "k")
        assert len(server.asked) == MOST


@pytest.mark.parametrize("said", [Said(503), Said(500), Said(429, (("Retry-After", "0"),))])
async def test_refusals_that_may_pass_are_counted(cloud, opened, said) -> None:
    with ScriptedServer(lambda asked: said) as server:
        with pytest.raises(Unavailable, match=rf"{said.status}.*\({MOST} attempts\)") as caught:
            await read(opened(server.url), "k")
        assert (caught.value.key, caught.value.operation) == ("k", "read")
        assert len(server.asked) == MOST
