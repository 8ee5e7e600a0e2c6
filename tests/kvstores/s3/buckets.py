"""Buckets on the servers that stand for S3."""

from __future__ import annotations

import itertools
import os

from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores.s3.address import Address
from asynctensor.kvstores.s3.asking import S3Asker
from asynctensor.kvstores.s3.store import S3Store
from asynctensor.kvstores.s3.writing import Conditions
from asynctensor.runtime.aws_credentials import AwsCredentials
from asynctensor.runtime.event_loop import start
from asynctensor.scheduler.retry import RetryPolicy
from tests.servers.clouds import CloudServer

#: Repeats soon, and not for ever.
EXCHANGE = Exchange(RetryPolicy(6, 0.001, 0.01))
#: Whose keys are in the environment: they survive pickling.
OURS = AwsCredentials("environment")
_serial = itertools.count()


def conditions_of(server: CloudServer) -> Conditions:
    """What a server checks, and how it wants to be asked."""
    ceph = server.name == "radosgw"
    return Conditions(deletes=not ceph, unquoted=ceph)


def new_bucket(server: CloudServer) -> str:
    """A new bucket."""
    name = f"asynctensor-{os.getpid()}-{next(_serial)}"

    async def create() -> None:
        asker = S3Asker(EXCHANGE, Address(name, server.endpoint), server.region, OURS)
        answer = await asker.ask("PUT", None)
        assert answer.status == 200, bytes(answer.body)

    start(create).result()
    return name


def new_store(
    server: CloudServer, *, endpoint: str | None = None, kind: type[S3Store] = S3Store
) -> S3Store:
    """A store of a new bucket; `endpoint`: reached there; `kind`: of which class."""
    address = Address(new_bucket(server), endpoint or server.endpoint)
    return kind(address, EXCHANGE, OURS, server.region, conditions=conditions_of(server))
