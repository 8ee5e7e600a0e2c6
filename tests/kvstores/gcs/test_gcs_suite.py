"""The whole contract of stores, on the server that stands for Google Cloud Storage."""

from __future__ import annotations

from typing import ClassVar

import pytest

from asynctensor.kvstores.gcs.store import GcsStore
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite
from tests.kvstores.gcs.buckets import new_store


class TestGcsStore(KeyValueStoreSuite):
    large_value_size: ClassVar[int] = 3_000_003
    rounds: ClassVar[int] = 3

    @pytest.fixture
    def store(self, gcs_server) -> GcsStore:
        return new_store(gcs_server)
