"""The whole contract of stores, on each server; what is written is written beside the server."""

from __future__ import annotations

from typing import ClassVar

import pytest

from asynctensor.kvstores.http.address import Address
from asynctensor.kvstores.http.store import HttpStore
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite
from tests.kvstores.begun import BegunHttpStore
from tests.kvstores.http.served_folder import ServedFolder


class TestHttpStore(KeyValueStoreSuite):
    """Of each server."""

    large_value_size: ClassVar[int] = 1_000_003
    rounds: ClassVar[int] = 3

    kind: ClassVar[type[HttpStore]] = HttpStore

    @pytest.fixture
    def store(self, http_server) -> ServedFolder:
        http = self.kind(Address(http_server.url.rstrip("/")))
        return ServedFolder(http, http_server.folder, lists=http_server.lists)

    async def test_special_characters(self, store: ServedFolder, http_server) -> None:
        if http_server.name == "nginx":
            pytest.xfail("its index leaves out names that begin with a dot")
        await super().test_special_characters(store)


class TestBegunReads(TestHttpStore):
    """Of each server, its reads begun without a task."""

    kind: ClassVar[type[HttpStore]] = BegunHttpStore
