"""Asking S3: requests of one bucket, signed, sent to the region where it is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from asynctensor.errors import NotFound, PermissionDenied
from asynctensor.kvstores._http.errors import refusal
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.message import Body, Request, Response
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores._http.xml_document import parse_document
from asynctensor.kvstores.s3.address import Address
from asynctensor.kvstores.s3.credentials import KeySource, key_source
from asynctensor.kvstores.s3.errors import EXPIRED, read_problem
from asynctensor.kvstores.s3.signing import (
    EMPTY_PAYLOAD,
    UNSIGNED_PAYLOAD,
    payload_hash,
    signed,
)
from asynctensor.runtime.aws_credentials import AwsCredentials
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.runtime.process import PROCESS
from asynctensor.storage.kvstore import size_of

#: Where requests go as long as nothing else is known.
FIRST_REGION = "us-east-1"
#: Bytes that a worker thread hashes: fewer are hashed sooner than handed over.
_LARGE = 1 << 16
#: Bytes of an answer that is no value.
MOST_DOCUMENT = 1 << 26


class Asker:
    """Sends the requests of one bucket.

    Args:
        exchange: How requests are sent.
        address: Where the bucket is.
        region: In which region; empty: where AWS says, or `FIRST_REGION`.
        credentials: Who asks.
        requester_pays: Whether whoever asks agrees to pay for the answer.
    """

    def __init__(
        self,
        exchange: Exchange,
        address: Address,
        region: str,
        credentials: AwsCredentials,
        *,
        requester_pays: bool = False,
    ) -> None:
        self.address = address
        self.region = region
        self.credentials = credentials
        self.requester_pays = requester_pays
        self.retries = exchange.retries
        self.given_exchange = exchange
        self._exchange = replace(exchange, sign=self._signed, read_problem=read_problem)

    async def ask(
        self,
        method: str,
        key: str | None,
        *,
        query: Pairs = (),
        fields: Pairs = (),
        body: Body | None = None,
        idempotent: bool = True,
        weight: int = 0,
        max_body: int = MOST_DOCUMENT,
    ) -> Response:
        """The answer to a request about a key, or about the bucket itself.

        Args:
            method: ``"GET"``.
            key: The key; None: the bucket.
            query: What the URL asks beyond the key.
            fields: What the request says beside what all do.
            body: What is sent.
            idempotent: See `Exchange.send`.
            weight: Bytes that the request and its answer are expected to have.
            max_body: Bytes that the answer may have.

        Raises:
            Error: As `Exchange.send` does; or there are no keys to sign with.
        """
        region = await self._known_region()
        common = await self._common(body)
        for last in (False, True):
            url = self.address.url(region, key, query)
            request = Request(method, url, (*common, *fields), body, max_body)
            answer = await self._exchange.send(request, idempotent=idempotent, weight=weight)
            if last or answer.status < 300 or not self._may_help(answer, region):
                break
            region = await self._known_region()
        return answer

    def refused(self, method: str, key: str | None, answer: Response) -> Exception:
        """The error that an answer of no use means."""
        url = self.address.url(_regions().get(self.address, FIRST_REGION), key)
        return refusal(Request(method, url), answer, read_problem(answer))

    async def _common(self, body: Body | None) -> Pairs:
        """What every request says."""
        fields = [("Accept-Encoding", "identity")]
        if self.address.host_header is not None:
            fields.append(("Host", self.address.host_header))
        if self.requester_pays:
            fields.append(("x-amz-request-payer", "requester"))
        digest = EMPTY_PAYLOAD
        if body is not None:
            # Without TLS, the signature is all that protects the body.
            if (self.address.endpoint or "https:").startswith("https:"):
                digest = UNSIGNED_PAYLOAD
            elif size_of(body) > _LARGE:
                digest = await asyncio.to_thread(payload_hash, body)
            else:
                digest = payload_hash(body)
        fields.append(("x-amz-content-sha256", digest))
        return fields

    @property
    def _source(self) -> KeySource:
        return key_source(self.credentials)

    async def _signed(self, request: Request) -> Request:
        keys = await self._source.keys()
        if keys is None:
            return request
        region = self.region or _regions().get(self.address, FIRST_REGION)
        try:
            return signed(request, keys, region, SYSTEM_CLOCK.time())
        except UnicodeEncodeError:
            raise PermissionDenied("the keys hold characters that no header can carry") from None

    # -- The region ---------------------------------------------------------------------------

    async def _known_region(self) -> str:
        known = self.region or _regions().get(self.address)
        if known is None and self.address.endpoint is None:
            known = await self._asked_region()
        return known or FIRST_REGION

    async def _asked_region(self) -> str:
        """Where AWS says that the bucket is: it tells everybody."""
        url = self.address.url(FIRST_REGION, None)
        answer = await replace(self._exchange, sign=None).send(Request("HEAD", url))
        if answer.status == 404:
            raise NotFound(f"there is no bucket {self.address.bucket!r}")
        found = answer.headers.get("x-amz-bucket-region") or FIRST_REGION
        _regions()[self.address] = found
        return found

    def _may_help(self, answer: Response, region: str) -> bool:
        """Whether asking once more may help: elsewhere, or with other keys."""
        said = read_problem(answer).code if answer.body else ""
        if not self.region and answer.status in (301, 307, 400):
            moved = answer.headers.get("x-amz-bucket-region") or _region_in(answer)
            if moved and moved != region and _is_region(moved):
                _regions()[self.address] = moved
                return True
        if said in EXPIRED and self._source.may_change:
            self._source.forget()
            return True
        return False


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
