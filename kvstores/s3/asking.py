"""Asking S3: requests of one bucket, signed, sent to the region where it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from asynctensor.errors import NotFound, PermissionDenied
from asynctensor.kvstores._http.asker import Asker
from asynctensor.kvstores._http.errors import Problem
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.message import Body, Request, Response
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores._http.resuming import ByEtags
from asynctensor.kvstores._http.who_asks import PENDING, shared_source
from asynctensor.kvstores._http.xml_document import parse_document
from asynctensor.kvstores.s3.address import Address
from asynctensor.kvstores.s3.credentials import KeySource
from asynctensor.kvstores.s3.errors import EXPIRED, read_problem
from asynctensor.kvstores.s3.signing import (
    EMPTY_PAYLOAD,
    UNSIGNED_PAYLOAD,
    Keys,
    payload_hash,
    signed,
)
from asynctensor.runtime.aws_credentials import AwsCredentials
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.runtime.process import PROCESS

#: Where requests go as long as nothing else is known.
FIRST_REGION: Final = "us-east-1"


class S3Asker(Asker):
    """Sends the requests of one bucket.

    Args:
        exchange: How requests are sent.
        address: Where the bucket is.
        region: In which region; empty: where AWS says, or `FIRST_REGION`.
        credentials: Who asks.
        requester_pays: Whether whoever asks agrees to pay for the answer.
    """

    resuming = ByEtags("If-Match")

    def __init__(
        self,
        exchange: Exchange,
        address: Address,
        region: str,
        credentials: AwsCredentials,
        *,
        requester_pays: bool = False,
    ) -> None:
        super().__init__(exchange)
        self.address = address
        self.region = region
        self.credentials = credentials
        self.requester_pays = requester_pays

    @property
    def place(self) -> str:
        """See `Asker.place`."""
        return str(self.address)

    @staticmethod
    def read_problem(answer: Response) -> Problem:
        """See `ProblemReader`."""
        return read_problem(answer)

    def _url(self, key: str | None, query: Pairs) -> str:
        return self.address.url(self._region(), key, query)

    def _common(self) -> Pairs:
        return (*self._said(), ("x-amz-content-sha256", EMPTY_PAYLOAD))

    @property
    def signs_bodies(self) -> bool:
        """Whether signatures cover bodies: without TLS, nothing else protects them."""
        return not (self.address.endpoint or "https:").startswith("https:")

    async def _common_with(self, body: Body) -> Pairs:
        # None of these is large: objects come with their digests.
        return self.common_with(payload_hash(body) if self.signs_bodies else UNSIGNED_PAYLOAD)

    def common_with(self, payload: str) -> Pairs:
        """What every request says that has a body of this hash."""
        return (*self._said(), ("x-amz-content-sha256", payload))

    def _said(self) -> Pairs:
        fields = [("Accept-Encoding", "identity")]
        if self.address.host_header is not None:
            fields.append(("Host", self.address.host_header))
        if self.requester_pays:
            fields.append(("x-amz-request-payer", "requester"))
        return fields

    # -- Who asks -----------------------------------------------------------------------------

    @property
    def _source(self) -> KeySource:
        return shared_source("aws keys", self.credentials, KeySource)

    async def signed(self, request: Request) -> Request:
        """See `Asker.signed`."""
        return self._signed_with(request, await self._source.keys())

    def signed_at_once(self, request: Request) -> Request | None:
        """See `Asker.signed_at_once`."""
        keys = self._source.at_hand()
        return None if keys is PENDING else self._signed_with(request, keys)

    def _is_nobody(self) -> bool:
        return self.credentials.type == "default" and self._source.at_hand() is None

    def _signed_with(self, request: Request, keys: Keys | None) -> Request:
        if keys is None:
            return request
        try:
            return signed(request, keys, self._region(), SYSTEM_CLOCK.time())
        except UnicodeEncodeError:
            raise PermissionDenied("the keys hold characters that no header can carry") from None

    # -- The region ---------------------------------------------------------------------------

    def _is_prepared(self) -> bool:
        known = self.region or self.address.endpoint is not None
        return bool(known) or self.address in _regions()

    def _in_use(self) -> tuple[str, int]:
        return self._region(), self._source.refusals

    def _region(self) -> str:
        return self.region or _regions().get(self.address, FIRST_REGION)

    async def _prepare(self) -> None:
        # AWS tells everybody where a bucket is.
        url = self.address.url(FIRST_REGION, None)
        answer = await replace(self.exchange, sign=None).send(Request("HEAD", url))
        if answer.status == 404:
            raise NotFound(f"there is no bucket {self.address.bucket!r}")
        found = answer.headers.get("x-amz-bucket-region", "")
        _regions()[self.address] = found if _is_region(found) else FIRST_REGION

    def _may_help(self, answer: Response, used: object) -> bool:
        said = read_problem(answer).code if answer.body else ""
        region, refusals = used if isinstance(used, tuple) else (None, None)
        if not self.region and answer.status in (301, 307, 400):
            moved = answer.headers.get("x-amz-bucket-region") or _region_in(answer)
            if moved and moved != region and _is_region(moved):
                _regions()[self.address] = moved
                return True
        return said in EXPIRED and self._source.forget(refusals)


def _regions() -> dict[Any, str]:
    found: Any = PROCESS.shared.setdefault("s3_regions", {})
    regions: dict[Any, str] = found
    return regions


def _region_in(answer: Response) -> str | None:
    if read_problem(answer).code != "AuthorizationHeaderMalformed":
        return None
    return parse_document(answer.body).findtext("Region")


def _is_region(text: str) -> bool:
    # It becomes part of the name of a host.
    return text.isascii() and text.replace("-", "").isalnum() and len(text) < 64
