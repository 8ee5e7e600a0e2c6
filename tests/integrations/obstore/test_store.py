"""obstore's stores as kvstores: the public suite, and what is particular to them."""

from __future__ import annotations

import gc
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from obstore.store import AzureStore, GCSStore, HTTPStore, LocalStore, MemoryStore, S3Store

import asynctensor as at
from asynctensor.errors import (
    Aborted,
    IncompatibleType,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unimplemented,
)
from asynctensor.integrations.obstore import kvstore
from asynctensor.integrations.obstore_place import ObstorePlace
from asynctensor.integrations.obstore_store import ObstoreStore
from asynctensor.storage.generation import NO_VALUE
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite

SECRET = "very secret"


class TestMemoryStore(KeyValueStoreSuite):
    @pytest.fixture
    def store(self) -> KeyValueStore:
        return kvstore(MemoryStore()).store


def test_what_is_in_memory_stays_in_its_process() -> None:
    pickled = pickle.dumps(kvstore(MemoryStore()))
    gc.collect()
    with pytest.raises(Unimplemented, match="stays in its process"):
        pickle.loads(pickled)


class TestLocalStore(KeyValueStoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> KeyValueStore:
        return ObstoreStore(
            ObstorePlace(LocalStore(tmp_path / "o", mkdir=True, automatic_cleanup=True))
        )


async def test_an_array_in_it_by_object_and_by_spec(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    opened = kvstore(LocalStore(tmp_path / "data"), "a/")
    array = await at.open(
        {"driver": "zarr3"}, kvstore=opened, create=True, dtype=at.uint16, shape=[10, 10]
    )
    await array[2:5].write(7)
    spec = {"driver": "obstore", "url": (tmp_path / "data").as_uri(), "path": "a/"}
    again = await at.open({"driver": "zarr3", "kvstore": spec})
    assert int((await again.read()).sum()) == 210
    loaded = pickle.loads(pickle.dumps(again))
    assert np.array_equal(await loaded.read(), await again.read())
    assert (await at.KvStore.open(spec)).spec().to_json() == spec


async def test_the_object_itself_is_used_wherever_it_goes() -> None:
    opened = kvstore(MemoryStore(), "a/")
    array = await at.open(
        {"driver": "zarr3"}, kvstore=opened, create=True, dtype=at.uint16, shape=[10, 10]
    )
    await array[2:5].write(7)
    assert sorted(await opened.list()) == [b"c/0/0", b"zarr.json"]
    assert int((await pickle.loads(pickle.dumps(array)).read()).sum()) == 210
    group = await at.create_group(opened / "g/")
    await group.create_array("b", dtype=at.uint8, shape=[2])
    assert b"g/b/zarr.json" in await opened.list()


async def test_a_repository_in_it() -> None:
    opened = kvstore(MemoryStore(), "lab/")
    repo = await at.Repository.open(opened.spec(), create=True)
    values = repo.kvstore()
    late = repo.transaction(message="late")
    assert (await values.with_transaction(late).read("k")).state == "missing"
    await values.with_transaction(late).write("k", b"late")
    async with repo.transaction(message="first") as txn:
        await values.with_transaction(txn).write("k", b"first")
    with pytest.raises(Aborted):
        await late.commit_async()
    assert (await values.read("k")).value == b"first"


async def test_a_wrong_etag_is_no_version_of_ours() -> None:
    opened = kvstore(MemoryStore())
    await opened.write("k", b"1")
    assert (await opened.write("k", b"2", if_equal=b"nonsense")).generation == b""
    assert (await opened.read("k", if_equal=b"nonsense")).state == "unspecified"
    assert (await opened.read("k")).value == b"1"


async def test_what_local_files_cannot_do(tmp_path: Path) -> None:
    opened = kvstore(LocalStore(tmp_path))
    first = await opened.write("k", b"1")
    with pytest.raises(Unimplemented, match="creates only if absent"):
        await opened.write("k", b"2", if_equal=first.generation)
    with pytest.raises(Unimplemented, match="deletes without conditions only"):
        await opened.write("k", None, if_equal=first.generation)
    assert (await opened.write("k", None, if_equal=NO_VALUE)).generation == b""


@pytest.mark.parametrize("key", ["", "a//b", "/a", "a/", "..", "a/../b", "."])
async def test_keys_that_name_nothing(key: str) -> None:
    opened = kvstore(MemoryStore())
    for call in (opened.read(key), opened.write(key, b"")):
        with pytest.raises(InvalidArgument, match="can name no object"):
            await call


def test_secrets_are_not_told() -> None:
    store = S3Store(
        "bucket", prefix="p/q", region="eu-west-1", endpoint="http://localhost:1",
        access_key_id="name", secret_access_key=SECRET, client_options={"allow_http": True},
    )  # fmt: skip
    opened = kvstore(store, "a/")
    expected = {
        "driver": "obstore", "url": "s3://bucket/p/q", "path": "a/",
        "config": {
            "region": "eu-west-1", "endpoint": "http://localhost:1", "allow_http": "true",
        },
    }  # fmt: skip
    json = opened.spec().to_json()
    assert len(json.pop("opened")) == 32
    assert json == expected
    shown = [repr(opened), repr(opened.store), pickle.dumps(opened).decode("latin-1")]
    assert not [text for text in shown if SECRET in text or "name" in text.split("'")]
    other = S3Store(
        "bucket", prefix="p/q", region="eu-west-1", endpoint="http://localhost:1",
        access_key_id="name", secret_access_key="other", client_options={"allow_http": True},
    )  # fmt: skip
    assert kvstore(other).store.identity != opened.store.identity


CLIENT = {"allow_http": True, "timeout": "5s"}
PROXY = {"proxy_url": f"http://me:{SECRET}@localhost:2", "default_headers": {"x-key": SECRET}}


@pytest.mark.parametrize(
    "store",
    [
        S3Store(
            "bucket", endpoint="http://localhost:1", checksum_algorithm="SHA256",
            client_options={**CLIENT, **PROXY},
        ),
        GCSStore("bucket", base_url="http://localhost:1", client_options={**CLIENT, **PROXY}),
        AzureStore(
            "bucket", account_name="a", endpoint="http://localhost:1/a",
            client_options={**CLIENT, **PROXY},
        ),
        HTTPStore("http://localhost:1/a", client_options={**CLIENT, **PROXY}),
    ],
    ids=["s3", "gcs", "azure", "http"],
)  # fmt: skip
async def test_who_opens_it_again_asks_the_same_server(store: Any) -> None:
    """And not the cloud that the URL names, where obstore was told of another."""
    given = kvstore(store)
    json = given.spec().to_json()
    del json["opened"]
    assert SECRET not in str(json)
    again = (await at.KvStore.open(json)).store
    for found in (again, pickle.loads(pickle.dumps(again))):
        place = found.base._place if hasattr(found, "base") else found._place
        config = dict(getattr(store, "config", None) or {})
        assert dict(getattr(place.store, "config", None) or {}) == config
        assert place.store.client_options == {"allow_http": "true", "timeout": "5s"}
        assert place.url == ObstorePlace(store).url


async def test_a_server_that_is_not_there() -> None:
    retry: Any = {"max_retries": 0}
    store = HTTPStore(
        "http://127.0.0.1:9/", client_options={"allow_http": True}, retry_config=retry
    )
    opened = kvstore(store)
    with pytest.raises(Unavailable) as caught:
        await opened.read("k")
    assert (caught.value.key, caught.value.operation) == ("k", "read")
    with pytest.raises(Unimplemented, match="cannot write"):
        await opened.write("k", b"1")


async def test_wrong_specs() -> None:
    for spec, message in (
        ({}, '"url": Expected the URL of a store'),
        ({"url": 5}, "Expected string"),
        ({"url": "nonsense://a"}, "obstore cannot open"),
        ({"url": "memory:///", "config": 5}, "Expected object"),
        ({"url": "memory:///", "confg": {}}, "confg"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            await at.KvStore.open({"driver": "obstore", **spec})
    with pytest.raises(IncompatibleType, match="expected a store of obstore"):
        kvstore(5)
    with pytest.raises(NotFound):
        await at.open({"driver": "zarr3", "kvstore": {"driver": "obstore", "url": "memory:///"}})
