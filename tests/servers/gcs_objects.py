"""What our stand-in for Google Cloud Storage keeps, and the rules by which it changes.

Rules as in "Request preconditions", "Resumable uploads" and "Consistency" of Google's
documentation of Cloud Storage: a name has one generation at a time, which never comes back;
conditions are checked in the moment in which an object is replaced.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import google_crc32c

#: Resumable uploads keep whole blocks of this many bytes, but for the last.
BLOCK = 256 * 1024
#: Properties that a writer may set.
SETTABLE = ("contentType", "contentEncoding", "cacheControl", "metadata")


class Refusal(Exception):
    """A request that is not granted."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


def crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


@dataclass
class StoredObject:
    """One generation of one name."""

    bucket: str
    name: str
    data: bytes
    generation: int
    properties: dict[str, Any]
    metageneration: int = 1
    created: float = field(default_factory=time.time)

    @property
    def encoding(self) -> str:
        return str(self.properties.get("contentEncoding", ""))

    @property
    def etag(self) -> str:
        return base64.b64encode(b"%d/%d" % (self.generation, self.metageneration)).decode()

    def resource(self, root: str) -> dict[str, Any]:
        moment = datetime.fromtimestamp(self.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "selfLink": f"{root}/storage/v1/b/{self.bucket}/o/x",
            "name": self.name,
            "bucket": self.bucket,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "size": str(len(self.data)),
            "crc32c": crc32c(self.data),
            "md5Hash": md5(self.data),
            "etag": self.etag,
            "storageClass": "STANDARD",
            "timeCreated": moment,
            "updated": moment,
            **{name: self.properties[name] for name in SETTABLE if name in self.properties},
        }


@dataclass
class Session:
    """A resumable upload."""

    name: str
    properties: dict[str, Any]
    conditions: dict[str, str]
    received: bytearray = field(default_factory=bytearray)
    done: StoredObject | None = None
    cancelled: bool = False


