"""``gcs`` when the network or the server fails."""

from __future__ import annotations

import pytest

from asynctensor.kvstores.gcs.store import GcsStore
from asynctensor.testing.fault_proxy import FaultProxy
from asynctensor.testing.network_suite import NetworkSuite
from tests.kvstores.begun import BegunGcsStore, only_reading
from tests.kvstores.gcs.buckets import new_store
from tests.kvstores.resuming_suite import ResumingSuite


class TestGcsFaults(ResumingSuite, NetworkSuite):
    """Behind a proxy."""

    cancelled_reads = 160

    @pytest.fixture
    def proxy(self, gcs_server, fault_proxy_to) -> FaultProxy:
        return fault_proxy_to(*gcs_server.address)

    @pytest.fixture
    def store(self, gcs_server, proxy) -> GcsStore:
        return new_store(gcs_server, endpoint=proxy.url)


class TestFaultsOfBegunReads(TestGcsFaults):
    """Behind a proxy, its reads begun without a task; writes and listings are the same."""

    @pytest.fixture
    def store(self, gcs_server, proxy) -> GcsStore:
        return only_reading(new_store(gcs_server, endpoint=proxy.url, kind=BegunGcsStore))
