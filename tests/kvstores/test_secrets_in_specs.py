"""Secrets that stand in a spec as they are: they open it, and are nowhere to be seen."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import asynctensor as ts
from asynctensor.errors import InvalidArgument, PermissionDenied
from tests.servers.scripted import Asked, Said, ScriptedServer

GIVEN: dict[str, tuple[dict[str, Any], str]] = {
    "s3": (
        {"aws_credentials": {
            "type": "static", "access_key_id": "AKID", "secret_access_key": "hidden-key"
        }},
        "Credential=AKID/",
    ),
    "gcs": ({"gcs_credentials": {"type": "token", "token": "hidden-token"}}, "hidden-token"),
    "http": ({"http_credentials": {"type": "bearer", "token": "hidden-token"}}, "hidden-token"),
}  # fmt: skip


def json_of(driver: str, url: str) -> dict[str, Any]:
    """A spec with its secret."""
    place = {"base_url": f"{url}/"} if driver == "http" else {"bucket": "abc", "endpoint": url}
    return {"driver": driver, **place, **GIVEN[driver][0]}


@pytest.fixture(params=GIVEN)
def driver(request) -> str:
    return request.param


@pytest.fixture
def server() -> Any:
    def script(asked: Asked) -> Said:
        return Said(200, (("ETag", '"1"'), ("X-Goog-Generation", "1")), b"value")

    with ScriptedServer(script) as made:
        yield made


async def test_they_open_what_they_stand_in(driver, server) -> None:
    json = json_of(driver, server.url)
    spec = ts.KvStore.Spec(json)
    for each in (json, spec, ts.Spec({"driver": "zarr3", "kvstore": json}).kvstore):
        server.asked.clear()
        store = await ts.KvStore.open(each)
        assert (await store.read("k")).value == b"value"
        assert [GIVEN[driver][1] in a.fields["authorization"] for a in server.asked] == [True]
    opened = ts.open({"driver": "json", "kvstore": {**json, "path": "k"}})
    server.script = lambda asked: Said(
        200, (("ETag", '"1"'), ("X-Goog-Generation", "1")), b'{"a": 1}'
    )
    assert (await (await opened).read()).item() == {"a": 1}
    assert GIVEN[driver][1] in server.asked[-1].fields["authorization"]


async def test_they_are_not_shown(driver, server) -> None:
    json = json_of(driver, server.url)
    spec = ts.KvStore.Spec(json)
    store = await ts.KvStore.open(spec)
    for each in (spec, store, store.spec(), store.spec(retain_context=True)):
        shown = [repr(each), str(each.to_json()) if isinstance(each, ts.KvStore.Spec) else ""]
        assert not [text for text in shown if "hidden" in text]
        assert b"hidden" not in pickle.dumps(each)
    # What is left of them opens nothing, and says why.
    with pytest.raises(InvalidArgument, match="not kept in specs and pickles"):
        ts.KvStore.open(spec.to_json()).result()
    server.asked.clear()
    again = await ts.KvStore.open(pickle.loads(pickle.dumps(spec)))
    with pytest.raises(PermissionDenied, match="left behind where it was pickled"):
        await again.read("k")
    assert server.asked == []


async def test_nor_are_those_in_a_context(driver, server) -> None:
    secret, sent = GIVEN[driver]
    place = {name: each for name, each in json_of(driver, server.url).items() if name not in secret}
    spec = ts.KvStore.Spec({**place, "context": secret})
    of_array = ts.Spec({"driver": "json", "kvstore": {**place, "path": "k"}, "context": secret})
    server.script = lambda asked: Said(200, (("ETag", '"1"'), ("X-Goog-Generation", "1")), b"[]")
    store = await ts.KvStore.open(spec)
    assert (await store.read("k")).value == b"[]"
    assert (await (await ts.open(of_array)).read()).item() == []
    assert [sent in asked.fields["authorization"] for asked in server.asked] == [True] * 2
    for each in (spec, of_array, of_array.kvstore, store.spec(), copy.deepcopy(of_array)):
        assert "hidden" not in repr(each) + str(each.to_json()) + str(pickle.dumps(each))
    assert spec == ts.KvStore.Spec({**place, "context": secret})
    for left in (spec.to_json(), pickle.loads(pickle.dumps(spec))):
        with pytest.raises(InvalidArgument, match="not kept in specs and pickles"):
            await ts.KvStore.open(left)
