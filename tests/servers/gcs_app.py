"""Our stand-in for Google Cloud Storage: the JSON API of objects, and the XML API, as a program.

``python gcs_app.py PORT`` serves ``http://127.0.0.1:PORT``. It is ours: what it does was read in
Google's documentation of the JSON API, and google-cloud-storage, which knows the real one, passes
``gcs_check.py`` against it. One thread, no wait between a condition and what rests on it.

``POST /control/BUCKET`` with JSON changes the settings of a bucket (`gcs_objects.Bucket`), and
makes it where there is none; ``GET`` tells what is going on there.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import secrets
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from aiohttp import web

from tests.servers import gcs_xml
from tests.servers.gcs_objects import BLOCK, Bucket, Refusal, Session, StoredObject, check_name

_OBJECT = re.compile(r"(?:/download)?/storage/v1/b/([^/]+)/o/([^/]+)")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


class App:
    """The server."""

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, text = request.raw_path.partition("?")
        query = dict(parse_qsl(text, keep_blank_values=True))
        bucket, _, name = path[1:].partition("/")
        if unquoted(bucket) in self.buckets:
            try:
                return await self._in_xml(request, unquoted(bucket), unquoted(name), query)
            except Refusal as refusal:
                return gcs_xml.refused(refusal)
        try:
            return await self._routed(request, path, query)
        except Refusal as refusal:
            # Media is refused in words, all else in JSON.
            plain = query.get("alt") == "media" or query.get("uploadType") == "resumable"
            return _refused(refusal, plain=plain and refusal.status != 401)

    async def _routed(
        self, request: web.BaseRequest, path: str, query: dict[str, str]
    ) -> web.StreamResponse:
        parts = path.split("/")[1:]
        if parts[0] == "control":
            return await self._control(request, parts[1])
        if parts[0] == "upload":
            parts = parts[1:]
        if parts[0] == "download":
            parts = parts[1:]
        if parts[:3] != ["storage", "v1", "b"]:
            raise Refusal(404, "notFound", f"Not Found: {path}")
        if len(parts) == 3:
            return await self._buckets(request)
        bucket = self._bucket(request, unquoted(parts[3]), query)
        if len(parts) == 4:
            return self._one_bucket(request, bucket)
        if parts[4] == "o" and len(parts) == 5:
            if path.startswith("/upload/"):
                return await self._upload(request, bucket, query)
            if request.method == "GET":
                return _listed(request, bucket, query)
        if parts[4] == "o" and len(parts) == 6:
            return await self._one_object(request, bucket, unquoted(parts[5]), query)
        raise Refusal(404, "notFound", f"Not Found: {request.method} {path}")

    async def _in_xml(
        self, request: web.BaseRequest, place: str, name: str, query: dict[str, str]
    ) -> web.Response:
        bucket = self._bucket(request, place, query)
        given = gcs_xml.conditions(request.headers, query)
        if not name and request.method == "GET":
            return gcs_xml.listed(bucket, query)
        if name and request.method in ("GET", "HEAD"):
            found = bucket.get(name, given)
            gcs_xml.check_tags(request.headers, found)
            answer = media(request, found)
            answer.headers.update(gcs_xml.described(found))
            return answer
        if name and request.method == "PUT":
            kind = {"contentType": request.headers.get("Content-Type", "")}
            made = bucket.put(name, await body_of(request), kind, given)
            return web.Response(headers=gcs_xml.described(made))
        if name and request.method == "DELETE":
            bucket.delete(name, given)
            return web.Response(status=204)
        raise Refusal(405, "MethodNotAllowed", "Method Not Allowed")

    # -- Buckets ------------------------------------------------------------------------------

    async def _control(self, request: web.BaseRequest, name: str) -> web.Response:
        bucket = self.buckets.setdefault(name, Bucket(name))
        if request.method == "POST":
            bucket.settings.update(json.loads(await body_of(request)))
        under_way = [s for s in bucket.sessions.values() if s.done is None and not s.cancelled]
        return web.json_response({"uploads": len(under_way), "sessions": len(bucket.sessions)})

    async def _buckets(self, request: web.BaseRequest) -> web.Response:
        if request.method == "GET":
            items = [{"kind": "storage#bucket", "name": name} for name in self.buckets]
            return web.json_response({"kind": "storage#buckets", "items": items})
        name = json.loads(await body_of(request))["name"]
        if name in self.buckets:
            raise Refusal(409, "conflict", "Your previous request to create the bucket succeeded.")
        self.buckets[name] = Bucket(name)
        return web.json_response({"kind": "storage#bucket", "id": name, "name": name})

    def _bucket(self, request: web.BaseRequest, name: str, query: Mapping[str, str]) -> Bucket:
        bucket = self.buckets.get(name)
        if bucket is None:
            raise Refusal(404, "notFound", "The specified bucket does not exist.")
        token = bucket.settings.get("token")
        # The id of an upload is as good as a token.
        if token is not None and "upload_id" not in query:
            given = request.headers.get("Authorization")
            if given is None:
                raise Refusal(401, "required", "Anonymous caller does not have storage access.")
            if given != f"Bearer {token}":
                raise Refusal(401, "authError", "Invalid Credentials")
        if bucket.settings.get("requester_pays") and not query.get("userProject"):
            raise Refusal(
                400, "required", "Bucket is a requester pays bucket but no user project provided."
            )
        return bucket

    def _one_bucket(self, request: web.BaseRequest, bucket: Bucket) -> web.Response:
        if request.method == "DELETE":
            if bucket.objects:
                raise Refusal(409, "conflict", "The bucket you tried to delete is not empty.")
            del self.buckets[bucket.name]
            return web.Response(status=204)
        found = {"kind": "storage#bucket", "id": bucket.name, "name": bucket.name}
        return web.json_response(found)

    # -- Objects ------------------------------------------------------------------------------

    async def _one_object(
        self, request: web.BaseRequest, bucket: Bucket, name: str, query: dict[str, str]
    ) -> web.Response:
        if request.method == "GET":
            found = bucket.get(name, query)
            if query.get("alt") == "media":
                return media(request, found)
            return _resource(request, found, query)
        if request.method == "DELETE":
            bucket.delete(name, query)
            return web.Response(status=204)
        if request.method == "PATCH":
            changes = json.loads(await body_of(request) or b"{}")
            return _resource(request, bucket.patch(name, changes, query), query)
        raise Refusal(405, "methodNotAllowed", "Method Not Allowed")

    async def _upload(
        self, request: web.BaseRequest, bucket: Bucket, query: dict[str, str]
    ) -> web.StreamResponse:
        if "upload_id" in query:
            return await self._resumed(request, bucket, query)
        kind = query.get("uploadType")
        if request.method != "POST" or kind not in ("media", "multipart", "resumable"):
            raise Refusal(400, "invalid", "Invalid uploadType")
        properties: dict[str, Any]
        body, properties, data = await body_of(request), {}, b""
        if kind == "media":
            data = body
            properties["contentType"] = request.headers.get("Content-Type", "")
        elif kind == "multipart":
            properties, data = parts_of(request.headers.get("Content-Type", ""), body)
        elif body:
            properties = json.loads(body)
        name = query.get("name") or properties.get("name", "")
        check_name(name)
        if kind == "resumable":
            return self._begun(request, bucket, name, properties, query)
        return _resource(request, bucket.put(name, data, properties, query), query)

    def _begun(
        self,
        request: web.BaseRequest,
        bucket: Bucket,
        name: str,
        properties: dict[str, Any],
        query: dict[str, str],
    ) -> web.Response:
        bucket.check_write(name, query)
        upload_id = secrets.token_urlsafe(24)
        bucket.sessions[upload_id] = Session(name, properties, query)
        place = f"{_root(request)}/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable"
        fields = {"Location": f"{place}&upload_id={upload_id}", "X-GUploader-UploadID": upload_id}
        return web.Response(headers=fields)

    async def _resumed(
        self, request: web.BaseRequest, bucket: Bucket, query: dict[str, str]
    ) -> web.Response:
        session = bucket.session(query["upload_id"])
        if request.method == "DELETE":
            session.cancelled = session.done is None
            return web.Response(status=499)
        if request.method != "PUT":
            raise Refusal(405, "methodNotAllowed", "Method Not Allowed")
        total = await self._received(request, bucket, session)
        if session.done is None and total is not None and len(session.received) >= total:
            bucket.finish(session, total)
        if session.done is not None:
            return _resource(request, session.done, {**session.conditions, **query})
        fields = {"X-Http-Status-Code-Override": "308"}
        if session.received:
            fields["Range"] = f"bytes=0-{len(session.received) - 1}"
        return web.Response(status=308, headers=fields)

    async def _received(
        self, request: web.BaseRequest, bucket: Bucket, session: Session
    ) -> int | None:
        """Takes what a piece of an upload brings, as far as it comes; gives the whole size."""
        text = request.headers.get("Content-Range")
        if text is None:
            start, stop = 0, request.content_length or 0
            total: int | None = stop
        else:
            found = _CONTENT_RANGE.fullmatch(text)
            if found is None:
                raise Refusal(400, "invalid", f"Invalid Content-Range: {text}")
            total = None if found[3] == "*" else int(found[3])
            if found[1] is None:
                await body_of(request)
                return total
            start, stop = int(found[1]), int(found[2]) + 1
        if start > len(session.received) and session.done is None:
            raise Refusal(400, "invalid", f"{len(session.received)} bytes were received so far.")
        cut = bucket.settings.pop("cut_upload_after", None)
        position = start
        try:
            while piece := await request.content.readany():
                if cut is not None and position + len(piece) > start + cut:
                    piece = piece[: start + cut - position]
                if session.done is None:
                    new = piece[max(0, len(session.received) - position) :]
                    session.received += new
                position += len(piece)
                if cut is not None and position == start + cut:
                    assert request.transport is not None
                    request.transport.abort()
                    break
        finally:
            # What came stays, in whole blocks.
            complete = total is not None and len(session.received) >= total
            if not complete:
                del session.received[len(session.received) // BLOCK * BLOCK :]
        if cut is None and position != stop:
            raise Refusal(400, "invalid", f"{position - start} bytes came, not {stop - start}.")
        return total


def media(request: web.BaseRequest, found: StoredObject) -> web.Response:
    """The bytes of an object, or a range of them."""
    data, status = found.data, 200
    fields = {
        "Content-Type": str(found.properties.get("contentType") or "application/octet-stream"),
        "ETag": found.etag,
        "X-Goog-Generation": str(found.generation),
        "X-Goog-Metageneration": str(found.metageneration),
        "X-Goog-Hash": "crc32c={crc32c},md5={md5Hash}".format(**found.resource("")),
        "X-Goog-Stored-Content-Encoding": found.encoding or "identity",
        "X-Goog-Stored-Content-Length": str(len(data)),
    }
    accepts = "gzip" in request.headers.get("Accept-Encoding", "")
    if found.encoding == "gzip" and not accepts:
        # Decompressive transcoding, which heeds no range.
        fields["Warning"] = "214 UploadServer gunzipped"
        return web.Response(body=gzip.decompress(data), headers=fields)
    if found.encoding:
        fields["Content-Encoding"] = found.encoding
    asked = _RANGE.fullmatch(request.headers.get("Range", ""))
    if asked is not None and asked[0] != "bytes=-":
        size = len(data)
        first = int(asked[1]) if asked[1] else max(0, size - int(asked[2]))
        last = int(asked[2]) if asked[1] and asked[2] else size - 1
        last = min(last, size - 1)
        if first >= size or last < first:
            return web.Response(
                status=416,
                text="The requested range cannot be satisfied.",
                headers={"Content-Range": f"bytes */{size}"},
            )
        fields["Content-Range"] = f"bytes {first}-{last}/{size}"
        data, status = data[first : last + 1], 206
    return web.Response(status=status, body=data, headers=fields)


def parts_of(content_type: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    """Properties and bytes of an object from ``multipart/related``.

    Its lines end with CR LF, or all with LF alone: Google takes both, and gcsfs sends the latter.
    """
    found = re.search(r'boundary="?([^";]+)"?', content_type)
    if found is None or not content_type.startswith("multipart/related"):
        raise Refusal(400, "invalid", "multipart/related with a boundary is expected")
    mark = b"--" + found[1].encode()
    line = b"\n" if body.startswith(mark + b"\n") else b"\r\n"
    end = body.rfind(line + mark + b"--")
    if not body.startswith(mark + line) or end < 0:
        raise Refusal(400, "badContent", "Malformed multipart body.")
    first = body.index(line * 2) + 2 * len(line)
    second = body.index(line + mark + line, first)
    data = body.index(line * 2, second + len(line)) + 2 * len(line)
    properties = json.loads(body[first:second])
    kind = re.search(rb"content-type:\s*([^\r\n]+)", body[second:data], re.IGNORECASE)
    if kind is not None:
        properties.setdefault("contentType", kind[1].decode())
    return properties, body[data:end]


async def body_of(request: web.BaseRequest) -> bytes:
    pieces = []
    while piece := await request.content.readany():
        pieces.append(piece)
    return b"".join(pieces)


def unquoted(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise Refusal(400, "invalid", "The name is not UTF-8.") from None


def _root(request: web.BaseRequest) -> str:
    return f"http://{request.headers.get('Host', '')}"


def _resource(
    request: web.BaseRequest, found: StoredObject, query: Mapping[str, str]
) -> web.Response:
    return web.json_response(selected(found.resource(_root(request)), query.get("fields")))


def _listed(request: web.BaseRequest, bucket: Bucket, query: Mapping[str, str]) -> web.Response:
    page = bucket.list(query)
    if "items" in page:
        page["items"] = [found.resource(_root(request)) for found in page["items"]]
    return web.json_response(selected(page, query.get("fields")))


def _refused(refusal: Refusal, *, plain: bool) -> web.Response:
    if refusal.status == 304:
        return web.Response(status=304)
    if plain:
        # Google says that it is HTML.
        return web.Response(status=refusal.status, text=refusal.message, content_type="text/html")
    item = {"message": refusal.message, "domain": "global", "reason": refusal.reason}
    error = {"code": refusal.status, "message": refusal.message, "errors": [item]}
    return web.json_response({"error": error}, status=refusal.status)


def selected(found: dict[str, Any], fields: str | None) -> dict[str, Any]:
    """The part of a resource that ``fields`` names: ``a,b(c,d)``."""
    if not fields or fields == "*":
        return found
    kept: dict[str, Any] = {}
    for name, inner in re.findall(r"(\w+)(?:\(([^()]*)\))?", fields):
        if name in found:
            value = found[name]
            kept[name] = [selected(each, inner) for each in value] if inner else value
    return kept


async def serve(port: int) -> None:
    server = web.Server(App().handle, access_log=None)
    runner = web.ServerRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
