"""Who asks, and what Azure says to it."""

from __future__ import annotations

import base64
import datetime as dt
import os
import pickle
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from asynctensor.errors import FailedPrecondition, NotFound, PermissionDenied
from asynctensor.kvstores.azure import credentials
from asynctensor.kvstores.azure.address import Address
from asynctensor.kvstores.azure.credentials import CredentialSource
from asynctensor.kvstores.azure.signing import BearerToken, SasToken, SharedKey
from asynctensor.kvstores.azure.store import AzureStore
from asynctensor.runtime.azure_credentials import ANONYMOUS, AzureCredentials
from asynctensor.runtime.event_loop import start
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.key_range import KeyRange
from asynctensor.testing.kvstore_calls import fill, keys, read, write
from tests.kvstores.azure.containers import EXCHANGE, OURS, new_container
from tests.servers.scripted import Asked, Said, ScriptedServer

KEY = base64.b64encode(b"key").decode()


@pytest.fixture
def nothing_known(monkeypatch, tmp_path) -> None:
    for name in os.environ:
        if name.startswith(("AZURE_", "IDENTITY_", "MSI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def source(kind: str, **options: str) -> CredentialSource:
    return CredentialSource(AzureCredentials(kind, tuple(options.items())))


@pytest.mark.usefixtures("nothing_known")
async def test_of_the_environment(monkeypatch) -> None:
    for kind, variable in (("shared_key", "AZURE_STORAGE_KEY"), ("sas", "AZURE_STORAGE_SAS_TOKEN"),
                           ("connection_string", "AZURE_STORAGE_CONNECTION_STRING")):  # fmt: skip
        with pytest.raises(PermissionDenied, match=variable):
            await source(kind).authority("acc")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"AccountName=acc;AccountKey={KEY}")
    assert await source("default").authority("acc") == SharedKey("acc", b"key")
    assert await source("connection_string").authority("acc") == SharedKey("acc", b"key")
    with pytest.raises(PermissionDenied, match="'acc', not for 'other'"):
        await source("connection_string").authority("other")
    monkeypatch.setenv("X", "BlobEndpoint=https://x;SharedAccessSignature=sv=1&sig=a%3D")
    found = await source("connection_string", variable="X").authority("acc")
    assert found == SasToken("sv=1&sig=a%3D")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "?sv=1&sig=x")
    for kind in ("default", "sas"):
        assert await source(kind).authority("acc") == SasToken("sv=1&sig=x")
    monkeypatch.setenv("AZURE_STORAGE_KEY", KEY)
    for kind in ("default", "shared_key"):
        assert await source(kind).authority("acc") == SharedKey("acc", b"key")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "other")
    assert await source("default").authority("acc") == SasToken("sv=1&sig=x")
    with pytest.raises(PermissionDenied, match="that of account 'other'"):
        await source("shared_key").authority("acc")
    monkeypatch.setenv("Y", KEY)
    assert await source("shared_key", key_variable="Y").authority("acc") == SharedKey("acc", b"key")
    assert await source("anonymous").authority("acc") is None


@pytest.mark.usefixtures("nothing_known")
@pytest.mark.parametrize(
    ("kind", "variable", "text"),
    [
        ("shared_key", "AZURE_STORAGE_KEY", "hidden!"),
        ("sas", "AZURE_STORAGE_SAS_TOKEN", "hidden"),
        ("sas", "AZURE_STORAGE_SAS_TOKEN", "sig=hidden\r\nX: 1"),
        ("connection_string", "AZURE_STORAGE_CONNECTION_STRING", "hidden"),
    ],
)
async def test_what_is_no_secret_is_refused(monkeypatch, kind, variable, text) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(PermissionDenied, match=variable) as caught:
        await source(kind).authority("acc")
    assert "hidden" not in str(caught.value)


async def test_a_given_token_is_left_behind() -> None:
    given = AzureCredentials("sas", (), "sv=1&sig=hidden", has_token=True)
    assert await CredentialSource(given).authority("acc") == SasToken("sv=1&sig=hidden")
    assert "hidden" not in repr(given)
    assert b"hidden" not in pickle.dumps(given)
    with pytest.raises(PermissionDenied, match="left behind"):
        await CredentialSource(pickle.loads(pickle.dumps(given))).authority("acc")


# -- azure-identity, with a server that gives tokens as the machines of Azure do ------------------


@pytest.fixture
def tokens(nothing_known, monkeypatch) -> Iterator[Any]:
    """Gives token 1, 2, ...; `script.life`: for how many seconds."""

    def script(asked: Asked) -> Said:
        script.count += 1
        assert "storage.azure.com" in asked.target
        until = int(time.time()) + script.life
        body = f'{{"access_token": "token{script.count}", "expires_on": "{until}"}}'
        return Said(200, (("Content-Type", "application/json"),), body.encode())

    script.count, script.life = 0, 3600
    with ScriptedServer(script) as server:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.url}/msi")
        monkeypatch.setenv("IDENTITY_HEADER", "hidden")
        yield script


async def test_of_a_managed_identity(tokens) -> None:
    who = source("managed_identity", client_id="me")
    assert not who.may_change
    assert await who.authority("acc") == BearerToken("token1")
    assert await who.authority("acc") == BearerToken("token1")
    assert who.may_change
    assert who.forget(0)
    assert await who.authority("acc") == BearerToken("token2")
    assert tokens.count == 2


