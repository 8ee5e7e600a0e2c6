"""``s3`` when the network or the server fails."""

from __future__ import annotations

import pytest

from asynctensor.kvstores.s3.store import S3Store
from asynctensor.testing.fault_proxy import FaultProxy
from asynctensor.testing.network_suite import NetworkSuite
from tests.kvstores.begun import BegunS3Store, only_reading
from tests.kvstores.resuming_suite import ResumingSuite
from tests.kvstores.s3.buckets import new_store


class TestS3Faults(ResumingSuite, NetworkSuite):
    """Behind a proxy."""

    cancelled_reads = 160

    @pytest.fixture
    def proxy(self, s3_server, fault_proxy_to) -> FaultProxy:
        return fault_proxy_to(*s3_server.address)

    @pytest.fixture
    def store(self, s3, proxy) -> S3Store:
        return new_store(s3, endpoint=proxy.url)


class TestFaultsOfBegunReads(TestS3Faults):
    """Behind a proxy, its reads begun without a task; writes and listings are the same."""

    @pytest.fixture
    def store(self, s3, proxy) -> S3Store:
        return only_reading(new_store(s3, endpoint=proxy.url, kind=BegunS3Store))
