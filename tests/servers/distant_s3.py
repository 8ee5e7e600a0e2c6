"""S3 as far as repositories need it, in memory and a fixed time away; it counts what it is asked.

Conditional PUTs (``If-None-Match: *``, ``If-Match``), GETs of ranges, HEAD, DELETE, deletes of
many, and ListObjectsV2. Signatures are not looked at. Each request takes effect after half of the
delay, and is answered after all of it.

``GET /-/counts`` gives, at once, what was asked since the last time: see `Counts`.
``GET /-/delay/SECONDS`` changes the delay of what is asked from then on.

``python -m tests.servers.distant_s3 PORT SECONDS``
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import sys
import time
import urllib.request
from bisect import bisect_left, insort
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from tests.servers.loop import run
from tests.servers.process import ROOT, ServerProcess, free_port

_END = b"\r\n\r\n"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_DELETED = re.compile(r"<Key>(.*?)</Key>", re.DOTALL)


@dataclass(frozen=True)
class Counts:
    """What was asked of the server.

    Attributes:
        requests: Number of requests.
        serial: The most of them of which each began when the one before had been answered.
        sent: Bytes of the bodies that were sent to it.
        received: Bytes of the bodies that it gave.
        asked: Each request's method, key and range, by the time of its beginning.
    """

    requests: int
    serial: int
    sent: int
    received: int
    asked: list[str]


@dataclass(frozen=True)
class DistantS3:
    """A running server.

    Attributes:
        port: Of the loopback.
    """

    port: int

    @property
    def endpoint(self) -> str:
        """Its URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def counts(self) -> Counts:
        """What was asked since this was called last."""
        with urllib.request.urlopen(f"{self.endpoint}/-/counts") as answer:
            return Counts(**json.load(answer))

    def delay(self, seconds: float) -> None:
        """Changes the time after which it answers."""
        with urllib.request.urlopen(f"{self.endpoint}/-/delay/{seconds}"):
            pass


@contextmanager
def distant_s3(folder: Path, seconds: float) -> Iterator[DistantS3]:
    """A server that runs meanwhile.

    Args:
        folder: Where it writes what it has to say.
        seconds: After which it answers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "tests.servers.distant_s3", str(port), str(seconds)]
    with ServerProcess(command, port, folder, cwd=ROOT):
        yield DistantS3(port)


@dataclass(frozen=True)
class _Request:
    method: str
    bucket: str
    key: str
    query: dict[str, list[str]]
    head: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class _Answer:
    status: str
    body: bytes | memoryview = b""
    fields: str = ""
    #: Where it is not that of the body.
    length: int | None = None


class _Objects:
    """The objects, and what was asked of them."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self._values: dict[tuple[str, str], bytes] = {}
        self._tags: dict[tuple[str, str], str] = {}
        self._times: dict[tuple[str, str], float] = {}
        self._keys: dict[str, list[str]] = {}
        self._asked: list[tuple[float, float, str, int, int]] = []

    def note(self, began: float, ended: float, request: _Request, answer: _Answer) -> None:
        part = request.head.get("range", "").replace("bytes=", " ")
        what = f"{request.method} {request.key}{part} {answer.status[:3]}"
        self._asked.append((began, ended, what, len(request.body), len(answer.body)))

    def counts(self) -> bytes:
        asked, self._asked = self._asked, []
        serial, free = 0, float("-inf")
        for began, ended, *_ in sorted(asked, key=lambda each: each[1]):
            if began >= free:
                serial, free = serial + 1, ended
        counts = Counts(
            len(asked),
            serial,
            sum(each[3] for each in asked),
            sum(each[4] for each in asked),
            [each[2] for each in sorted(asked)],
        )
        return json.dumps(counts.__dict__).encode()

    def answer(self, request: _Request) -> _Answer:
        name = (request.bucket, request.key)
        if request.method == "PUT":
            return self._put(name, request)
        if request.method == "DELETE":
            self._remove(name)
            return _Answer("204 No Content")
        if request.method == "POST" and "delete" in request.query:
            for key in _DELETED.findall(request.body.decode()):
                self._remove((request.bucket, key))
            return _Answer("200 OK", b"<DeleteResult></DeleteResult>")
        if request.method == "GET" and not request.key:
            return self._list(request)
        if request.method in ("GET", "HEAD"):
            return self._get(name, request)
        return _Answer("501 Not Implemented", _error("NotImplemented"))

    def _put(self, name: tuple[str, str], request: _Request) -> _Answer:
        there = self._values.get(name)
        # Some leave out the quotes.
        wanted = request.head.get("if-match", "").strip('"')
        failed = request.head.get("if-none-match") == "*" and there is not None
        if failed or (wanted and self._tags.get(name) != f'"{wanted}"'):
            return _Answer("412 Precondition Failed", _error("PreconditionFailed"))
        body = request.body
        if "aws-chunked" in request.head.get("content-encoding", ""):
            body = _unchunked(body)
        if there is None:
            insort(self._keys.setdefault(name[0], []), name[1])
        self._values[name] = body
        self._times[name] = time.time()
        tag = self._tags[name] = _tag(body)
        return _Answer("200 OK", fields=f"ETag: {tag}\r\n")

    def _remove(self, name: tuple[str, str]) -> None:
        if self._values.pop(name, None) is not None:
            del self._tags[name]
            keys = self._keys[name[0]]
            del keys[bisect_left(keys, name[1])]

    def _get(self, name: tuple[str, str], request: _Request) -> _Answer:
        value = self._values.get(name)
        if value is None:
            return _Answer("404 Not Found", _error("NoSuchKey"))
        tag = self._tags[name]
        fields = f"ETag: {tag}\r\nLast-Modified: {formatdate(self._times[name], usegmt=True)}\r\n"
        if request.head.get("if-none-match") == tag:
            return _Answer("304 Not Modified", fields=fields)
        if request.head.get("if-match", tag) != tag:
            return _Answer("412 Precondition Failed", _error("PreconditionFailed"))
        status, part = "200 OK", _RANGE.fullmatch(request.head.get("range", ""))
        shown = memoryview(value)
        if part is not None:
            size = len(value)
            start = int(part[1]) if part[1] else max(0, size - int(part[2]))
            stop = min(size, int(part[2]) + 1) if part[1] and part[2] else size
            if start >= size:
                return _Answer("416 Range Not Satisfiable", _error("InvalidRange"))
            status, shown = "206 Partial Content", shown[start:stop]
            fields += f"Content-Range: bytes {start}-{stop - 1}/{size}\r\n"
        if request.method == "HEAD":
            return _Answer(status, b"", fields, len(shown))
        return _Answer(status, shown, fields)

    def _list(self, request: _Request) -> _Answer:
        def given(name: str, default: str = "") -> str:
            return request.query.get(name, [default])[0]

        prefix, delimiter = given("prefix"), given("delimiter")
        after = given("continuation-token") or given("start-after")
        keys = self._keys.get(request.bucket, [])
        at = max(bisect_left(keys, prefix), bisect_left(keys, after + "\0") if after else 0)
        most, found, token = int(given("max-keys", "1000")), dict[str, str](), ""
        while at < len(keys) and keys[at].startswith(prefix):
            key = keys[at]
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            shown = key if cut < 0 else key[: cut + len(delimiter)]
            if shown not in found and len(found) == most:
                break
            token = key
            at += 1
            if cut >= 0:
                found[shown] = f"<CommonPrefixes><Prefix>{escape(shown)}</Prefix></CommonPrefixes>"
                continue
            size = len(self._values[request.bucket, key])
            found[key] = (
                f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size>"
                f"<LastModified>{_iso(self._times[request.bucket, key])}</LastModified>"
                f"<ETag>{escape(self._tags[request.bucket, key])}</ETag></Contents>"
            )
        more = at < len(keys) and keys[at].startswith(prefix)
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{request.bucket}</Name><Prefix>{escape(prefix)}</Prefix>"
            f"<KeyCount>{len(found)}</KeyCount><MaxKeys>{most}</MaxKeys>"
            f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>"
            + (f"<NextContinuationToken>{escape(token)}</NextContinuationToken>" if more else "")
            + "".join(found.values())
            + "</ListBucketResult>"
        )
        return _Answer("200 OK", body.encode(), "Content-Type: application/xml\r\n")


