"""Where tokens come from, and to whom they are shown."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from asynctensor.errors import FailedPrecondition, PermissionDenied, Unavailable
from asynctensor.kvstores.gcs import credentials
from asynctensor.kvstores.gcs.address import Address
from asynctensor.kvstores.gcs.credentials import TokenSource
from asynctensor.kvstores.gcs.store import GcsStore
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.google_credentials import GoogleCredentials
from asynctensor.storage.generation import UNKNOWN
from asynctensor.testing.kvstore_calls import keys, read, write
from tests.kvstores.gcs.buckets import EXCHANGE, control, new_bucket
from tests.servers.process import ROOT
from tests.servers.scripted import Asked, Said, ScriptedServer


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


def bearer(token: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {token}")]


async def fields_of(given: GoogleCredentials | TokenSource) -> list[tuple[str, str]]:
    source = TokenSource(given) if isinstance(given, GoogleCredentials) else given
    return list(await source.fields())


async def test_given_tokens(monkeypatch, tmp_path) -> None:
    assert await fields_of(GoogleCredentials("anonymous")) == []
    assert await fields_of(GoogleCredentials("token", token="t")) == bearer("t")
    of_variable = GoogleCredentials("token", variable="THE_TOKEN")
    with pytest.raises(PermissionDenied, match="THE_TOKEN"):
        await fields_of(of_variable)
    monkeypatch.setenv("THE_TOKEN", "v")
    assert await fields_of(of_variable) == bearer("v")
    file = tmp_path / "token"
    of_file = GoogleCredentials("token", str(file))
    with pytest.raises(PermissionDenied, match="cannot be read"):
        await fields_of(of_file)
    file.write_text("hid den\n")
    with pytest.raises(PermissionDenied, match="holds no token") as caught:
        await fields_of(of_file)
    assert "hid" not in str(caught.value)
    file.write_text("f\n")
    assert await fields_of(of_file) == bearer("f")


async def test_a_token_is_left_behind() -> None:
    given = GoogleCredentials("token", token="hidden")
    assert "hidden" not in repr(given)
    assert b"hidden" not in pickle.dumps(given)
    with pytest.raises(PermissionDenied, match="left behind"):
        await fields_of(pickle.loads(pickle.dumps(given)))


async def test_a_refused_token_is_looked_up_anew(gcs_server, tmp_path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    bucket = new_bucket(gcs_server, token="first")
    address = Address(bucket, gcs_server.endpoint)
    store = GcsStore(address, EXCHANGE, GoogleCredentials("token", str(file)))
    stamp = await write(store, "k", b"1")
    assert (await read(store, "k")).value == b"1"
    control(gcs_server, bucket, token="second")
    with pytest.raises(PermissionDenied, match="401"):
        await read(store, "k")
    file.write_text("second")
    assert (await write(store, "k", b"2", stamp.generation)).generation != UNKNOWN
    assert await keys(store) == ["k"]
    with pytest.raises(PermissionDenied, match="gcs_credentials"):
        await read(GcsStore(address, EXCHANGE), "k")
    fixed = GcsStore(address, EXCHANGE, GoogleCredentials("token", token="hidden"))
    with pytest.raises(PermissionDenied) as caught:
        await read(fixed, "k")
    assert "hidden" not in f"{caught.value!r} {caught.value} {fixed!r} {pickle.dumps(fixed)!r}"


# -- Of google-auth -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


class TokenServer:
    """Gives tokens, one after the other; `answer` instead of one, if set."""

    def __init__(self) -> None:
        self.given = 0
        self.seconds = 3600
        self.answer: Said | None = None

    def __call__(self, asked: Asked) -> Said:
        if self.answer is not None:
            return self.answer
        self.given += 1
        found = {"access_token": f"token{self.given}", "expires_in": self.seconds,
                 "token_type": "Bearer"}  # fmt: skip
        fields = (("Content-Type", "application/json"),)
        return Said(200, fields, json.dumps(found).encode())


@pytest.fixture
def account(tmp_path: Path, private_key: str) -> Iterator[tuple[str, TokenServer]]:
    """A service account: its key file, and the server that gives it tokens."""
    tokens = TokenServer()
    with ScriptedServer(tokens) as server:
        file = tmp_path / "account.json"
        key = {
            "type": "service_account",
            "client_email": "a@b",
            "private_key": private_key,
            "token_uri": f"{server.url}/token",
        }
        file.write_text(json.dumps(key))
        yield str(file), tokens


async def test_a_service_account(account) -> None:
    file, _ = account
    source = TokenSource(GoogleCredentials("service_account", file))
    assert await fields_of(source) == bearer("token1")
    assert await fields_of(source) == bearer("token1")
    # Both of two requests are refused.
    assert source.forget(0)
    assert source.forget(0)
    assert await fields_of(source) == bearer("token2")
    assert source.forget(0)
    assert await fields_of(source) == bearer("token2")


async def test_what_is_not_worth_looking_for_again() -> None:
    for given in (
        GoogleCredentials("anonymous"),
        GoogleCredentials("token", token="t"),
        GoogleCredentials(),
    ):
        source = TokenSource(given)
        await source.fields()
        assert not source.forget(0)


async def test_many_refusals_ask_for_one_token(gcs_server, account) -> None:
    file, tokens = account
    bucket = new_bucket(gcs_server, token="token2")
    who = GoogleCredentials("service_account", file)
    store = GcsStore(Address(bucket, gcs_server.endpoint), EXCHANGE, who)
    reads = await asyncio.gather(*(read(store, "k") for _ in range(20)))
    assert [found.state for found in reads] == ["missing"] * 20
    assert tokens.given == 2


async def test_tokens_that_expire_are_renewed(account) -> None:
    file, tokens = account
    tokens.seconds = 1
    source = TokenSource(GoogleCredentials("service_account", file))
    assert await fields_of(source) == bearer("token1")
    tokens.seconds = 3600
    assert await fields_of(source) == bearer("token2")
    assert await fields_of(source) == bearer("token2")


async def test_many_requests_ask_for_one_token(account) -> None:
    file, tokens = account

    async def ask() -> list[object]:
        source = TokenSource(GoogleCredentials("service_account", file))
        return await asyncio.gather(*(source.fields() for _ in range(20)))

    assert len(await start(ask)) == 20
    assert tokens.given == 1


async def test_application_default_credentials(monkeypatch, account) -> None:
    file, _ = account
    assert await fields_of(GoogleCredentials()) == []
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
    assert await fields_of(GoogleCredentials()) == bearer("token1")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", f"{file}.none")
    with pytest.raises(PermissionDenied, match="GOOGLE_APPLICATION_CREDENTIALS"):
        await fields_of(GoogleCredentials())


#: Where a machine's metadata are, google-auth asks the environment once.
_OF_MACHINE = """
import asyncio
from asynctensor.kvstores.gcs.credentials import TokenSource
from asynctensor.runtime.google_credentials import GoogleCredentials

