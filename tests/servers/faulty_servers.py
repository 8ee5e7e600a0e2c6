"""Web servers that themselves fail a number of times, before they answer as they should.

Below ``/f/FAULT/TIMES/NAME/`` lies the served folder; the first so many requests of that name meet
the fault. ``/count/NAME`` says how many there were. ``scripted`` runs in this process; ``nginx``
does it in Lua, with the answers and ends of connections of a real server.
"""

from __future__ import annotations

import os
import shutil
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.process import ServerProcess, free_port
from tests.servers.scripted import Asked, Said, ScriptedServer

#: What can go wrong, for a while: pushed back, an error, no answer, a cut answer.
FAULTS = ("busy", "many", "error", "closed", "cut")


@dataclass(frozen=True)
class FaultyServer:
    """A running server.

    Attributes:
        name: Which.
        root: Its URL, without a slash at the end.
        folder: What it serves.
    """

    name: str
    root: str
    folder: Path

    def url(self, fault: str, times: int, name: str) -> str:
        """Where the folder is to be read with a fault so many times."""
        return f"{self.root}/f/{fault}/{times}/{name}/"

    def count(self, name: str) -> int:
        """Requests that were made of that name."""
        with urllib.request.urlopen(f"{self.root}/count/{name}", timeout=60) as answer:
            return int(answer.read())


@contextmanager
def scripted(folder: Path) -> Iterator[FaultyServer]:
    counts: dict[str, int] = {}
    lock = threading.Lock()

    def script(asked: Asked) -> Said:
        _, kind, *rest = asked.target.split("/")
        if kind == "count":
            return Said(200, body=str(counts.get(rest[0], 0)).encode())
        fault, times, name, key = rest
        with lock:
            counts[name] = counts.get(name, 0) + 1
            fails = counts[name] <= int(times)
        value = (folder / key).read_bytes()
        if not fails:
            return _part(value, asked.fields.get("range"))
        if fault == "closed":
            raise ConnectionAbortedError
        if fault == "cut":
            return Said(200, (("Content-Length", str(len(value))),), value[:5], length=False)
        return Said({"busy": 503, "many": 429, "error": 500}[fault], (("Retry-After", "0"),))

    with ScriptedServer(script) as server:
        yield FaultyServer("scripted", server.url, folder)


def _part(value: bytes, said: str | None) -> Said:
    tag = ("ETag", f'"{len(value)}"')
    if said is None:
        return Said(200, (tag,), value)
    first, _, last = said.removeprefix("bytes=").partition("-")
    part = value[int(first) : int(last) + 1]
    return Said(206, (tag, ("Content-Range", f"bytes {first}-{last}/{len(value)}")), part)


_NGINX = """
load_module /usr/lib/nginx/modules/ndk_http_module.so;
load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;
{user}daemon off; worker_processes 1; pid {own}/pid; error_log {own}/error;
events {{ worker_connections 1024; }}
http {{
    access_log off; default_type application/octet-stream; lua_shared_dict counts 1m;
    client_body_temp_path {own}/a; proxy_temp_path {own}/b; fastcgi_temp_path {own}/c;
    uwsgi_temp_path {own}/d; scgi_temp_path {own}/e;
    server {{
        listen 127.0.0.1:{port};
        location /count/ {{
            content_by_lua_block {{
                ngx.print(ngx.shared.counts:get(ngx.var.uri:sub(8)) or 0)
            }}
        }}
        location /served/ {{ internal; alias {served}/; }}
        location ~ ^/f/([a-z]+)/([0-9]+)/([a-z0-9-]+)/(.+)$ {{
            content_by_lua_block {{
                local fault, times, name, key = ngx.var[1], ngx.var[2], ngx.var[3], ngx.var[4]
                if ngx.shared.counts:incr(name, 1, 0) > tonumber(times) then
                    return ngx.exec("/served/" .. key)
                end
                if fault == "closed" then
                    return ngx.exit(444)
                elseif fault == "cut" then
                    local file = io.open("{served}/" .. key, "rb")
                    local value = file:read("*a")
                    file:close()
                    ngx.header.content_length = #value
                    ngx.print(value:sub(1, 5))
                    ngx.flush(true)
                    return ngx.exit(ngx.ERROR)
                end
                ngx.header["Retry-After"] = "0"
                ngx.exit(({{busy = 503, many = 429, error = 500}})[fault])
            }}
        }}
    }}
}}
"""


@contextmanager
def nginx(folder: Path) -> Iterator[FaultyServer]:
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
    if found is None:
        raise RuntimeError("nginx is not installed: run `make test-servers`, which installs it")
    own, served, port = folder / "own", folder / "served", free_port()
    own.mkdir()
    served.mkdir()
    # Root's workers would be somebody who may not read the folder.
    user = "user root; " if os.geteuid() == 0 else ""
    config = own / "nginx.conf"
    config.write_text(_NGINX.format(own=own, port=port, served=served, user=user))
    own.chmod(0o755)
    with ServerProcess([found, "-e", own / "error", "-c", config], port, own):
        yield FaultyServer("nginx", f"http://127.0.0.1:{port}", served)


PLAIN: dict[str, Callable[[Path], object]] = {"scripted": scripted}
FURTHER: dict[str, Callable[[Path], object]] = {"nginx": nginx}
