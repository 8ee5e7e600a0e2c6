"""What large writes leave where the runtime ends before a slow service has answered."""

from __future__ import annotations

import gc
import threading
from asyncio import CancelledError
from collections.abc import Callable
from typing import Any

import pytest

from asynctensor.errors import Error
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores.gcs import resumable
from asynctensor.kvstores.gcs.address import Address as GcsAddress
from asynctensor.kvstores.gcs.store import GcsStore
from asynctensor.kvstores.s3 import multipart
from asynctensor.kvstores.s3.address import Address as S3Address
from asynctensor.kvstores.s3.store import S3Store
from asynctensor.runtime.aws_credentials import AwsCredentials
from asynctensor.runtime.event_loop import shutdown, start
from asynctensor.runtime.google_credentials import GoogleCredentials
from asynctensor.storage.kvstore import KeyValueStore
from tests.servers.scripted import Asked, Said, ScriptedServer

VALUE = bytes(1 << 20)
#: More would wait behind those that are held.
FEW = Exchange(concurrency=2)


def s3(url: str) -> KeyValueStore:
    uploads = multipart.Uploads(whole=1 << 18, part=1 << 18)
    nobody = AwsCredentials("anonymous")
    return S3Store(S3Address("made", url), FEW, nobody, "us-east-1", uploads=uploads)


def gcs(url: str) -> KeyValueStore:
    uploads = resumable.Uploads(whole=1 << 18, piece=1 << 18)
    return GcsStore(GcsAddress("made", url), FEW, GoogleCredentials("anonymous"), uploads=uploads)


class Slow:
    """A service that begins an upload, and does not answer to what is uploaded."""

    def __init__(self) -> None:
        self.held, self.over = threading.Semaphore(0), threading.Event()
        self.taken_back: list[str] = []

    def __call__(self, asked: Asked) -> Said:
        if asked.method == "POST" and asked.target.endswith("?uploads="):
            return Said(200, body=b"<R><UploadId>one</UploadId></R>")
        if asked.method == "POST":
            place = f"http://{asked.fields['host']}/upload/one"
            return Said(200, (("Location", place),))
        if asked.method == "DELETE":
            self.taken_back.append(asked.target)
            return Said(204)
        self.held.release()
        self.over.wait(60)
        return Said(503)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("open_store", "taken_back"),
    [(s3, "/made/k?uploadId=one"), (gcs, "/upload/one")],
    ids=["s3", "gcs"],
)
def test_a_large_write_that_the_end_of_the_runtime_cuts_leaves_nothing(
    open_store: Callable[[str], KeyValueStore], taken_back: str
) -> None:
    # It has a second, which a busy machine may well take away.
    done: list[str] = []
    for _ in range(5):
        service = Slow()
        with ScriptedServer(service) as server:
            store: Any = open_store(server.url)
            writing = start(store.write, "k", VALUE)
            assert service.held.acquire(timeout=60)
            shutdown()
            with pytest.raises((Error, CancelledError)):
                writing.result(timeout=60)
            service.over.set()
        # Where the loop had no time to unwind what it cut, that is destroyed here.
        gc.collect()
        done = service.taken_back
        if done:
            break
    assert done == [taken_back]
