"""A web server on the loopback that serves a folder, with and without TLS: nginx, else Caddy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.servers.process import ServerProcess, free_port, installed

_NGINX = """
{user}daemon off; worker_processes 1; pid {own}/pid; error_log {own}/error;
events {{ worker_connections 4096; }}
http {{
    access_log off; default_type application/octet-stream; sendfile on;
    keepalive_requests 100000000; open_file_cache max=20000;
    client_body_temp_path {own}/a; proxy_temp_path {own}/b; fastcgi_temp_path {own}/c;
    uwsgi_temp_path {own}/d; scgi_temp_path {own}/e;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{secure_port} ssl;
        ssl_certificate {own}/certificate; ssl_certificate_key {own}/key;
        location / {{ root {served}; }}
    }}
}}
"""
_CADDY = """{{
    admin off
    auto_https off
}}
http://127.0.0.1:{port} {{
    bind 127.0.0.1
    root * {served}
    file_server
}}
https://127.0.0.1:{secure_port} {{
    bind 127.0.0.1
    tls {own}/certificate {own}/key
    root * {served}
    file_server
}}
"""


@dataclass(frozen=True)
class WebServer:
    """A running server.

    Attributes:
        name: ``"nginx"`` or ``"Caddy"``.
        url: Of the folder, with a slash at the end.
        secure_url: The same by https.
        authority: File of the certificate that its own is signed by.
    """

    name: str
    url: str
    secure_url: str
    authority: Path


@contextmanager
def serving(served: Path, own: Path) -> Iterator[WebServer]:
    """Serves a folder meanwhile.

    Args:
        served: The folder.
        own: A folder for what the server writes.
    """
    own.mkdir(parents=True, exist_ok=True)
    own.chmod(0o755)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(own / "authority"))
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(own / "key"))
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(str(own / "certificate"), append=True)
    port, secure_port = free_port(), free_port()
    # Workers of root's would be somebody who may not read the folder.
    user = "user root; " if os.geteuid() == 0 else ""
    places = {"own": own, "port": port, "secure_port": secure_port, "served": served, "user": user}
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
    command: list[str | Path]
    if nginx is not None:
        (own / "configuration").write_text(_NGINX.format(**places))
        command = [nginx, "-e", own / "error", "-c", own / "configuration"]
    else:
        (own / "configuration").write_text(_CADDY.format(**places))
        caddy = installed("web", "bin", "caddy")
        command = [caddy, "run", "--adapter", "caddyfile", "--config", own / "configuration"]
    with ServerProcess(command, port, own):
        yield WebServer(
            "nginx" if nginx is not None else "Caddy",
            f"http://127.0.0.1:{port}/",
            f"https://127.0.0.1:{secure_port}/",
            own / "authority",
        )
