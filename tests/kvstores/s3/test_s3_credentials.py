"""Where the keys come from."""

from __future__ import annotations

import pickle

import pytest

from asynctensor.errors import FailedPrecondition, PermissionDenied
from asynctensor.kvstores.s3 import credentials
from asynctensor.kvstores.s3.credentials import KeySource
from asynctensor.kvstores.s3.signing import Keys
from asynctensor.runtime.aws_credentials import AwsCredentials
from tests.servers.scripted import Said, ScriptedServer


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch, tmp_path) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def keys_of(kind: str, **options: str) -> KeySource:
    return KeySource(AwsCredentials(kind, tuple(options.items())))


async def test_of_the_environment(monkeypatch) -> None:
    with pytest.raises(PermissionDenied, match="AWS_ACCESS_KEY_ID"):
        await keys_of("environment").keys()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    for kind in ("environment", "default"):
        assert await keys_of(kind).keys() == Keys("id", "secret", "token")
    assert await keys_of("anonymous").keys() is None


async def test_of_a_profile(monkeypatch, tmp_path) -> None:
    file = tmp_path / "elsewhere"
    file.write_text(
        "[default]\naws_access_key_id = d\naws_secret_access_key = ds\n"
        "[p]\naws_access_key_id = p\naws_secret_access_key = ps\naws_session_token = t\n"
    )
    found = await keys_of("profile", profile="p", credentials_file=str(file)).keys()
    assert found == Keys("p", "ps", "t")
    assert await keys_of("profile", credentials_file=str(file)).keys() == Keys("d", "ds")
    with pytest.raises(PermissionDenied, match="profile"):
        await keys_of("profile", profile="none", credentials_file=str(file)).keys()
    # The environment has its own keys, which are not meant.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    found = await keys_of("profile", profile="p", credentials_file=str(file)).keys()
    assert found == Keys("p", "ps", "t")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    assert await keys_of("default", profile="p").keys() == Keys("p", "ps", "t")


async def test_of_a_container_and_again_when_they_expire() -> None:
    count = 0

    def script(asked) -> Said:
        nonlocal count
        count += 1
        # The first are as good as over.
        when = "2001-01-01T00:00:00Z" if count < 2 else "2099-01-01T00:00:00Z"
        body = (
            f'{{"AccessKeyId": "id{count}", "SecretAccessKey": "s", "Token": "t",'
            f' "Expiration": "{when}"}}'
        )
        return Said(200, (("Content-Type", "application/json"),), body.encode())

    with ScriptedServer(script) as server:
        source = keys_of("ecs", endpoint=f"{server.url}/keys")
        found = await source.keys()
        assert found == Keys("id2", "s", "t")
        assert await source.keys() == found
        source.forget()
        assert await source.keys() == Keys("id3", "s", "t")


async def test_nobody_has_any() -> None:
    assert await keys_of("default").keys() is None


async def test_without_botocore(monkeypatch, tmp_path) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(credentials.importlib, "import_module", missing)
    assert await keys_of("default").keys() is None
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("")
    for kind in ("default", "profile", "imds", "ecs"):
        with pytest.raises(FailedPrecondition, match=r"asynctensor\[s3\]"):
            await keys_of(kind).keys()


async def test_static_keys_are_left_behind() -> None:
    given = AwsCredentials("static", (("access_key_id", "id"),), "hidden", "hidden")
    assert await KeySource(given).keys() == Keys("id", "hidden", "hidden")
    assert "hidden" not in repr(given)
    assert b"hidden" not in pickle.dumps(given)
    with pytest.raises(PermissionDenied, match="left behind"):
        await KeySource(pickle.loads(pickle.dumps(given))).keys()
