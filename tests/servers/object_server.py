"""A store of objects in memory that is quicker than its clients, for benchmarks: S3 unchecked.

It speaks just enough of HTTP and S3 for the libraries that are compared, and of Google's and
Azure's for whole reads: whole and ranged GETs, HEAD, PUT with ``If-None-Match: *``; all else is
refused. Signatures are not looked at. Below
``repeated/``, there is an object under any name that ends in a digit, with the content of what was
put as ``repeated/content``: terabytes for nothing.

``python -m tests.servers.object_server PORT``
"""

from __future__ import annotations

import asyncio
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from tests.servers.loop import run
from tests.servers.process import ROOT, ServerProcess, free_port

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RANGE = re.compile(rb"\r\nrange: *bytes=(\d*)-(\d*)", re.IGNORECASE)
_ABSENT = re.compile(rb"\r\nif-none-match: *\*", re.IGNORECASE)
_END = b"\r\n\r\n"


@contextmanager
def objects(folder: Path) -> Iterator[int]:
    """The port of a server that runs meanwhile.

    Args:
        folder: Where it writes what it has to say.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "tests.servers.object_server", str(port)]
    with ServerProcess(command, port, folder, cwd=ROOT):
        yield port


class _Connection(asyncio.Protocol):
    def __init__(self, values: dict[bytes, bytes]) -> None:
        self._values = values
        self._pieces: list[bytes] = []
        self._held = 0
        self._wanted = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._pieces.append(data)
        self._held += len(data)
        while self._held and self._held >= self._wanted:
            whole = b"".join(self._pieces) if len(self._pieces) > 1 else self._pieces[0]
            end = whole.find(_END)
            if end < 0:
                self._pieces, self._wanted = [whole], self._held + 1
                return
            head, end = whole[:end], end + len(_END)
            if head.lower().find(b"expect: 100-continue") >= 0 and self._held == end:
                self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = _LENGTH.search(head)
            size = int(length[1]) if length else 0
            if self._held < end + size:
                self._pieces, self._wanted = [whole], end + size
                return
            self._answer(head, whole[end : end + size])
            rest = whole[end + size :]
            self._pieces = [rest] if rest else []
            self._held, self._wanted = len(rest), 0

    def _answer(self, head: bytes, body: bytes) -> None:
        method, target, _ = head.split(b" ", 2)
        key = target.partition(b"?")[0]
        if method == b"PUT":
            if _ABSENT.search(head) and key in self._values:
                self._say(b"412 Precondition Failed")
                return
            self._values[key] = body
            self._say(b"200 OK", tag=_tag(body))
        elif method in (b"GET", b"HEAD"):
            self._read(method, key, head)
        else:
            self._say(b"501 Not Implemented")

    def _read(self, method: bytes, key: bytes, head: bytes) -> None:
        folder, mark, name = key.partition(b"repeated/")
        if mark and name[-1:].isdigit():
            key = folder + mark + b"content"
        value = self._values.get(key)
        if value is None:
            self._say(b"404 Not Found")
            return
        status, field = b"200 OK", b""
        part = _RANGE.search(head)
        tag = _tag(value)
        if part is not None:
            size = len(value)
            start = int(part[1]) if part[1] else size - int(part[2])
            stop = min(size, int(part[2]) + 1) if part[1] and part[2] else size
            value, status = value[start:stop], b"206 Partial Content"
            field = b"Content-Range: bytes %d-%d/%d\r\n" % (start, stop - 1, size)
        self._say(status, value, field, tag, is_head=method == b"HEAD")

    def _say(
        self,
        status: bytes,
        body: bytes = b"",
        field: bytes = b"",
        tag: bytes = b"",
        *,
        is_head: bool = False,
    ) -> None:
        head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s" % (status, len(body), field)
        if tag:
            head += b'ETag: "%s"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n' % tag
            # What Google calls a version.
            head += b"X-Goog-Generation: %d\r\n" % int(tag[-16:], 16)
        self._write(head + b"\r\n" + (b"" if is_head else body))

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def _tag(value: bytes) -> bytes:
    # Of a part, so that it costs nothing; as long as an MD5.
    return b"%032x" % (zlib.crc32(value[:4096]) << 32 | len(value))


async def _main(port: str) -> None:
    values: dict[bytes, bytes] = {}
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: _Connection(values), "127.0.0.1", int(port), backlog=1024)
    await loop.create_future()


if __name__ == "__main__":
    run(_main(*sys.argv[1:]))
