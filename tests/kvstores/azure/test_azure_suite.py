"""The whole contract of stores, on the server that stands for Azure."""

from __future__ import annotations

from typing import ClassVar

import pytest

from asynctensor.kvstores.azure.blocks import Uploads
from asynctensor.kvstores.azure.store import AzureStore
from asynctensor.testing.kvstore_race_suite import KeyValueStoreRaceSuite
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite
from tests.kvstores.azure.containers import new_store

#: Without those that Azure does not keep: see `test_keys_that_no_blob_can_have`.
KEYS = [key for key in KeyValueStoreSuite.special_keys if key not in ("back\\slash", "a..")]


class TestAzureStore(KeyValueStoreSuite):
    """Of whole blobs."""

    special_keys: ClassVar = KEYS
    large_value_size: ClassVar[int] = 3_000_003
    rounds: ClassVar[int] = 3

    @pytest.fixture
    def store(self, azure) -> AzureStore:
        return new_store(azure)


class TestAzureStoreInBlocks(KeyValueStoreRaceSuite):
    """Races of blobs in blocks."""

    rounds: ClassVar[int] = 2

    @pytest.fixture
    def store(self, azure) -> AzureStore:
        return new_store(azure, uploads=Uploads(whole=0, block=40_000))
