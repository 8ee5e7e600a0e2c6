"""Azure through fsspec: adlfs, on a server that speaks Azure's Blob Storage."""

from __future__ import annotations

from typing import Any, ClassVar

import fsspec
import pytest

from asynctensor.integrations.fsspec import kvstore
from asynctensor.integrations.fsspec_calls import FilesystemCalls
from asynctensor.integrations.fsspec_store import FsspecStore
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite
from tests.integrations.heavy.conditional_writes import check_a_repository, check_creating
from tests.kvstores.azure.containers import new_container
from tests.servers.clouds import CloudServer

pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


@pytest.fixture
def azure(azure_server: CloudServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Secrets stand in the environment: so what is pickled finds them again."""
    monkeypatch.setenv("AZURE_STORAGE_KEY", azure_server.secret_key)
    connection = f"DefaultEndpointsProtocol=http;AccountName={azure_server.access_key};"
    connection += f"AccountKey={azure_server.secret_key};BlobEndpoint={azure_server.endpoint};"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    return fsspec.filesystem("az")


class TestAzure(KeyValueStoreSuite):
    # Azure takes backslashes for slashes.
    special_keys: ClassVar = [key for key in KeyValueStoreSuite.special_keys if "\\" not in key]

    @pytest.fixture
    def store(self, azure: Any, azure_server: CloudServer) -> KeyValueStore:
        return FsspecStore(FilesystemCalls(azure), f"{new_container(azure_server)}/a/")


async def test_it_can_hold_repositories(azure: Any, azure_server: CloudServer) -> None:
    place = new_container(azure_server)
    await check_creating(kvstore(azure, f"{place}/a"))
    await check_a_repository(kvstore(azure, f"{place}/lab"))
