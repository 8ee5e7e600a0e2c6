"""A real asynchronous file system of fsspec: s3fs, on a server that speaks S3."""

from __future__ import annotations

import pickle
import uuid
from typing import Any

import fsspec
import pytest

from asynctensor.integrations.fsspec import kvstore
from asynctensor.integrations.fsspec_calls import FilesystemCalls
from asynctensor.integrations.fsspec_store import FsspecStore
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite
from tests.integrations.heavy.conditional_writes import check_a_repository, check_creating
from tests.servers.clouds import CloudServer


@pytest.fixture
def s3(s3_server: CloudServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Secrets stand in the environment: so what is pickled finds them again."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    # An empty body that is announced is one that moto waits for, forever.
    monkeypatch.setenv("BOTO_EXPERIMENTAL__NO_EMPTY_CONTINUE", "true")
    return fsspec.filesystem("s3", client_kwargs={"endpoint_url": s3_server.endpoint})


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"b{uuid.uuid4().hex}"
    s3.mkdir(name)
    return name


class TestS3(KeyValueStoreSuite):
    equal_bytes_may_be_equal_generations = True

    @pytest.fixture
    def store(self, s3: Any, bucket: str) -> KeyValueStore:
        return FsspecStore(FilesystemCalls(s3), f"{bucket}/a/")


async def test_without_its_secret_it_is_another_store(
    s3: Any, s3_server: CloudServer, bucket: str
) -> None:
    given = fsspec.filesystem(
        "s3", key="somebody", secret="else", client_kwargs={"endpoint_url": s3_server.endpoint}
    )
    store = FsspecStore(FilesystemCalls(given), f"{bucket}/a/")
    pickled = pickle.dumps(store)
    assert b"somebody" not in pickled
    loaded = pickle.loads(pickled)
    assert loaded.identity != store.identity


async def test_it_can_hold_repositories(s3: Any, bucket: str) -> None:
    await check_creating(kvstore(s3, f"{bucket}/a"))
    await check_a_repository(kvstore(s3, f"{bucket}/lab"))