class Bucket:
    """A bucket.

    Settings, which tests change: ``seconds_between_writes`` of one name; ``token`` without which
    nothing is granted; ``requester_pays``; ``cut_upload_after`` so many bytes of the next piece of
    a resumable upload; ``page`` objects at most in a page of a listing.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.objects: dict[str, StoredObject] = {}
        self.sessions: dict[str, Session] = {}
        self.settings: dict[str, Any] = {}
        self._written: dict[str, float] = {}
        self._last = 0

    # -- One object ---------------------------------------------------------------------------

    def get(self, name: str, query: Mapping[str, str]) -> StoredObject:
        """The object for a reader."""
        found = self._existing(name, query)
        self._check(found, query, unchanged=304)
        return found

    def put(
        self, name: str, data: bytes, properties: dict[str, Any], query: Mapping[str, str]
    ) -> StoredObject:
        """Replaces the object."""
        check_name(name)
        self.check_write(name, query)
        for given, found in (("crc32c", crc32c), ("md5Hash", md5)):
            if given in properties and properties[given] != found(data):
                raise Refusal(
                    400, "invalid",
                    f'Provided {given} "{properties[given]}" does not match calculated '
                    f'"{found(data)}".',
                )  # fmt: skip
        self._pace(name)
        self._last = max(self._last + 1, time.time_ns() // 1000)
        made = StoredObject(self.name, name, data, self._last, dict(properties))
        self.objects[name] = made
        return made

    def patch(self, name: str, changes: dict[str, Any], query: Mapping[str, str]) -> StoredObject:
        """Changes properties."""
        found = self._existing(name, query)
        self._check(found, query, unchanged=412)
        self._pace(name)
        found.properties.update({n: changes[n] for n in SETTABLE if n in changes})
        found.metageneration += 1
        return found

    def delete(self, name: str, query: Mapping[str, str]) -> None:
        """Deletes it."""
        self._check(self._existing(name, query), query, unchanged=412)
        self._pace(name)
        del self.objects[name]

    def check_write(self, name: str, query: Mapping[str, str]) -> None:
        """Whether the conditions of a write hold."""
        self._check(self.objects.get(name), query, unchanged=412)

    def _existing(self, name: str, query: Mapping[str, str]) -> StoredObject:
        found = self.objects.get(name)
        if found is None or query.get("generation", str(found.generation)) != str(found.generation):
            raise Refusal(404, "notFound", f"No such object: {self.name}/{name}")
        return found

    def _check(
        self, found: StoredObject | None, query: Mapping[str, str], *, unchanged: int
    ) -> None:
        now = {"Generation": 0 if found is None else found.generation,
               "Metageneration": 0 if found is None else found.metageneration}  # fmt: skip
        for kind, value in now.items():
            for negated in ("", "Not"):
                parameter = f"if{kind}{negated}Match"
                text = query.get(parameter)
                if text is None:
                    continue
                if not text.isdigit():
                    raise Refusal(400, "invalid", f"Invalid long value: {text!r} ({parameter})")
                if (int(text) == value) is bool(negated):
                    raise Refusal(
                        unchanged if negated else 412, "conditionNotMet",
                        "At least one of the pre-conditions you specified did not hold.",
                    )  # fmt: skip

    def _pace(self, name: str) -> None:
        wait, now = self.settings.get("seconds_between_writes", 0.0), time.monotonic()
        if now - self._written.get(name, -wait) < wait:
            raise Refusal(
                429, "rateLimitExceeded",
                f"The object {self.name}/{name} exceeded the rate limit for object mutation "
                "operations (create, update, and delete). Please reduce your request rate.",
            )  # fmt: skip
        self._written[name] = now

    # -- Resumable uploads --------------------------------------------------------------------

    def session(self, upload_id: str) -> Session:
        """A session by its id."""
        found = self.sessions.get(upload_id)
        if found is None:
            raise Refusal(404, "notFound", "No such upload session.")
        if found.cancelled:
            raise Refusal(499, "cancelled", "The upload was cancelled.")
        return found

    def finish(self, session: Session, total: int) -> StoredObject:
        """Makes the object of a session that has all its bytes."""
        data = bytes(session.received[:total])
        session.done = self.put(session.name, data, session.properties, session.conditions)
        session.received.clear()
        return session.done

    # -- Listing ------------------------------------------------------------------------------

    def list(self, query: Mapping[str, str]) -> dict[str, Any]:
        """A page of a listing."""
        most = min(int(query.get("maxResults", 1000)), 1000, self.settings.get("page", 1000))
        if most < 1:
            raise Refusal(400, "invalid", "Invalid maxResults")
        after = base64.b64decode(query["pageToken"]).decode() if query.get("pageToken") else None
        page: dict[str, Any] = {"kind": "storage#objects"}
        count, last = 0, ""
        for entry, found in self._entries(query, after):
            if count == most:
                page["nextPageToken"] = base64.b64encode(last.encode()).decode()
                break
            if found is None:
                page.setdefault("prefixes", []).append(entry)
            else:
                page.setdefault("items", []).append(found)
            count, last = count + 1, entry
        return page

    def _entries(
        self, query: Mapping[str, str], after: str | None
    ) -> Iterator[tuple[str, StoredObject | None]]:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        start, end = query.get("startOffset", "").encode(), query.get("endOffset", "").encode()
        seen = None
        for name in sorted(self.objects, key=str.encode):
            encoded = name.encode()
            if not name.startswith(prefix) or encoded < start or (end and encoded >= end):
                continue
            cut = name.find(delimiter, len(prefix)) if delimiter else -1
            entry = name if cut < 0 else name[: cut + len(delimiter)]
            if entry == seen or (after is not None and entry.encode() <= after.encode()):
                continue
            seen = entry
            yield entry, self.objects[name] if cut < 0 else None


def check_name(name: str) -> None:
    """Whether an object can have this name."""
    size = len(name.encode())
    if not 1 <= size <= 1024 or "\n" in name or "\r" in name or name in (".", ".."):
        raise Refusal(400, "invalid", f"Invalid object name: {size} bytes")
    if name.startswith(".well-known/acme-challenge/"):
        raise Refusal(400, "invalid", "Invalid object name: reserved")
