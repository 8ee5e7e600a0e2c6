"""Fixtures that give running servers, started when first asked for, one each per test process.

A plain run has the servers that need neither root nor Debian's packages; with ``--all-servers``
every test that takes one of these fixtures runs on all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from asynctensor.kvstores._http.fast_transport import FastTransport
from asynctensor.runtime.process import PROCESS
from asynctensor.testing.fault_proxy import FaultProxy
from tests.servers import clouds, faulty_servers, http_servers
from tests.servers.clouds import CloudServer
from tests.servers.faulty_servers import FaultyServer
from tests.servers.http_servers import HttpServer


class Servers:
    """The servers of this test process, by name."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._running: dict[str, Any] = {}
        self._stack = ExitStack()

    def get(self, name: str, start: Any) -> Any:
        if name not in self._running:
            folder = self._folders.mktemp(name)
            self._running[name] = self._stack.enter_context(start(folder))
        return self._running[name]

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(autouse=True)
def no_host_is_shunned() -> None:
    """Forgets whom the shared transport leaves to the one behind it: ports are given out again."""
    transport = getattr(PROCESS.shared.get("http transport"), "transport", None)
    if isinstance(transport, FastTransport):
        for host in list(transport._hosts.values()):
            if host is not None:
                host.unexpected, host.shunned_until = 0, 0.0


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made = Servers(tmp_path_factory)
    yield made
    made.close()


@pytest.fixture
def http_server(request: pytest.FixtureRequest, servers: Servers) -> HttpServer:
    """A server of a folder, which is empty: caddy, rclone; nginx."""
    name = request.param
    start = (http_servers.PLAIN | http_servers.FURTHER)[name]
    found: HttpServer = servers.get(name, start)
    _empty(found.folder)
    return found


@pytest.fixture
def caddy(servers: Servers) -> HttpServer:
    """caddy, which serves an empty folder."""
    found: HttpServer = servers.get("caddy", http_servers.caddy)
    _empty(found.folder)
    return found


@pytest.fixture
def faulty_server(request: pytest.FixtureRequest, servers: Servers) -> FaultyServer:
    """A web server that fails by itself: one that a script says; nginx with Lua."""
    start = (faulty_servers.PLAIN | faulty_servers.FURTHER)[request.param]
    found: FaultyServer = servers.get(f"faulty-{request.param}", start)
    return found


@pytest.fixture
def s3_server(request: pytest.FixtureRequest, servers: Servers) -> CloudServer:
    """A server that speaks S3: moto; radosgw; or the one that the environment names."""
    name = request.param
    if name == "elsewhere":
        found = clouds.s3_elsewhere()
        assert found is not None
        return found
    start = (clouds.S3 | clouds.S3_FURTHER)[name]
    server: CloudServer = servers.get(name, start)
    return server


@pytest.fixture
def azure_server(servers: Servers) -> CloudServer:
    """azurite, or what the environment names."""
    found = clouds.azure_elsewhere()
    if found is not None:
        return found
    server: CloudServer = servers.get("azurite", clouds.azurite)
    return server


@pytest.fixture
def gcs_server(servers: Servers) -> CloudServer:
    """Our stand-in for Google Cloud Storage, or what the environment names."""
    found = clouds.gcs_elsewhere()
    if found is not None:
        return found
    server: CloudServer = servers.get("gcs", clouds.gcs)
    return server


@pytest.fixture
def fault_proxy_to() -> Iterator[Any]:
    """Makes proxies in front of servers: ``fault_proxy_to(host, port)``."""
    with ExitStack() as stack:
        yield lambda host, port: stack.enter_context(FaultProxy(host, port))


def names_of(fixture: str, *, all_servers: bool) -> list[str]:
    """The servers on which tests that take a fixture run."""
    if fixture == "http_server":
        return [*http_servers.PLAIN, *(http_servers.FURTHER if all_servers else ())]
    if fixture == "faulty_server":
        return [*faulty_servers.PLAIN, *(faulty_servers.FURTHER if all_servers else ())]
    if clouds.s3_elsewhere() is not None:
        return ["elsewhere"]
    return [*clouds.S3, *(clouds.S3_FURTHER if all_servers else ())]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture in ("faulty_server", "http_server", "s3_server"):
        if fixture in metafunc.fixturenames:
            all_servers = metafunc.config.getoption("--all-servers")
            names = names_of(fixture, all_servers=all_servers)
            metafunc.parametrize(fixture, names, indirect=True)


def _empty(folder: Path) -> None:
    for each in sorted(folder.rglob("*"), reverse=True):
        each.rmdir() if each.is_dir() and not each.is_symlink() else each.unlink()
