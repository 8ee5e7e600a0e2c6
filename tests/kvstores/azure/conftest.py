"""The key of the server, in the environment."""

from __future__ import annotations

import os

import pytest

from asynctensor.testing.fault_proxy import FaultProxy
from tests.servers.clouds import CloudServer


@pytest.fixture
def azure(azure_server: CloudServer, monkeypatch: pytest.MonkeyPatch) -> CloudServer:
    """A server that speaks Azure's protocol, its key in the environment."""
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_STORAGE_KEY", azure_server.secret_key)
    return azure_server


@pytest.fixture
def proxy(azure_server: CloudServer, fault_proxy_to) -> FaultProxy:
    """A proxy in front of it."""
    return fault_proxy_to(*azure_server.address)


@pytest.fixture
def proxied(azure_server: CloudServer, proxy: FaultProxy) -> str:
    """The endpoint behind the proxy."""
    return f"{proxy.url}/{azure_server.access_key}"
