"""Where the keys come from."""

from __future__ import annotations

import hashlib
import importlib
import json
import pickle

import pytest

from asynctensor.errors import FailedPrecondition, PermissionDenied
from asynctensor.kvstores._http.who_asks import PENDING
from asynctensor.kvstores.s3 import credentials
from asynctensor.kvstores.s3.credentials import KeySource
from asynctensor.kvstores.s3.signing import Keys
from asynctensor.runtime.aws_credentials import AwsCredentials
from tests.servers.scripted import Asked, Said, ScriptedServer


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
    with pytest.raises(PermissionDenied, match=r"profile \(none\) could not be found"):
        await keys_of("profile", profile="none", credentials_file=str(file)).keys()
    # The environment has its own keys, which are not meant.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    found = await keys_of("profile", profile="p", credentials_file=str(file)).keys()
    assert found == Keys("p", "ps", "t")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    assert await keys_of("default", profile="p").keys() == Keys("p", "ps", "t")


async def test_half_of_the_keys_is_none(monkeypatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "half")
    with pytest.raises(PermissionDenied, match="AWS_SECRET_ACCESS_KEY") as caught:
        await keys_of("default").keys()
    assert "half" not in str(caught.value)


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
        assert source.forget(0)
        assert await source.keys() == Keys("id3", "s", "t")


EXPIRES = "2099-01-01T00:00:00Z"


async def test_of_a_machine(monkeypatch) -> None:
    """Instance metadata, version 2."""

    def script(asked: Asked) -> Said:
        if asked.target.endswith("/api/token"):
            return Said(body=b"permit") if asked.method == "PUT" else Said(405)
        if asked.fields.get("x-aws-ec2-metadata-token") != "permit":
            return Said(401)
        if asked.target.endswith("/security-credentials/"):
            return Said(body=b"role")
        found = {"Code": "Success", "AccessKeyId": "id", "SecretAccessKey": "s", "Token": "t",
                 "Expiration": EXPIRES, "LastUpdated": EXPIRES}  # fmt: skip
        return Said(body=json.dumps(found).encode())

    with ScriptedServer(script) as server:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
        with pytest.raises(PermissionDenied, match="imds"):
            await keys_of("imds").keys()
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        for kind in ("imds", "default"):
            assert await keys_of(kind).keys() == Keys("id", "s", "t")


async def test_of_a_web_identity(monkeypatch, tmp_path) -> None:
    """As pods of Kubernetes have it; asked for anew when the keys are refused."""
    count = 0

    def script(asked: Asked) -> Said:
        nonlocal count
        count += 1
        assert b"WebIdentityToken=pod%27s+token" in asked.body
        keys = "".join(
            f"<{name}>{value}</{name}>"
            for name, value in (("AccessKeyId", f"id{count}"), ("SecretAccessKey", "s"),
                                ("SessionToken", "t"), ("Expiration", EXPIRES))
        )  # fmt: skip
        return Said(
            body=f"<R><AssumeRoleWithWebIdentityResult><Credentials>{keys}</Credentials>"
            "</AssumeRoleWithWebIdentityResult></R>".encode()
        )

    (tmp_path / "token").write_text("pod's token")
    with ScriptedServer(script) as server:
        for name, value in (
            ("WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token")),
            ("ROLE_ARN", "arn:aws:iam::123456789012:role/r"),
            ("DEFAULT_REGION", "eu-west-1"),
            ("ENDPOINT_URL_STS", server.url),
        ):
            monkeypatch.setenv(f"AWS_{name}", value)
        source = keys_of("default")
        assert source.at_hand() is PENDING
        assert await source.keys() == Keys("id1", "s", "t")
        assert source.at_hand() == Keys("id1", "s", "t")
        assert source.forget(0)
        assert await source.keys() == Keys("id2", "s", "t")


async def test_of_single_sign_on(monkeypatch, tmp_path) -> None:
    """What ``aws sso login`` has left is turned into keys."""
    folder = tmp_path / ".aws"
    (folder / "sso" / "cache").mkdir(parents=True)
    (folder / "config").write_text(
        "[profile p]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n"
        "[sso-session s]\nsso_region = eu-west-1\nsso_start_url = https://start.invalid/\n"
    )
    token = {"accessToken": "signed-on", "expiresAt": EXPIRES, "region": "eu-west-1",
             "startUrl": "https://start.invalid/"}  # fmt: skip
    name = hashlib.sha1(b"s", usedforsecurity=False).hexdigest()
    cached = folder / "sso" / "cache" / f"{name}.json"
    # It takes the home directory when it is imported.
    tokens = importlib.import_module("botocore.tokens").SSOTokenProvider
    monkeypatch.setattr(tokens, "_SSO_TOKEN_CACHE_DIR", str(cached.parent))
    cached.write_text(json.dumps(token))

    def script(asked: Asked) -> Said:
        if asked.fields.get("x-amz-sso_bearer_token") != "signed-on":
            return Said(401)
        keys = {"accessKeyId": "id", "secretAccessKey": "s", "sessionToken": "t",
                "expiration": 4_070_908_800_000}  # fmt: skip
        return Said(body=json.dumps({"roleCredentials": keys}).encode())

    with ScriptedServer(script) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", server.url)
        assert await keys_of("profile", profile="p").keys() == Keys("id", "s", "t")
        # Whoever has to sign on again is told so, and not what the service said.
        cached.write_text(json.dumps({**token, "accessToken": "hidden"}))
        with pytest.raises(PermissionDenied, match="no new keys") as caught:
            await keys_of("profile", profile="p").keys()
        assert "hidden" not in str(caught.value)


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
