"""obstore's stores on servers that stand for clouds: the public suite."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from obstore.store import AzureStore, GCSStore, S3Store

import asynctensor as at
from asynctensor.errors import NotFound, Unavailable
from asynctensor.integrations.obstore import kvstore
from asynctensor.integrations.obstore_place import ObstorePlace
from asynctensor.integrations.obstore_store import ObstoreStore
from asynctensor.storage.generation import NO_VALUE
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite
from tests.kvstores.azure.containers import new_container
from tests.kvstores.gcs import buckets
from tests.kvstores.s3.buckets import new_bucket
from tests.servers.clouds import CloudServer

HTTP: Any = {"allow_http": True}


@pytest.fixture
def s3(s3_server: CloudServer, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    """A new bucket; the secrets stand in the environment, where whoever unpickles it finds them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    return S3Store(
        new_bucket(s3_server),
        region=s3_server.region,
        endpoint=s3_server.endpoint,
        # So that whoever is refused knows that nothing of it was done.
        retry_config={"max_retries": 0},
    )


class TestS3(KeyValueStoreSuite):
    equal_bytes_may_be_equal_generations = True

    @pytest.fixture
    def store(self, s3: S3Store) -> KeyValueStore:
        return ObstoreStore(ObstorePlace(s3))


@pytest.fixture
def azure(azure_server: CloudServer, monkeypatch: pytest.MonkeyPatch) -> AzureStore:
    """A new container, as for S3."""
    for name in ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"):
        monkeypatch.setenv(name, azure_server.access_key)
    for name in ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"):
        monkeypatch.setenv(name, azure_server.secret_key)
    monkeypatch.setenv("AZURE_ALLOW_HTTP", "true")
    return AzureStore(
        new_container(azure_server),
        endpoint=azure_server.endpoint,
        retry_config={"max_retries": 0},
    )


class TestAzure(KeyValueStoreSuite):
    # Azure takes backslashes for slashes.
    special_keys: ClassVar = [key for key in KeyValueStoreSuite.special_keys if "\\" not in key]

    @pytest.fixture
    def store(self, azure: AzureStore) -> KeyValueStore:
        return ObstoreStore(ObstorePlace(azure))


@pytest.fixture
def gcs(gcs_server: CloudServer, monkeypatch: pytest.MonkeyPatch) -> GCSStore:
    """A new bucket, as for S3."""
    # Unsigned, obstore would not write at all.
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "token")
    return GCSStore(
        buckets.new_bucket(gcs_server),
        base_url=gcs_server.endpoint,
        client_options=HTTP,
        retry_config={"max_retries": 0},
    )


class TestGcs(KeyValueStoreSuite):
    @pytest.fixture
    def store(self, gcs: GCSStore) -> KeyValueStore:
        return ObstoreStore(ObstorePlace(gcs))


async def test_where_there_is_no_bucket(gcs: GCSStore, s3: S3Store) -> None:
    """A missing bucket is no condition that was not met."""
    for store in (
        GCSStore("no-such-bucket", base_url=gcs.config["base_url"], client_options=HTTP),
        S3Store("no-such-bucket", endpoint=s3.config["endpoint"], region="us-east-1"),
    ):
        with pytest.raises(NotFound, match=r"(?i)bucket|404"):
            await kvstore(store).write("k", b"1", if_equal=NO_VALUE)


async def test_a_refusal_may_be_of_its_own_write_where_obstore_repeats(
    s3: S3Store, s3_server: CloudServer
) -> None:
    patient = S3Store(s3.config["bucket"], region=s3_server.region, endpoint=s3_server.endpoint)
    one, other = kvstore(s3), kvstore(patient)
    await one.write("k", b"1", if_equal=NO_VALUE)
    assert (await one.write("k", b"1", if_equal=NO_VALUE)).generation == b""
    assert (await other.write("k", b"2", if_equal=NO_VALUE)).generation == b""
    with pytest.raises(Unavailable, match="is unknown"):
        await other.write("k", b"1", if_equal=NO_VALUE)


async def test_a_repository_in_it(s3: S3Store) -> None:
    opened = kvstore(s3, "lab/")
    repo = await at.Repository.open(opened.spec(), create=True)
    async with repo.transaction(message="first") as txn:
        array = await at.open(
            {"driver": "zarr3"}, kvstore=repo.kvstore("a/"), transaction=txn, create=True,
            dtype=at.uint8, shape=[100],
        )  # fmt: skip
        await array[10:20].write(3)
    found = await at.open({"driver": "zarr3"}, kvstore=repo.kvstore("a/"))
    assert int((await found.read()).sum()) == 30
    assert next(iter(repo.log())).message == "first"
