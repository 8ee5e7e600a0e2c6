"""What the services of clouds say, for `ScriptedServer`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asynctensor.kvstores._http.checksums import crc32c, md5_digest
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.network_store import ObjectStore
from asynctensor.kvstores.azure.address import Address as Container
from asynctensor.kvstores.azure.store import AzureStore
from asynctensor.kvstores.gcs.address import Address as GcsBucket
from asynctensor.kvstores.gcs.store import GcsStore
from asynctensor.kvstores.s3.address import Address as S3Bucket
from asynctensor.kvstores.s3.store import S3Store
from asynctensor.runtime.aws_credentials import AwsCredentials
from asynctensor.runtime.azure_credentials import AzureCredentials
from asynctensor.runtime.google_credentials import GoogleCredentials
from asynctensor.scheduler.retry import RetryPolicy
from tests.servers.scripted import Said

EXCHANGE = Exchange(RetryPolicy(5, 0.001, 0.002))
Store = ObjectStore[Any, Any, Any]
Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Cloud:
    """What a service says.

    Attributes:
        of_value: Fields of an answer with a value.
        missing: Says that there is no object.
        no_place: Says that there is no place where objects could be.
        refused: Says that the credentials are not valid any more.
        condition: The field or member of a query that asks for another generation.
        store: A store at a URL; anonymous, or with credentials that are to be looked up.
    """

    of_value: Callable[[bytes], Fields]
    missing: Said
    no_place: Said
    refused: Said
    condition: str
    store: Callable[[str, bool], Store]

    def answer(self, value: bytes, whole: bytes | None = None, start: int = 0) -> Said:
        """Says a value; `whole`: it is the part from `start` on of that."""
        if whole is None:
            return Said(200, self.of_value(value), value)
        stop = start + len(value)
        part = ("Content-Range", f"bytes {start}-{stop - 1}/{len(whole)}")
        return Said(206, (*self.of_value(whole), part), value)


def s3_error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()


def gcs_error(reason: str) -> bytes:
    return json.dumps({"error": {"message": "No.", "errors": [{"reason": reason}]}}).encode()


CLOUDS = {
    "s3": Cloud(
        lambda value: (("ETag", '"1"'), ("x-amz-checksum-crc32c", crc32c(value))),
        Said(404, body=s3_error("NoSuchKey")),
        Said(404, body=s3_error("NoSuchBucket")),
        Said(400, body=s3_error("ExpiredToken")),
        "if-none-match",
        lambda url, looked_up: S3Store(
            S3Bucket("abc", url),
            EXCHANGE,
            AwsCredentials("profile" if looked_up else "anonymous"),
        ),
    ),
    "gcs": Cloud(
        lambda value: (("X-Goog-Generation", "1"), ("X-Goog-Hash", f"crc32c={crc32c(value)}")),
        Said(404, body=gcs_error("notFound")),
        Said(403, body=gcs_error("forbidden")),
        Said(401, body=gcs_error("authError")),
        "ifgenerationnotmatch",
        lambda url, looked_up: GcsStore(
            GcsBucket("abc", url),
            EXCHANGE,
            GoogleCredentials("token", os.environ["THE_FILE"])
            if looked_up
            else GoogleCredentials("anonymous"),
        ),
    ),
    "azure": Cloud(
        lambda value: (("ETag", '"1"'), ("Content-MD5", md5_digest(value))),
        Said(404, (("x-ms-error-code", "BlobNotFound"),)),
        Said(404, (("x-ms-error-code", "ContainerNotFound"),)),
        Said(403, (("x-ms-error-code", "AuthenticationFailed"),)),
        "if-none-match",
        lambda url, looked_up: AzureStore(
            Container("acc", "abc", url),
            EXCHANGE,
            AzureCredentials("managed_identity" if looked_up else "anonymous"),
        ),
    ),
}
