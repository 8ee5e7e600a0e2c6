"""Where buckets are: in the host, in the path, behind another name."""

from __future__ import annotations

import pytest

from asynctensor.kvstores.s3.address import Address
from asynctensor.kvstores.s3.store import S3Store
from asynctensor.testing.kvstore_calls import keys, read, write
from tests.kvstores.s3.buckets import EXCHANGE, OURS, conditions_of, new_bucket


@pytest.mark.parametrize(
    ("address", "root"),
    [
        (Address("abc"), "https://abc.s3.eu-x-1.amazonaws.com"),
        (Address("a.bc"), "https://s3.eu-x-1.amazonaws.com/a.bc"),
        (Address("Abc_d"), "https://s3.eu-x-1.amazonaws.com/Abc_d"),
        (Address("abc", "http://h:1"), "http://h:1/abc"),
        (Address("abc", "http://h:1/below"), "http://h:1/below/abc"),
        (Address("", "http://h:1"), "http://h:1"),
    ],
)
def test_urls(address, root) -> None:
    assert address.url("eu-x-1", "a b/%/é+~") == f"{root}/a%20b/%25/%C3%A9%2B~"
    slash = "" if root.count("/") > 2 else "/"
    query = [("prefix", "a/b c"), ("list-type", "2")]
    assert address.url("eu-x-1", None, query) == f"{root}{slash}?list-type=2&prefix=a%2Fb%20c"


def test_china_is_another_domain() -> None:
    assert Address("abc").url("cn-north-1", "k") == "https://abc.s3.cn-north-1.amazonaws.com.cn/k"


async def test_bucket_in_the_host(s3) -> None:
    bucket = new_bucket(s3)
    domain = "localhost" if s3.name == "radosgw" else "s3.amazonaws.com"
    address = Address("", s3.endpoint, f"{bucket}.{domain}")
    store = S3Store(address, EXCHANGE, OURS, s3.region, conditions=conditions_of(s3))
    await write(store, "a/b", b"value")
    assert (await read(store, "a/b")).value == b"value"
    assert await keys(store) == ["a/b"]
    in_path = S3Store(Address(bucket, s3.endpoint), EXCHANGE, OURS, s3.region)
    assert (await read(in_path, "a/b")).value == b"value"