def _tag(value: bytes) -> str:
    return f'"{hashlib.md5(value, usedforsecurity=False).hexdigest()}"'


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()


def _unchunked(body: bytes) -> bytes:
    """A body in the encoding in which the AWS libraries send checksums behind it."""
    pieces: list[bytes] = []
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end].partition(b";")[0], 16)
        if not size:
            return b"".join(pieces)
        pieces.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2


class _Connection(asyncio.Protocol):
    def __init__(self, objects: _Objects) -> None:
        self._objects = objects
        self._held = bytearray()
        self._wanted = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        held = self._held
        held += data
        while held and len(held) >= self._wanted:
            end = held.find(_END)
            if end < 0:
                return
            first, *lines = held[:end].decode().split("\r\n")
            head = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines)
            }
            end += len(_END)
            size = int(head.get("content-length", "0"))
            if head.get("expect") == "100-continue" and len(held) == end and size:
                self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if len(held) < end + size:
                self._wanted = end + size
                return
            self._take(first, head, bytes(held[end : end + size]))
            del held[: end + size]
            self._wanted = 0

    def _take(self, first: str, head: dict[str, str], body: bytes) -> None:
        method, target, _ = first.split(" ")
        if target.startswith("/-/delay/"):
            self._objects.delay = float(target.rpartition("/")[2])
            self._say(method, _Answer("200 OK"))
            return
        if target == "/-/counts":
            self._say(method, _Answer("200 OK", self._objects.counts()))
            return
        path, _, query = target.partition("?")
        bucket, _, key = path[1:].partition("/")
        found = parse_qs(query, keep_blank_values=True)
        request = _Request(method, bucket, unquote(key), found, head, body)
        loop = asyncio.get_running_loop()
        delay = self._objects.delay
        loop.call_later(delay / 2, self._act, request, loop.time(), delay)

    def _act(self, request: _Request, began: float, delay: float) -> None:
        answer = self._objects.answer(request)
        loop = asyncio.get_running_loop()

        def done() -> None:
            self._objects.note(began, loop.time(), request, answer)
            self._say(request.method, answer)

        loop.call_at(began + delay, done)

    def _say(self, method: str, answer: _Answer) -> None:
        length = len(answer.body) if answer.length is None else answer.length
        date = formatdate(usegmt=True)
        head = (
            f"HTTP/1.1 {answer.status}\r\nContent-Length: {length}\r\nDate: {date}\r\n"
            f"{answer.fields}\r\n"
        )
        self._write(head.encode(), b"" if method == "HEAD" else answer.body)

    def _write(self, *pieces: bytes | memoryview) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(pieces)


async def _main(port: str, seconds: str) -> None:
    objects = _Objects(float(seconds))
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: _Connection(objects), "127.0.0.1", int(port), backlog=1024)
    await loop.create_future()


if __name__ == "__main__":
    run(_main(*sys.argv[1:]))
