"""Something on the way that answers in a service's place, with a page for people."""

from __future__ import annotations

import pytest

from asynctensor.errors import Error, FailedPrecondition
from asynctensor.kvstores._http.etags import generation_of
from asynctensor.kvstores._http.message import Headers
from asynctensor.runtime.event_loop import start
from asynctensor.storage.key_range import KeyRange
from asynctensor.testing.kvstore_calls import write
from tests.kvstores.scripted_clouds import CLOUDS, Cloud
from tests.servers.scripted import Asked, Said, ScriptedServer

PAGE = Said(200, (("Content-Type", "text/html; charset=utf-8"),), b"<html>Log in</html>")


@pytest.fixture(params=list(CLOUDS.values()), ids=list(CLOUDS))
def cloud(request: pytest.FixtureRequest) -> Cloud:
    found: Cloud = request.param
    return found


async def test_it_is_not_taken_for_a_delete_that_was_done(cloud: Cloud) -> None:
    with ScriptedServer(lambda asked: PAGE) as server:
        store = cloud.store(server.url, False)
        with pytest.raises(FailedPrecondition, match="page"):
            await write(store, "k", None)
        with pytest.raises(Error):
            await start(store.delete_range, KeyRange("a", "b"))
        assert all(asked.method != "PUT" for asked in server.asked)


async def test_nor_for_one_with_a_condition() -> None:
    with ScriptedServer(lambda asked: PAGE) as server:
        store = CLOUDS["s3"].store(server.url, False)
        with pytest.raises(FailedPrecondition, match="page"):
            await write(store, "k", None, generation_of(Headers([("ETag", '"1"')])))


async def test_nor_for_one_of_many() -> None:
    listing = b"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>"

    def script(asked: Asked) -> Said:
        return Said(body=listing) if asked.method == "GET" else PAGE

    with ScriptedServer(script) as server:
        store = CLOUDS["s3"].store(server.url, False)
        with pytest.raises(Error, match="'html'"):
            await start(store.delete_range, KeyRange("a", "b"))


async def test_a_service_that_says_nothing_has_done_it(cloud: Cloud) -> None:
    answers = [Said(204), Said(200), Said(202, (("Content-Type", "text/html"),))]
    with ScriptedServer(lambda asked: answers.pop()) as server:
        store = cloud.store(server.url, False)
        while answers:
            await write(store, "k", None)
