"""Credentials that expire while an array is read: new ones are asked for once, and all is read."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import asynctensor as ts
from tests.servers.scripted import Asked, Said, ScriptedServer

CHUNKS = 64
VERSION = (("ETag", '"1"'), ("X-Goog-Generation", "1"))
JSON = (("Content-Type", "application/json"),)
METADATA = {
    "zarr_format": 3, "node_type": "array", "shape": [CHUNKS], "data_type": "uint8",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1]}},
    "chunk_key_encoding": {"name": "default"}, "fill_value": 0, "codecs": [{"name": "bytes"}],
}  # fmt: skip


@dataclass
class Issuer:
    """Gives tokens: ``token1``, then ``token2`` ..., in the form that `form` says.

    Attributes:
        form: What it says of a token.
        given: How many it has given.
    """

    form: Callable[[str], dict[str, Any]]
    given: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, asked: Asked) -> Said:
        with self.lock:
            self.given += 1
            return Said(200, JSON, json.dumps(self.form(f"token{self.given}")).encode())


@dataclass
class Expiring:
    """Serves an array; the first token is valid for some of its chunks.

    Attributes:
        refused: Says that a token is not valid.
        on_refusal: Called before that.
    """

    refused: Said
    on_refusal: Callable[[], object] = lambda: None
    chunks: int = 0
    refusals: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, asked: Asked) -> Said:
        name = asked.target.partition("?")[0].replace("%2F", "/")
        who = asked.fields.get("authorization", "")
        if name.endswith("zarr.json"):
            return Said(200, VERSION, json.dumps(METADATA).encode())
        with self.lock:
            if "token1" in who and self.chunks >= CHUNKS // 3:
                self.refusals += 1
                self.on_refusal()
                return self.refused
            if "token" not in who:
                return Said(400)
            self.chunks += 1
        return Said(200, VERSION, bytes([int(name.rpartition("/")[2]) + 1]))


Given = tuple[dict[str, Any], dict[str, Any]]


def s3(url: str, issuer: str, folder: Path, patch: pytest.MonkeyPatch) -> Given:
    who = {"type": "ecs", "endpoint": f"{issuer}/keys"}
    return (
        {"driver": "s3", "bucket": "abc", "endpoint": url, "aws_region": "r"},
        {"aws_credentials": who},
    )


def gcs(url: str, issuer: str, folder: Path, patch: pytest.MonkeyPatch) -> Given:
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account", "client_email": "a@b", "private_key": key.decode(),
        "token_uri": f"{issuer}/token",
    }  # fmt: skip
    file = folder / "account.json"
    file.write_text(json.dumps(account))
    return (
        {"driver": "gcs", "bucket": "abc", "endpoint": url},
        {"gcs_credentials": {"type": "service_account", "file": str(file)}},
    )


def azure(url: str, issuer: str, folder: Path, patch: pytest.MonkeyPatch) -> Given:
    patch.setenv("IDENTITY_ENDPOINT", f"{issuer}/msi")
    patch.setenv("IDENTITY_HEADER", "header")
    return (
        {"driver": "azure", "account": "acc", "container": "abc", "endpoint": url},
        {"azure_credentials": {"type": "managed_identity"}},
    )


EXPIRED = Said(400, body=b"<Error><Code>ExpiredToken</Code><Message>No.</Message></Error>")
ENTRA = Said(401, (("x-ms-error-code", "InvalidAuthenticationInfo"),))
GOOGLE = Said(401, JSON, b'{"error": {"message": "No.", "errors": [{"reason": "authError"}]}}')


def of_aws(token: str) -> dict[str, Any]:
    ends = "2099-01-01T00:00:00Z"
    return {"AccessKeyId": token, "SecretAccessKey": "s", "Token": "t", "Expiration": ends}


def of_google(token: str) -> dict[str, Any]:
    return {"access_token": token, "expires_in": 3600, "token_type": "Bearer"}


def of_entra(token: str) -> dict[str, Any]:
    return {"access_token": token, "expires_on": "4102444800"}


@pytest.fixture(
    params=[(s3, of_aws, EXPIRED), (gcs, of_google, GOOGLE), (azure, of_entra, ENTRA)],
    ids=["s3", "gcs", "azure"],
)
def cloud(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    make, form, refused = request.param
    issuer, expiring = Issuer(form), Expiring(refused)
    with ScriptedServer(issuer) as gives, ScriptedServer(expiring) as server:
        yield *make(server.url, gives.url, tmp_path, monkeypatch), issuer, expiring


async def all_read(spec: dict[str, Any], resources: dict[str, Any]) -> None:
    opening = {"driver": "zarr3", "kvstore": spec}
    array = await ts.open(opening, context=ts.Context(resources))
    assert (await array.read() == np.arange(1, CHUNKS + 1)).all()


async def test_new_ones_are_asked_for_once(cloud: Any) -> None:
    spec, resources, issuer, expiring = cloud
    await all_read(spec, resources)
    # Whoever looks for it asks again where a busy machine lets too much time pass.
    assert 2 <= issuer.given <= 4
    assert expiring.chunks == CHUNKS
    assert 0 < expiring.refusals <= CHUNKS


async def test_a_file_of_tokens_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("token1")

    def renew() -> None:
        # Whoever reads it meanwhile finds one or the other.
        new = tmp_path / "new"
        new.write_text("token2")
        new.replace(file)

    expiring = Expiring(Said(401), renew)
    with ScriptedServer(expiring) as server:
        who = {"http_credentials": {"type": "bearer", "token_file": str(file)}}
        await all_read({"driver": "http", "base_url": server.url}, who)
    assert expiring.chunks == CHUNKS
    assert 0 < expiring.refusals <= CHUNKS
