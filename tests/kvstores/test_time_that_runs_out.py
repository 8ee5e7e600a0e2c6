"""What an array tells of its stores when time runs out, or the runtime ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import asynctensor as at
from asynctensor.errors import Aborted, DeadlineExceeded, Error, Unavailable
from asynctensor.runtime.event_loop import shutdown
from asynctensor.storage.store_name import store_name
from tests.servers.scripted import Asked, Said, ScriptedServer

WHOLE = {"name": "regular", "configuration": {"chunk_shape": [4]}}
PLAIN: list[Any] = [{"name": "bytes", "configuration": {"endian": "little"}}]
INDEX = [*PLAIN, {"name": "crc32c"}]
SHARDS: list[Any] = [
    {
        "name": "sharding_indexed",
        "configuration": {"chunk_shape": [1], "codecs": PLAIN, "index_codecs": INDEX},
    }
]


def metadata(codecs: list[Any]) -> bytes:
    document = {
        "zarr_format": 3, "node_type": "array", "shape": [8], "data_type": "uint8",
        "chunk_grid": WHOLE, "chunk_key_encoding": {"name": "default"}, "fill_value": 0,
        "codecs": codecs,
    }  # fmt: skip
    return json.dumps(document).encode()


def busy(codecs: list[Any]) -> Callable[[Asked], Said]:
    """A bucket that has the metadata of an array, and no time for its chunks."""

    def script(asked: Asked) -> Said:
        if asked.method == "GET" and "zarr.json" in asked.target:
            return Said(200, (("ETag", '"1"'),), metadata(codecs))
        return Said(
            503, (("Content-Type", "application/xml"),), b"<Error><Code>SlowDown</Code></Error>"
        )

    return script


def bucket(server: ScriptedServer) -> dict[str, Any]:
    return {
        "driver": "s3",
        "endpoint": server.url,
        "bucket": "made",
        "path": "image/",
        "aws_region": "us-east-1",
        "aws_credentials": {"type": "anonymous"},
        "s3_request_retries": {
            "max_retries": 10**9, "initial_delay": "1ms", "max_delay": "1ms"
        },
    }  # fmt: skip


async def opened(server: ScriptedServer) -> at.TensorStore:
    return await at.open({"driver": "zarr3", "kvstore": bucket(server)})


async def too_late(begin: Callable[[float], Any]) -> Error:
    """What is told when time runs out; on a busy machine, that may be before anything failed."""
    error: Error | None = None
    for seconds in (0.2, 1.0, 5.0, 30.0, 60.0):
        with pytest.raises(DeadlineExceeded) as caught:
            await begin(seconds)
        error = caught.value
        if isinstance(error.__cause__, Unavailable):
            break
    assert error is not None
    return error


def check(error: Error, server: ScriptedServer, what: str) -> None:
    assert isinstance(error.__cause__, Unavailable), error
    assert "SlowDown" in str(error)
    assert "attempt " in str(error)
    assert f"ran out during {what}" in str(error)
    assert (error.array, error.operation) == (f"{server.url}/made/image/|zarr3:", what)


@pytest.mark.parametrize("codecs", [PLAIN, SHARDS], ids=["chunks", "shards"])
@pytest.mark.parametrize("count", [1, 8])
async def test_a_read_tells_what_failed_last(codecs: list[Any], count: int) -> None:
    with ScriptedServer(busy(codecs)) as server:
        array = await opened(server)
        check(await too_late(lambda s: array[:count].read(timeout=s)), server, "read")


async def test_a_write_tells_what_failed_last() -> None:
    with ScriptedServer(busy(PLAIN)) as server:
        array = await opened(server)
        check(await too_late(lambda s: array.write(1, timeout=s)), server, "write")


async def test_a_value_tells_what_failed_last() -> None:
    with ScriptedServer(busy(PLAIN)) as server:
        store = await at.KvStore.open(bucket(server))
        for begin in (
            lambda s: store.read("c/0", timeout=s),
            lambda s: store.read("c/0", byte_range=slice(0, 2), timeout=s),
        ):
            error = await too_late(begin)
            assert isinstance(error.__cause__, Unavailable)
            assert "SlowDown" in str(error)
            assert (error.key, error.store) == ("image/c/0", f"{server.url}/made")


@pytest.fixture
def held() -> Iterator[tuple[ScriptedServer, threading.Semaphore]]:
    """A bucket that answers nothing about chunks, and what counts what it is asked."""
    asked, over = threading.Semaphore(0), threading.Event()

    def script(request: Asked) -> Said:
        if "zarr.json" not in request.target:
            asked.release()
            over.wait(60)
        return busy(PLAIN)(request)

    with ScriptedServer(script) as server:
        yield server, asked
        over.set()


def test_what_the_end_of_the_runtime_leaves_undone_names_its_array(
    held: tuple[ScriptedServer, threading.Semaphore],
) -> None:
    server, asked = held
    array = at.open({"driver": "zarr3", "kvstore": bucket(server)}).result()
    reading = array.read()
    assert asked.acquire(timeout=60)
    shutdown()
    error = reading.exception(timeout=60)
    assert isinstance(error, Aborted), error
    assert error.array == f"{server.url}/made/image/|zarr3:"
    assert error.operation == "read"


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({"driver": "s3", "bucket": "made"}, "s3://made/a"),
        (
            {"driver": "s3", "bucket": "made", "endpoint": "http://host:1/x"},
            "http://host:1/x/made/a",
        ),
        ({"driver": "gcs", "bucket": "made", "endpoint": "http://host:1"}, "http://host:1/made/a"),
        (
            {
                "driver": "azure",
                "account": "user",
                "container": "made",
                "endpoint": "http://host:1/u",
            },
            "http://host:1/u/made/a",
        ),
    ],
)
def test_places_are_named_by_who_is_asked(spec: dict[str, Any], name: str) -> None:
    store = at.KvStore.open(spec).result()
    assert store_name(store._store, "a") == name
    zipped = at.KvStore.open({"driver": "zip", "base": {**spec, "path": "a"}}).result()
    assert store_name(zipped._store, "b") == f"{name}|zip:b"
