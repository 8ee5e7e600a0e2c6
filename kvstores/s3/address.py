"""Which URL a bucket and a key have, and the members of a spec. Pure.

Without ``endpoint``, a bucket is a host of AWS (``bucket.s3.region.amazonaws.com``), unless its
name cannot be one for TLS: then it begins the path. With it, the bucket, if one is given, begins
the path below the endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from asynctensor.errors import InvalidArgument
from asynctensor.kvstores._http.bucket_url import read_bucket_url, write_bucket_url
from asynctensor.kvstores._http.query import Pairs, encoded_key, encoded_query
from asynctensor.pipeline_url import UrlComponent
from asynctensor.schema.json_value import boolean, dump, in_member, string

#: Names of buckets that were made in us-east-1 before 2018 may be longer and hold more.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_STRICT = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
#: Regions of AWS are a part of the host's name; of other services', all may be that is signed.
_REGION = re.compile(r"[A-Za-z0-9-]{1,63}")
_REGION_ELSEWHERE = re.compile(r"[!-.0-~]{1,255}")
_IPV4 = re.compile(r"\d+\.\d+\.\d+\.\d+")
#: What begins or ends names that are no buckets' own.
_RESERVED_STARTS = ("xn--", "sthree-")
_RESERVED_ENDS = ("-s3alias", "--ol-s3")
#: Bytes of a key (S3's limit).
MOST_KEY = 1024
#: Checksums that can be sent, by S3's names.
Algorithm: TypeAlias = Literal["CRC32C", "SHA256"]
ALGORITHMS: Final[tuple[Algorithm, ...]] = ("CRC32C", "SHA256")
_STRINGS = ("aws_region", "bucket", "endpoint", "host_header")
_BOOLEANS = ("conditional_delete", "requester_pays", "unquoted_etags", "use_conditional_write")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a bucket is.

    Attributes:
        bucket: Its name; empty where the endpoint is the bucket.
        endpoint: The URL of the service, without a slash at the end; None: AWS.
        host_header: What ``Host`` says instead of the endpoint's own host.
    """

    bucket: str
    endpoint: str | None = None
    host_header: str | None = None

    def url(self, region: str, key: str | None, query: Pairs = ()) -> str:
        """The URL of a key, or of the bucket itself.

        Raises:
            InvalidArgument: No object can have this key.
        """
        root = self._root(region)
        # A bucket in the path has no slash behind it.
        path = "" if key is None and urlsplit(root).path else "/"
        if key is not None:
            path += self._encoded(key)
        asked = encoded_query(query)
        return f"{root}{path}?{asked}" if asked else f"{root}{path}"

    def _root(self, region: str) -> str:
        if self.endpoint is not None:
            return f"{self.endpoint}/{self.bucket}" if self.bucket else self.endpoint
        domain = f"s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
        if _STRICT.fullmatch(self.bucket) and "." not in self.bucket:
            return f"https://{self.bucket}.{domain}"
        return f"https://{domain}/{self.bucket}"

    def _encoded(self, key: str) -> str:
        if not key:
            raise InvalidArgument("no object can have the empty key", key=key)
        try:
            size = len(key.encode())
        except UnicodeEncodeError:
            raise InvalidArgument(f"key {key!r} is no Unicode text", key=key) from None
        if size > MOST_KEY:
            raise InvalidArgument(
                f"a key of {size} bytes is longer than the {MOST_KEY} bytes that S3 allows", key=key
            )
        if "\0" in key:
            raise InvalidArgument(f"key {key!r} holds a null character, which S3 refuses", key=key)
        return encoded_key(key)

    def __str__(self) -> str:
        if self.endpoint is None:
            return f"s3://{self.bucket}"
        return f"{self.endpoint}/{self.bucket}" if self.bucket else self.endpoint


def check_members(options: dict[str, Any], form: object) -> dict[str, Any]:
    """The members of a spec, checked.

    Raises:
        InvalidArgument: One is wrong; the message gives its path.
    """
    for names, check in ((_STRINGS, string), (_BOOLEANS, boolean)):
        for name in names:
            if name in options:
                with in_member(name):
                    check(options[name])
    if "checksum_algorithm" in options:
        with in_member("checksum_algorithm"):
            if string(options["checksum_algorithm"]) not in ALGORITHMS:
                raise InvalidArgument(
                    f"Expected one of {', '.join(map(dump, ALGORITHMS))} but received: "
                    f"{dump(options['checksum_algorithm'])}"
                )
    bucket = options.get("bucket", "")
    _check_region(options.get("aws_region", ""), elsewhere=bool(options.get("endpoint")))
    if not options.get("endpoint"):
        if "host_header" in options:
            with in_member("host_header"):
                raise InvalidArgument('"host_header" cannot be set without also setting "endpoint"')
        if not bucket:
            with in_member("bucket"):
                raise InvalidArgument('"bucket" must be specified when "endpoint" is not set')
    if bucket:
        with in_member("bucket"):
            check_bucket(bucket)
    # What says nothing is left out, as TensorStore does.
    return {n: v for n, v in options.items() if v != "" and not (n == "requester_pays" and not v)}


def _check_region(region: str, *, elsewhere: bool) -> None:
    form = _REGION_ELSEWHERE if elsewhere else _REGION
    if region and form.fullmatch(region) is None:
        with in_member("aws_region"):
            raise InvalidArgument(
                f"Invalid region: {dump(region)}; expected letters, digits and hyphens, such as "
                '"eu-west-1"'
            )


def check_bucket(name: str) -> None:
    """Checks the name of a bucket.

    Raises:
        InvalidArgument: No bucket has such a name.
    """
    if (
        _NAME.fullmatch(name) is None
        or (len(name) > 63 and name == name.lower() and "_" not in name)
        or ".." in name
        or ".-" in name
        or "-." in name
        or _IPV4.fullmatch(name)
        or name.startswith(_RESERVED_STARTS)
        or name.endswith(_RESERVED_ENDS)
    ):
        raise InvalidArgument(
            f"Invalid S3 bucket name: {dump(name)}; expected 3 to 63 lower-case letters, digits, "
            "dots and hyphens"
        )


def read_url(component: UrlComponent) -> tuple[dict[str, Any], str]:
    """Members and path that a URL stands for."""
    return read_bucket_url(component, check_bucket)


def write_url(options: Mapping[str, Any], path: str) -> str:
    """The URL of members and path.

    Raises:
        Unimplemented: There is none for a bucket with an endpoint of its own.
    """
    return write_bucket_url("s3", "S3", options, path)
