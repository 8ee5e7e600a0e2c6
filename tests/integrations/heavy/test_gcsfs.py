"""Google Cloud Storage through fsspec: gcsfs, on our stand-in."""

from __future__ import annotations

from typing import Any

import pytest
from gcsfs.core import GCSFileSystem

from asynctensor.integrations.fsspec import kvstore
from asynctensor.integrations.fsspec_calls import FilesystemCalls
from asynctensor.integrations.fsspec_store import FsspecStore
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite
from tests.integrations.heavy.conditional_writes import check_a_repository, check_creating
from tests.kvstores.gcs.buckets import new_bucket
from tests.servers.clouds import CloudServer

pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


@pytest.fixture
def gcs(gcs_server: CloudServer) -> Any:
    """The file system that asks by HTTP alone; another one asks by gRPC what buckets are."""
    return GCSFileSystem(token="anon", endpoint_url=gcs_server.endpoint)


class TestGcs(KeyValueStoreSuite):
    @pytest.fixture
    def store(self, gcs: Any, gcs_server: CloudServer) -> KeyValueStore:
        return FsspecStore(FilesystemCalls(gcs), f"{new_bucket(gcs_server)}/a/")


async def test_it_can_hold_repositories(gcs: Any, gcs_server: CloudServer) -> None:
    place = new_bucket(gcs_server)
    await check_creating(kvstore(gcs, f"{place}/a"))
    await check_a_repository(kvstore(gcs, f"{place}/lab"))
