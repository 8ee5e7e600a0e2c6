"""HTTP servers that serve a folder: how each is started, and what it can do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.process import ServerProcess, free_port, installed


@dataclass(frozen=True)
class HttpServer:
    """A running server.

    Attributes:
        name: Which.
        host: Its address.
        port: Its port.
        folder: What it serves.
        lists: Whether it lists folders as JSON.
        has_etags: Whether it tells versions apart that were written within the same second.
        process: Its process.
    """

    name: str
    host: str
    port: int
    folder: Path
    lists: bool
    has_etags: bool
    process: ServerProcess

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/"


@contextmanager
def caddy(folder: Path) -> Iterator[HttpServer]:
    served, own, port = _folders(folder)
    command = [
        installed("web", "bin", "caddy"),
        *("file-server", "--listen", f"127.0.0.1:{port}", "--root", served, "--browse"),
    ]
    with ServerProcess(command, port, own) as process:
        yield HttpServer("caddy", "127.0.0.1", port, served, True, True, process)


@contextmanager
def rclone(folder: Path) -> Iterator[HttpServer]:
    served, own, port = _folders(folder)
    command = [
        installed("web", "bin", "rclone"),
        *("--config", "/dev/null", "serve", "http", "--addr", f"127.0.0.1:{port}"),
        # It would show the state of the folder up to five minutes ago.
        *("--dir-cache-time", "0", "--poll-interval", "0", served),
    ]
    with ServerProcess(command, port, own) as process:
        yield HttpServer("rclone", "127.0.0.1", port, served, False, False, process)


_NGINX = """
{user}daemon off; worker_processes 1; pid {own}/pid; error_log {own}/error;
events {{ worker_connections 1024; }}
http {{
    access_log off; default_type application/octet-stream; sendfile on; keepalive_requests 1000000;
    client_body_temp_path {own}/a; proxy_temp_path {own}/b; fastcgi_temp_path {own}/c;
    uwsgi_temp_path {own}/d; scgi_temp_path {own}/e;
    server {{
        listen 127.0.0.1:{port};
        location / {{ root {served}; autoindex on; autoindex_format json; }}
    }}
}}
"""


@contextmanager
def nginx(folder: Path) -> Iterator[HttpServer]:
    served, own, port = _folders(folder)
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
    if found is None:
        raise RuntimeError("nginx is not installed: run `make test-servers`, which installs it")
    config = own / "nginx.conf"
    # Root's workers would be somebody who may not read the folder.
    user = "user root; " if os.geteuid() == 0 else ""
    config.write_text(_NGINX.format(own=own, port=port, served=served, user=user))
    own.chmod(0o755)
    with ServerProcess([found, "-e", own / "error", "-c", config], port, own) as process:
        yield HttpServer("nginx", "127.0.0.1", port, served, True, False, process)


def _folders(folder: Path) -> tuple[Path, Path, int]:
    served, own = folder / "served", folder / "own"
    served.mkdir()
    own.mkdir()
    return served, own, free_port()


#: Those that `make test` has, and those that need Debian's packages.
PLAIN: dict[str, Callable[[Path], object]] = {"caddy": caddy, "rclone": rclone}
FURTHER: dict[str, Callable[[Path], object]] = {"nginx": nginx}