async def main():
    source = TokenSource(GoogleCredentials())
    print(await source.fields())
    assert source.forget(0)
    print(await source.fields())

asyncio.run(main())
"""


async def test_of_a_machine(tmp_path) -> None:
    tokens = TokenServer()

    def script(asked: Asked) -> Said:
        flavor = (("Metadata-Flavor", "Google"), ("Content-Type", "application/json"))
        if asked.fields.get("metadata-flavor") != "Google":
            return Said(403)
        if "/token" in asked.target:
            said = tokens(asked)
            return Said(200, flavor, said.body)
        return Said(200, flavor, b'{"email": "m@p", "scopes": [], "aliases": ["default"]}')

    with ScriptedServer(script) as server:
        place = server.url.removeprefix("http://")
        own = {"GCE_METADATA_HOST": place, "GCE_METADATA_IP": place, "NO_GCE_CHECK": "false"}
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", _OF_MACHINE],
            env={**os.environ, **own},
            cwd=ROOT,
            timeout=120,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    given = {f"{bearer(f'token{n}')}" for n in range(1, tokens.given + 1)}
    # Where too much time passes, google-auth asks again.
    assert len({*done.stdout.splitlines()} & given) == 2


async def test_whoever_gives_tokens_cannot_be_reached(monkeypatch, tmp_path) -> None:
    """Of a workload that another service vouches for."""
    with ScriptedServer(lambda asked: Said(404)) as gone:
        nowhere = gone.url
    subject = tmp_path / "subject"
    subject.write_text("hidden")
    pool = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q"
    workload = {
        "type": "external_account", "audience": pool, "token_url": f"{nowhere}/token",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "credential_source": {"file": str(subject)},
    }  # fmt: skip
    file = tmp_path / "workload.json"
    file.write_text(json.dumps(workload))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        await fields_of(GoogleCredentials())
    assert "hidden" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("content", ["", "{", "{}", '{"type": "service_account"}', "hidden"])
async def test_files_that_are_no_key_files(monkeypatch, tmp_path, content) -> None:
    file = tmp_path / "key"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    file.write_text(content)
    for given in (GoogleCredentials("service_account", str(file)), GoogleCredentials()):
        with pytest.raises(PermissionDenied) as caught:
            await fields_of(given)
        assert "hidden" not in str(caught.value)


async def test_a_key_file_that_is_not_there(tmp_path) -> None:
    with pytest.raises(PermissionDenied, match=r"none\.json cannot be read \(No such file"):
        await fields_of(GoogleCredentials("service_account", str(tmp_path / "none.json")))


async def test_tokens_that_are_not_given(account) -> None:
    file, tokens = account
    given = GoogleCredentials("service_account", file)
    tokens.answer = Said(400, body=b'{"error": "invalid_grant", "error_description": "hidden"}')
    with pytest.raises(PermissionDenied, match="no token was given") as caught:
        await fields_of(given)
    assert "hidden" not in str(caught.value)


async def test_nobody_gives_tokens(tmp_path, private_key) -> None:
    file = tmp_path / "account.json"
    file.write_text(json.dumps({"client_email": "a@b", "private_key": private_key,
                                "token_uri": "http://127.0.0.1:9/"}))  # fmt: skip
    with pytest.raises(Unavailable, match="reached"):
        await fields_of(GoogleCredentials("service_account", str(file)))


async def test_without_google_auth(monkeypatch, tmp_path) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(credentials.importlib, "import_module", missing)
    assert await fields_of(GoogleCredentials()) == []
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "x")
    for given in (GoogleCredentials(), GoogleCredentials("service_account", "x")):
        with pytest.raises(FailedPrecondition, match=r"asynctensor\[gcs\]"):
            await fields_of(given)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    (tmp_path / "gcloud").mkdir()
    (tmp_path / "gcloud" / "application_default_credentials.json").write_text("{}")
    with pytest.raises(FailedPrecondition, match=r"asynctensor\[gcs\]"):
        await fields_of(GoogleCredentials())


# -- To whom they are shown -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (Address("abc"), True),
        (Address("abc", "https://storage.example"), True),
        (Address("abc", "http://storage.example"), False),
        (Address("abc", None, "https://emulator.example"), False),
    ],
)
def test_what_is_found_by_itself_is_not_shown_to_everybody(address, shown) -> None:
    who = GcsStore(address, EXCHANGE)._asker.who
    assert who.type == ("default" if shown else "anonymous")
    named = GoogleCredentials("token", token="t")
    assert GcsStore(address, EXCHANGE, named)._asker.who is named
