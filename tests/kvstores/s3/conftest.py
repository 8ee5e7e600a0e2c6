"""Keys of the servers, in the environment."""

from __future__ import annotations

import pytest

from tests.servers.clouds import CloudServer


@pytest.fixture
def s3(s3_server: CloudServer, monkeypatch: pytest.MonkeyPatch) -> CloudServer:
    """A server that speaks S3, its keys in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    return s3_server
