"""Buckets on the server that stands for Google Cloud Storage."""

from __future__ import annotations

import itertools
import json
import os
import urllib.request
from collections.abc import Callable
from typing import Any

from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.message import Request
from asynctensor.kvstores.gcs.address import Address
from asynctensor.kvstores.gcs.asking import GcsAsker
from asynctensor.kvstores.gcs.resumable import Uploads
from asynctensor.kvstores.gcs.store import GcsStore
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.google_credentials import GcsUserProject, GoogleCredentials
from asynctensor.scheduler.retry import RetryPolicy
from asynctensor.testing.network_faults import Fault, Refuse
from tests.servers.clouds import CloudServer

#: Repeats soon, and not for ever.
EXCHANGE = Exchange(RetryPolicy(6, 0.001, 0.01))
_serial = itertools.count()


def new_bucket(server: CloudServer, **settings: Any) -> str:
    """A new bucket; `settings`: see `gcs_objects.Bucket`."""
    name = f"asynctensor-{os.getpid()}-{next(_serial)}"

    async def create() -> None:
        asker = GcsAsker(
            EXCHANGE, Address(name, server.endpoint), GoogleCredentials(), GcsUserProject()
        )
        url = f"{server.endpoint}/storage/v1/b?project={server.access_key}"
        body = json.dumps({"name": name}).encode()
        answer = await asker.ask("POST", None, url=url, body=body)
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


def meanwhile(
    server: CloudServer, store: GcsStore, moment: Callable[[bytes], bool], value: bytes
) -> Fault:
    """Writes ``k`` as somebody else when a request is about to reach the server; for a proxy."""
    url = f"{server.endpoint}/upload/storage/v1/b/{store._asker.address.bucket}/o"

    def when(head: bytes) -> bool:
        if moment(head):
            asked = f"{url}?uploadType=media&name=k"
            urllib.request.urlopen(urllib.request.Request(asked, value, method="POST")).close()
        return False

    return Refuse(when=when)


def new_store(
    server: CloudServer,
    *,
    endpoint: str | None = None,
    uploads: Uploads | None = None,
    kind: type[GcsStore] = GcsStore,
) -> GcsStore:
    """A store of a new bucket; `endpoint`: reached there; `kind`: of which class."""
    address = Address(new_bucket(server), endpoint or server.endpoint)
    return kind(address, EXCHANGE, uploads=uploads or Uploads())
