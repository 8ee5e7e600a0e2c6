"""Where buckets are: in the host, in the path, behind another name."""

from __future__ import annotations

import pytest

from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.message import Headers, Request, Response
from asynctensor.kvstores.s3.address import Address
from asynctensor.kvstores.s3.store import S3Store
from asynctensor.runtime.aws_credentials import ANONYMOUS
from asynctensor.runtime.clock import NEVER, Deadline
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


class Aws:
    """A transport that answers as AWS does, and says where requests went."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self.answers = list(answers)
        self.hosts: list[str] = []

    async def send(self, request: Request, limit: Deadline = NEVER) -> Response:
        self.hosts.append(request.url.split("/")[2])
        status, region = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        fields = Headers([("x-amz-bucket-region", region), ("ETag", '"1"')])
        return Response(status, fields, b"value" if status == 200 else b"")


@pytest.mark.parametrize(
    ("said", "went"),
    [
        ([(200, "eu-west-1")], ["us-east-1", "eu-west-1", "eu-west-1"]),
        # It has moved since.
        (
            [(200, "eu-west-1"), (301, "eu-west-2"), (200, "eu-west-2")],
            ["us-east-1", "eu-west-1", "eu-west-2", "eu-west-2"],
        ),
        # What is no region becomes no part of a host.
        ([(200, "evil.example/")], ["us-east-1"] * 3),
        ([(200, "x" * 64)], ["us-east-1"] * 3),
        ([(200, "")], ["us-east-1"] * 3),
    ],
)
async def test_aws_says_where_a_bucket_is(said, went) -> None:
    aws = Aws(*said)
    bucket = f"bucket-{id(said)}"
    store = S3Store(Address(bucket), Exchange(transport=aws), ANONYMOUS)
    for _ in range(2):
        assert (await read(store, "k")).value == b"value"
    assert aws.hosts == [f"{bucket}.s3.{region}.amazonaws.com" for region in went]
