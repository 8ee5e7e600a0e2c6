"""Buckets on the server that stands for Google Cloud Storage."""

from __future__ import annotations

import itertools
import json
import os
from typing import Any

from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.message import Request
from asynctensor.kvstores.gcs.address import Address
from asynctensor.kvstores.gcs.asking import Asker
from asynctensor.kvstores.gcs.resumable import Uploads
from asynctensor.kvstores.gcs.store import GcsStore
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.google_credentials import GcsUserProject, GoogleCredentials
from asynctensor.scheduler.retry import RetryPolicy
from tests.servers.clouds import CloudServer

#: Repeats soon, and not for ever.
EXCHANGE = Exchange(RetryPolicy(6, 0.001, 0.01))
_serial = itertools.count()


def new_bucket(server: CloudServer, **settings: Any) -> str:
    """A new bucket; `settings`: see `gcs_objects.Bucket`."""
    name = f"asynctensor-{os.getpid()}-{next(_serial)}"

    async def create() -> None:
        asker = Asker(
            EXCHANGE, Address(name, server.endpoint), GoogleCredentials(), GcsUserProject()
        )
        url = f"{server.endpoint}/storage/v1/b?project={server.access_key}"
        body = json.dumps({"name": name}).encode()
        answer = await asker.ask("POST", url, body=body)
        assert answer.status == 200, bytes(answer.body)

    start(create).result()
    if settings:
        control(server, name, **settings)
    return name


def control(server: CloudServer, bucket: str, **settings: Any) -> dict[str, int]:
    """Changes the settings of a bucket of our own server, and tells what is going on there."""

    async def ask() -> dict[str, int]:
        url = f"{server.endpoint}/control/{bucket}"
        answer = await EXCHANGE.send(Request("POST", url, body=json.dumps(settings).encode()))
        found: dict[str, int] = json.loads(answer.body)
        return found

    return start(ask).result()


def new_store(
    server: CloudServer, *, endpoint: str | None = None, uploads: Uploads | None = None
) -> GcsStore:
    """A store of a new bucket; `endpoint`: reached there."""
    address = Address(new_bucket(server), endpoint or server.endpoint)
    return GcsStore(address, EXCHANGE, uploads=uploads or Uploads())