async def test_tokens_are_asked_for_before_they_expire(tokens) -> None:
    tokens.life = 200
    who = source("managed_identity")
    assert await who.authority("acc") == BearerToken("token1")
    await who.authority("acc")
    assert tokens.count == 2


async def test_a_token_that_is_refused_is_replaced(tokens) -> None:
    def script(asked: Asked) -> Said:
        if asked.fields["authorization"] == "Bearer token1":
            return Said(401, (("x-ms-error-code", "InvalidAuthenticationInfo"),))
        return Said(200, (("ETag", '"1"'),), b"value")

    with ScriptedServer(script) as server:
        who = AzureCredentials("managed_identity", (("client_id", "other"),))
        store = AzureStore(Address("acc", "abc", server.url), EXCHANGE, who)
        assert (await read(store, "k")).value == b"value"
        assert len(server.asked) == 2


@pytest.mark.usefixtures("nothing_known")
async def test_nobody_is_found(caplog, monkeypatch) -> None:
    # Where a machine has no identity, and no other program of Azure is there.
    monkeypatch.setenv("PATH", "")
    with ScriptedServer(lambda asked: Said(400)) as server:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", server.url)
        who = source("default")
        assert await who.authority("acc") is None
        count = len(server.asked)
        assert count > 0
        assert await who.authority("acc") is None
        assert len(server.asked) == count
    assert not who.may_change
    assert not caplog.records
    for kind in ("environment", "workload_identity"):
        with pytest.raises(PermissionDenied, match="no token was found"):
            await source(kind).authority("acc")


@pytest.mark.usefixtures("nothing_known")
async def test_without_azure_identity(monkeypatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(credentials.importlib, "import_module", missing)
    assert await source("default").authority("acc") is None
    for kind in ("environment", "managed_identity", "workload_identity", "cli"):
        with pytest.raises(FailedPrecondition, match=r"asynctensor\[azure\]"):
            await source(kind).authority("acc")
    monkeypatch.setenv("AZURE_CLIENT_ID", "me")
    with pytest.raises(FailedPrecondition, match=r"asynctensor\[azure\]"):
        await source("default").authority("acc")


# -- What the server says -------------------------------------------------------------------------


def sas_of(azure, container: str, permission: str, hours: float = 1) -> AzureCredentials:
    token = generate_container_sas(
        azure.access_key,
        container,
        azure.secret_key,
        permission=ContainerSasPermissions.from_string(permission),
        expiry=dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours),
    )
    return AzureCredentials("sas", (), token, has_token=True)


async def test_shared_access_signatures(azure) -> None:
    container = new_container(azure)
    address = Address(azure.access_key, container, azure.endpoint)
    store = AzureStore(address, EXCHANGE, sas_of(azure, container, "rwdlc"))
    stamp = await write(store, "a/b é", b"value", NO_VALUE)
    assert (await read(store, "a/b é")).stamp.generation == stamp.generation != UNKNOWN
    await fill(store, ["a/c", "a/d", "e"])
    await start(store.delete_range, KeyRange.prefix("a/"))
    assert await keys(store) == ["e"]
    reader = AzureStore(address, EXCHANGE, sas_of(azure, container, "rl"))
    assert (await read(reader, "e")).value == b"e"
    for call in (write(reader, "e", b"1"), write(reader, "e", None),
                 start(reader.delete_range, KeyRange())):  # fmt: skip
        with pytest.raises(PermissionDenied) as caught:
            await call
        assert "sig=" not in str(caught.value)
    late = AzureStore(address, EXCHANGE, sas_of(azure, container, "rl", hours=-1))
    with pytest.raises(PermissionDenied):
        await read(late, "e")


async def test_anybody_reads_a_public_container(azure) -> None:
    for public in (True, False):
        address = Address(azure.access_key, new_container(azure, public=public), azure.endpoint)
        await fill(AzureStore(address, EXCHANGE, OURS), ["k"])
        store = AzureStore(address, EXCHANGE, ANONYMOUS)
        if public:
            assert (await read(store, "k")).value == b"k"
            assert await keys(store) == ["k"]
            assert (await read(store, "none")).state == "missing"
        else:
            with pytest.raises((PermissionDenied, NotFound)):
                await keys(store)
        with pytest.raises((PermissionDenied, NotFound)):
            await write(store, "k", b"1")


async def test_wrong_names_and_keys_are_told_and_not_repeated(
    azure, proxy, proxied, monkeypatch
) -> None:
    container = new_container(azure)
    good = Address(azure.access_key, container, proxied)
    await write(AzureStore(good, EXCHANGE, OURS), "k", b"1")

    async def refused(store: AzureStore, error: type[Exception], match: str) -> None:
        for call in (lambda: read(store, "k"), lambda: write(store, "k", b"2"),
                     lambda: write(store, "k", b"2", NO_VALUE), lambda: keys(store)):  # fmt: skip
            before = len(proxy.statistics.requests)
            with pytest.raises(error, match=match):
                await call()
            # The narrow reader leaves answers in chunks to the other one, which asks again.
            assert len(proxy.statistics.requests) <= before + 2

    await refused(
        AzureStore(replace(good, container="nowhere"), EXCHANGE, OURS),
        NotFound,
        "ContainerNotFound",
    )
    monkeypatch.setenv("AZURE_STORAGE_KEY", KEY)
    await refused(AzureStore(good, EXCHANGE, OURS), PermissionDenied, "check the credentials")
