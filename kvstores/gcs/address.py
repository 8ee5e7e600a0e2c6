"""Which URLs a bucket and its objects have, and the members of a spec. Pure.

Source: "Request endpoints" and "Object naming" in Google's documentation of Cloud Storage::

    object  = root "/storage/v1/b/" bucket "/o/" name     ; name with all but RFC 3986's unreserved
    listing = root "/storage/v1/b/" bucket "/o"           ; characters percent-encoded
    upload  = root "/upload/storage/v1/b/" bucket "/o"
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from asynctensor.errors import InvalidArgument
from asynctensor.kvstores._http.bucket_url import read_bucket_url, write_bucket_url
from asynctensor.kvstores._http.query import Pairs, encoded_key, encoded_query
from asynctensor.pipeline_url import UrlComponent
from asynctensor.schema.json_value import dump, in_member, string

_GOOGLE: Final = "https://storage.googleapis.com"
#: What parts of names of buckets, which dots separate, consist of.
_PART: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_LONGEST_BUCKET: Final = 222
#: Bytes of a key (Google's limit).
MOST_KEY: Final = 1024
_RESERVED: Final = ".well-known/acme-challenge/"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a bucket is.

    Attributes:
        bucket: Its name.
        endpoint: The URL of the service, without a slash at the end, as a spec says it; None:
            Google's.
        emulator: Where the environment says that it is, if no spec does.
    """

    bucket: str
    endpoint: str | None = None
    emulator: str | None = None

    @property
    def root(self) -> str:
        """The URL of the service."""
        return self.endpoint or self.emulator or _GOOGLE

    @property
    def is_secret(self) -> bool:
        """Whether nobody on the way sees what is said, a token for example."""
        return self.root.startswith("https:")

    def object_url(self, key: str, query: Pairs = ()) -> str:
        """The URL of an object.

        Raises:
            InvalidArgument: No object can have this key.
        """
        return _with_query(f"{self._objects}/{encoded_key(checked_key(key), safe='')}", query)

    def list_url(self, query: Pairs) -> str:
        """The URL of the listing of the bucket."""
        return _with_query(self._objects, query)

    def upload_url(self, query: Pairs) -> str:
        """The URL to which objects are sent."""
        return _with_query(f"{self.root}/upload/storage/v1/b/{self.bucket}/o", query)

    @property
    def _objects(self) -> str:
        return f"{self.root}/storage/v1/b/{self.bucket}/o"

    def __str__(self) -> str:
        if self.root == _GOOGLE:
            return f"gs://{self.bucket}"
        return f"{self.root}/{self.bucket}"


def _with_query(url: str, query: Pairs) -> str:
    return f"{url}?{encoded_query(query)}" if query else url


def checked_key(key: str) -> str:
    """`key` itself.

    Raises:
        InvalidArgument: No object can have this key.
    """
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidArgument(f"key {key!r} is no Unicode text", key=key) from None
    if not 1 <= size <= MOST_KEY:
        raise InvalidArgument(
            f"a key has 1 to {MOST_KEY} bytes in Google Cloud Storage, this one has {size}", key=key
        )
    if key in (".", "..") or key.startswith(_RESERVED) or "\n" in key or "\r" in key:
        raise InvalidArgument(f"Google Cloud Storage has no object named {key!r}", key=key)
    return key


def check_members(options: dict[str, Any], form: object) -> dict[str, Any]:
    """The members of a spec, checked.

    Raises:
        InvalidArgument: One is wrong; the message gives its path.
    """
    with in_member("bucket"):
        if "bucket" not in options:
            raise InvalidArgument("Expected string, but member is missing")
        check_bucket(string(options["bucket"]))
    with in_member("endpoint"):
        string(options.get("endpoint", ""))
    # What says nothing is left out.
    return {name: value for name, value in options.items() if value != ""}


def check_bucket(name: str) -> None:
    """Checks the name of a bucket.

    Raises:
        InvalidArgument: No bucket has such a name.
    """
    good = 3 <= len(name) <= _LONGEST_BUCKET and name[0] != "_" and name[-1] != "_"
    if not good or not all(_PART.fullmatch(part) for part in name.split(".")):
        raise InvalidArgument(
            f"Invalid GCS bucket name: {dump(name)}; expected 3 to {_LONGEST_BUCKET} lower-case "
            "letters, digits, hyphens, underscores and dots"
        )


def read_url(component: UrlComponent) -> tuple[dict[str, Any], str]:
    """Members and path that a URL stands for."""
    return read_bucket_url(component, check_bucket)


def write_url(options: Mapping[str, Any], path: str) -> str:
    """The URL of members and path.

    Raises:
        Unimplemented: There is none for a bucket with an endpoint of its own.
    """
    return write_bucket_url("gs", "GCS", options, path)


def emulator_of(text: str | None) -> str | None:
    """The endpoint that ``STORAGE_EMULATOR_HOST`` names: a URL, or a host alone."""
    if not text:
        return None
    return text if "://" in text else f"http://{text}"
