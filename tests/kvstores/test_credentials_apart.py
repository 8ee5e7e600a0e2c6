"""What one user is given no other one gets, and no server gets what is meant for another one."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import FailedPrecondition, PermissionDenied
from tests.servers.scripted import Asked, Said, ScriptedServer

METADATA = {
    "zarr_format": 3, "node_type": "array", "shape": [4], "data_type": "uint8",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4]}},
    "chunk_key_encoding": {"name": "default"}, "fill_value": 0,
    "codecs": [{"name": "bytes"}],
}  # fmt: skip
RETRIES = {"max_retries": 1, "initial_delay": "1ms"}
#: What says which version an answer is of, in each service's words.
VERSION = (("ETag", '"1"'), ("X-Goog-Generation", "1"))


Given = tuple[dict[str, Any], dict[str, Any]]


def http(url: str, who: str) -> Given:
    return {"driver": "http", "base_url": url}, {
        "http_credentials": {"type": "bearer", "token": who},
    }


def s3(url: str, who: str) -> Given:
    keys = {"type": "static", "access_key_id": who, "secret_access_key": f"of-{who}"}
    return {"driver": "s3", "bucket": "abc", "endpoint": url, "aws_region": "r"}, {
        "aws_credentials": keys,
    }


def gcs(url: str, who: str) -> Given:
    return {"driver": "gcs", "bucket": "abc", "endpoint": url}, {
        "gcs_credentials": {"type": "token", "token": who},
    }


def azure(url: str, who: str) -> Given:
    return {"driver": "azure", "account": "acc", "container": "abc", "endpoint": url}, {
        "azure_credentials": {"type": "sas", "token": f"sv=1&sig={who}"},
    }


@pytest.fixture(params=[http, s3, gcs, azure], ids=lambda make: make.__name__)
def cloud(request) -> Callable[[str, str], Given]:
    """Makes the spec of a folder at a URL, and the resources of who asks."""
    return request.param


async def opened(
    cloud: Callable[[str, str], Given], url: str, who: str, shared: ts.Context | None = None
) -> Any:
    """The folder; `shared`: what is used together with others."""
    spec, resources = cloud(url, who)
    context = ts.Context(resources, shared or impatient(cloud))
    return await ts.KvStore.open(spec, context=context)


def impatient(cloud: Callable[[str, str], Given]) -> ts.Context:
    return ts.Context({f"{cloud.__name__}_request_retries": RETRIES})


def who_asks(asked: Asked) -> str:
    """What a request says of who asks."""
    said = asked.fields.get("authorization", "") + asked.target
    return next((who for who in ("alice", "bob") if who in said), "")


@pytest.fixture
def served() -> Any:
    """Serves an array to alice alone."""

    def script(asked: Asked) -> Said:
        if who_asks(asked) != "alice":
            return Said(403)
        name = asked.target.partition("?")[0].replace("%2F", "/")
        if name.endswith("zarr.json"):
            return Said(200, VERSION, json.dumps(METADATA).encode())
        return Said(200, VERSION, b"\1\2\3\4") if name.endswith("c/0") else Said(404)

    with ScriptedServer(script) as server:
        yield server


async def test_who_is_refused_asks_once(cloud, served) -> None:
    """Reads of values, of parts, and of many chunks of an array."""
    store = await opened(cloud, served.url, "bob")
    for part in (None, slice(1, 3)):
        served.asked.clear()
        with pytest.raises(PermissionDenied) as caught:
            await store.read("c/0", byte_range=part)
        assert (caught.value.key, caught.value.operation) == ("c/0", "read")
        assert len(served.asked) == 1
    spec, resources = cloud(served.url, "bob")
    spec = {"driver": "zarr3", "kvstore": spec, "metadata": METADATA,
            "open": True, "assume_metadata": True}  # fmt: skip
    array = await ts.open(spec, context=ts.Context(resources, impatient(cloud)))
    served.asked.clear()
    with pytest.raises(PermissionDenied, match="c/0"):
        await array.read()
    assert len(served.asked) == 1


async def test_reads_of_one_moment_are_not_shared(cloud, served) -> None:
    shared = impatient(cloud)
    stores = [await opened(cloud, served.url, who, shared) for who in ("alice", "bob", "alice")]
    found = await asyncio.gather(*(s.read("c/0") for s in stores), return_exceptions=True)
    assert [getattr(each, "value", None) for each in found] == [b"\1\2\3\4", None, b"\1\2\3\4"]
    assert isinstance(found[1], PermissionDenied)
    # Both of alice's are one request.
    assert sorted(who_asks(each) for each in served.asked) == ["alice", "bob"]


async def test_cached_cells_are_not_shared(cloud, served) -> None:
    """Not even those that are used without asking anybody."""
    shared = ts.Context({"cache_pool": {"total_bytes_limit": 1 << 20}})

    async def opened_array(who: str) -> Any:
        spec, resources = cloud(served.url, who)
        return await ts.open(
            {"driver": "zarr3", "kvstore": spec, "recheck_cached_data": False,
             "recheck_cached_metadata": False},
            context=ts.Context(resources, shared),
        )  # fmt: skip

    array = await opened_array("alice")
    for _ in range(2):
        assert np.array_equal(await array.read(), [1, 2, 3, 4])
    assert np.array_equal(await (await opened_array("alice")).read(), [1, 2, 3, 4])
    assert sum("zarr.json" not in asked.target for asked in served.asked) == 1
    with pytest.raises(PermissionDenied):
        await opened_array("bob")
    assert who_asks(served.asked[-1]) == "bob"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_other_server_sees_who_asks(cloud, status) -> None:
    """Object stores follow no redirects at all; web servers are followed, without saying who."""
    with ScriptedServer(lambda asked: Said(200, VERSION, b"stolen")) as other:
        fields = (("Location", f"{other.url}/there"), ("x-amz-bucket-region", "127.0.0.1/x"))
        with ScriptedServer(lambda asked: Said(status, fields)) as server:
            store = await opened(cloud, server.url, "alice")
            if cloud is http:
                assert (await store.read("k")).value == b"stolen"
                assert [who_asks(asked) for asked in other.asked] == [""]
                return
            calls = [lambda: store.read("k"), lambda: store.write("k", b"1"), store.list,
                     lambda: store.delete_range(ts.KvStore.KeyRange("a", "b"))]  # fmt: skip
            for call in calls:
                with pytest.raises(FailedPrecondition) as caught:
                    await call()
                assert "alice" not in str(caught.value)
            assert other.asked == []


async def test_no_error_shows_who_asks(cloud) -> None:
    for status in (400, 401, 403, 404, 409, 412, 500, 503):
        with ScriptedServer(lambda asked: Said(status, VERSION)) as server:  # noqa: B023
            store = await opened(cloud, server.url, "alice")
            calls = [store.read("k"), store.list()]
            if cloud is not http:
                calls += [store.write("k", b"1"), store.write("k", b"1", if_equal=b"\0" * 9)]
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                shown = f"{outcome!r} {outcome} {getattr(outcome, '__notes__', '')}"
                cause = getattr(outcome, "__cause__", None)
                shown += f"{cause!r} {cause}"
                assert "alice" not in shown
                assert base64.b64encode(b"alice").decode() not in shown
                assert "Signature" not in shown
