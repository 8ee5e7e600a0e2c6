"""``http`` when the network or the server fails."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest

from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores.http.address import Address
from asynctensor.kvstores.http.store import HttpStore
from asynctensor.scheduler.retry import RetryPolicy
from asynctensor.testing.fault_proxy import FaultProxy
from asynctensor.testing.network_suite import NetworkSuite
from tests.kvstores.begun import BegunHttpStore

EXCHANGE = Exchange(RetryPolicy(5, 0.001, 0.002))


class TestHttpFaults(NetworkSuite):
    """Behind a proxy."""

    kind: ClassVar[type[HttpStore]] = HttpStore

    @pytest.fixture
    def proxy(self, http_server, fault_proxy_to) -> FaultProxy:
        return fault_proxy_to(http_server.host, http_server.port)

    @pytest.fixture
    def store(self, proxy, http_server) -> HttpStore:
        self.folder = http_server.folder
        store = self.kind(Address(proxy.url), EXCHANGE)
        store.capabilities = replace(store.capabilities, listable=http_server.lists)
        return store

    async def put(self, store, key, value) -> None:
        path = self.folder / key
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(value)


class TestFaultsOfBegunReads(TestHttpFaults):
    """Behind a proxy, its reads begun without a task."""

    kind: ClassVar[type[HttpStore]] = BegunHttpStore
