"""Opening an ``s3`` store as a spec says."""

from __future__ import annotations

from asynctensor.errors import Unimplemented
from asynctensor.kvstores._http.endpoint import parse_endpoint
from asynctensor.kvstores._http.opening import exchange_of
from asynctensor.kvstores.s3.address import Address
from asynctensor.kvstores.s3.multipart import Uploads
from asynctensor.kvstores.s3.store import S3Store
from asynctensor.kvstores.s3.writing import Conditions
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_request import StoreRequest


def open_store(request: StoreRequest) -> tuple[KeyValueStore, str]:
    """The store of a bucket, and the key prefix in it.

    Raises:
        InvalidArgument: A member or resource is not specified well.
        Unimplemented: The bucket is one of S3 Express.
    """
    options = request.options
    bucket, endpoint = options.get("bucket", ""), options.get("endpoint")
    if bucket.endswith("--x-s3"):
        raise Unimplemented(f"bucket {bucket!r} is a directory bucket (S3 Express): not supported")
    store = S3Store(
        Address(
            bucket,
            parse_endpoint(endpoint, "aws_credentials") if endpoint else None,
            options.get("host_header") or None,
        ),
        exchange_of(request, "s3"),
        request.resource("aws_credentials"),
        options.get("aws_region", ""),
        requester_pays=options.get("requester_pays", False),
        conditions=Conditions(
            writes=options.get("use_conditional_write", True),
            deletes=options.get("conditional_delete", True),
            unquoted=options.get("unquoted_etags", False),
            parts=not endpoint,
        ),
        uploads=Uploads(checksum=options.get("checksum_algorithm", "CRC32C")),
    )
    return store, request.path
