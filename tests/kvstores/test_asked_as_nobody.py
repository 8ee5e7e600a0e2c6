"""Refusals where credentials were looked for, and none found: that is said."""

from __future__ import annotations

import os
import ssl

import pytest
import trustme

from asynctensor.errors import PermissionDenied
from asynctensor.kvstores._http.aiohttp_transport import AiohttpTransport, ConnectionOptions
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores.azure import address as azure_address
from asynctensor.kvstores.azure.store import AzureStore
from asynctensor.kvstores.gcs import address as gcs_address
from asynctensor.kvstores.gcs.store import GcsStore
from asynctensor.kvstores.s3 import address as s3_address
from asynctensor.kvstores.s3.store import S3Store
from asynctensor.runtime.aws_credentials import AwsCredentials
from asynctensor.runtime.azure_credentials import AzureCredentials
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.google_credentials import GoogleCredentials
from asynctensor.runtime.process import PROCESS
from asynctensor.scheduler.retry import RetryPolicy
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.testing.kvstore_calls import read, write
from tests.servers.scripted import Said, ScriptedServer

NOBODY = "no credentials were found here"
KINDS = ("s3", "azure", "gcs")


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch, tmp_path) -> None:
    for name in os.environ:
        if name.startswith(("AWS_", "AZURE_", "IDENTITY_", "MSI_", "GOOGLE_APPLICATION_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    for name in ("aws keys", "azure tokens", "google tokens"):
        monkeypatch.setitem(PROCESS.shared, name, {})


def store_of(kind: str, who: str, url: str, exchange: Exchange) -> KeyValueStore:
    if kind == "s3":
        return S3Store(s3_address.Address("abc", url), exchange, AwsCredentials(who))
    if kind == "azure":
        return AzureStore(azure_address.Address("acc", "abc", url), exchange, AzureCredentials(who))
    return GcsStore(gcs_address.Address("abc", url), exchange, GoogleCredentials(who))


@pytest.mark.parametrize("kind", KINDS)
async def test_it_is_said_that_nobody_was_found(kind, monkeypatch) -> None:
    authority = trustme.CA()
    served, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(served)
    authority.configure_trust(trusting)
    transport = AiohttpTransport(ConnectionOptions(ssl=trusting))
    with (
        ScriptedServer(lambda asked: Said(400)) as metadata,
        ScriptedServer(lambda asked: Said(403), served) as server,
    ):
        # The machine of azure-identity says that it has no identity.
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.url)
        exchange = Exchange(RetryPolicy(1, 0.001, 0.001), transport=transport)
        try:
            store = store_of(kind, "default", server.url, exchange)
            for call in (read(store, "k"), write(store, "k", b"1")):
                with pytest.raises(PermissionDenied, match=NOBODY):
                    await call
            # Who wants to be nobody knows.
            with pytest.raises(PermissionDenied, match="check the credentials"):
                await read(store_of(kind, "anonymous", server.url, exchange), "k")
        finally:
            await start(transport.close)


@pytest.mark.parametrize("kind", KINDS[:2])
async def test_it_is_not_said_where_somebody_asks(kind, monkeypatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=x")
    with ScriptedServer(lambda asked: Said(403)) as server:
        store = store_of(kind, "default", server.url, Exchange(RetryPolicy(1, 0.001, 0.001)))
        with pytest.raises(PermissionDenied, match="check the credentials") as caught:
            await read(store, "k")
        assert NOBODY not in str(caught.value)
