"""A real asynchronous file system of fsspec: s3fs, on a server that speaks S3."""

from __future__ import annotations

import uuid
from typing import Any

import fsspec
import pytest

import asynctensor as at
from asynctensor.integrations.fsspec import kvstore
from asynctensor.integrations.fsspec_calls import FilesystemCalls
from asynctensor.integrations.fsspec_store import FsspecStore
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite
from tests.servers.clouds import CloudServer


@pytest.fixture
def s3(s3_server: CloudServer) -> Any:
    return fsspec.filesystem(
        "s3",
        key=s3_server.access_key,
        secret=s3_server.secret_key,
        client_kwargs={"endpoint_url": s3_server.endpoint},
    )


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"b{uuid.uuid4().hex}"
    s3.mkdir(name)
    return name


class TestS3(KeyValueStoreSuite):
    equal_bytes_may_be_equal_generations = True

    @pytest.fixture
    def store(
        self, s3: Any, bucket: str, s3_server: CloudServer, monkeypatch: pytest.MonkeyPatch
    ) -> KeyValueStore:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
        return FsspecStore(FilesystemCalls(s3), f"{bucket}/a/")

    async def test_empty_value_is_a_value(self, store: KeyValueStore) -> None:
        """Left out: moto never answers a request of aiobotocore's with an empty body."""

    async def test_pickle(self, store: KeyValueStore) -> None:
        """Without the secret it is another store, of whoever has secrets there."""


async def test_a_repository_in_it(s3: Any, bucket: str) -> None:
    opened = kvstore(s3, f"{bucket}/lab")
    assert opened.store.capabilities.can_create_if_absent
    array = await at.open(
        {"driver": "zarr3"}, kvstore=opened / "a/", create=True, dtype=at.uint8, shape=[100]
    )
    await array[10:20].write(3)
    assert int((await array.read()).sum()) == 30
