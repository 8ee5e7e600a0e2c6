"""Containers on the server that stands for Azure."""

from __future__ import annotations

import itertools
import os

from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores.azure.address import Address
from asynctensor.kvstores.azure.asking import AzureAsker
from asynctensor.kvstores.azure.blocks import Uploads
from asynctensor.kvstores.azure.store import AzureStore
from asynctensor.runtime.azure_credentials import AzureCredentials
from asynctensor.runtime.event_loop import start
from asynctensor.scheduler.retry import RetryPolicy
from tests.servers.clouds import CloudServer

#: Repeats soon, and not for ever.
EXCHANGE = Exchange(RetryPolicy(6, 0.001, 0.01))
#: Whose key is in the environment: it survives pickling.
OURS = AzureCredentials("shared_key")
_serial = itertools.count()


def new_container(server: CloudServer, *, public: bool = False) -> str:
    """A new container; `public`: anybody may read and list it."""
    name = f"asynctensor-{os.getpid()}-{next(_serial)}"
    access = (("x-ms-blob-public-access", "container"),) if public else ()

    async def create() -> None:
        asker = AzureAsker(EXCHANGE, Address(server.access_key, name, server.endpoint), OURS)
        answer = await asker.ask("PUT", None, fields=access)
        assert answer.status == 201, bytes(answer.body)

    start(create).result()
    return name


def new_store(
    server: CloudServer,
    *,
    endpoint: str | None = None,
    uploads: Uploads | None = None,
    kind: type[AzureStore] = AzureStore,
) -> AzureStore:
    """A store of a new container; `endpoint`: reached there; `kind`: of which class."""
    address = Address(server.access_key, new_container(server), endpoint or server.endpoint)
    return kind(address, EXCHANGE, OURS, uploads=uploads or Uploads())
