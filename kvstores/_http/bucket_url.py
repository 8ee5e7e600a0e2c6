"""URLs that name a bucket and a path in it: ``scheme://bucket/path``. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from asynctensor.errors import InvalidArgument, Unimplemented
from asynctensor.pipeline_url import UrlComponent, encoded_path


def read_bucket_url(
    component: UrlComponent, check_bucket: Callable[[str], None]
) -> tuple[dict[str, Any], str]:
    """Members and path that a URL stands for.

    Args:
        component: The URL.
        check_bucket: Checks the name of a bucket; raises `InvalidArgument`.

    Raises:
        InvalidArgument: It has a query, or the bucket can have no such name.
    """
    if component.query is not None:
        raise InvalidArgument("Query string not supported")
    bucket, _, path = component.path.partition("/")
    check_bucket(bucket)
    decoded = UrlComponent(component.scheme, path, is_root=True).decoded_path()
    return {"bucket": bucket}, decoded


def write_bucket_url(scheme: str, service: str, options: Mapping[str, Any], path: str) -> str:
    """The URL of members and path.

    Args:
        scheme: The URL's.
        service: What errors call the service.
        options: The members.
        path: The path, not encoded.

    Raises:
        Unimplemented: There is none for a bucket with an endpoint of its own.
    """
    if options.get("endpoint"):
        raise Unimplemented(f"{service} URL syntax not supported with explicit endpoint")
    return f"{scheme}://{options['bucket']}/{encoded_path(path)}"
