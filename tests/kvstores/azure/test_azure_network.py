"""``azure`` when the network or the server fails."""

from __future__ import annotations

import pytest

from asynctensor.kvstores.azure.store import AzureStore
from asynctensor.testing.fault_proxy import FaultProxy
from asynctensor.testing.network_suite import NetworkSuite
from tests.kvstores.azure.containers import new_store
from tests.kvstores.begun import BegunAzureStore, only_reading
from tests.kvstores.resuming_suite import ResumingSuite


class TestAzureFaults(ResumingSuite, NetworkSuite):
    """Behind a proxy."""

    cancelled_reads = 160

    @pytest.fixture
    def proxy(self, azure_server, fault_proxy_to) -> FaultProxy:
        return fault_proxy_to(*azure_server.address)

    @pytest.fixture
    def store(self, azure, proxied) -> AzureStore:
        return new_store(azure, endpoint=proxied)


class TestFaultsOfBegunReads(TestAzureFaults):
    """Behind a proxy, its reads begun without a task; writes and listings are the same."""

    @pytest.fixture
    def store(self, azure, proxied) -> AzureStore:
        return only_reading(new_store(azure, endpoint=proxied, kind=BegunAzureStore))
