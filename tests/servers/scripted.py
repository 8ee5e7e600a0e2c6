"""An HTTP server that says what a test tells it to, to the letter."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Asked:
    """A request: method, target, fields (names in lower case), body."""

    method: str
    target: str
    fields: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Said:
    """An answer; `length` False leaves ``Content-Length`` out and closes after the body."""

    status: int = 200
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    length: bool = True


class ScriptedServer:
    """Serves on the loopback with threads; a context manager.

    Args:
        script: Gives the answer to each request.
        tls: With which certificate, if any.
    """

    def __init__(self, script: Callable[[Asked], Said], tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self._server = _Threading(("127.0.0.1", 0), self._handler())
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self.scheme = "http" if tls is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body in one segment: in two, the second waits for the other side's
            # delayed acknowledgement.
            wbufsize = 1 << 16

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fields = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, fields, body)
                owner.asked.append(asked)
                said = owner.script(asked)
                self.send_response_only(said.status)
                for name, value in said.fields:
                    self.send_header(name, value)
                if said.length:
                    self.send_header("Content-Length", str(len(said.body)))
                else:
                    self.close_connection = True
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(said.body)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


class _Threading(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients that go away in the middle are the point of some tests.
        pass
