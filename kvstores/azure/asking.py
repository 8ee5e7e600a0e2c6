"""Asking Azure: requests of one container, with what says who asks."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from asynctensor.kvstores._http.errors import refusal
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.message import Body, Request, Response
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores.azure.address import Address
from asynctensor.kvstores.azure.credentials import CredentialSource, credential_source
from asynctensor.kvstores.azure.errors import EXPIRED, read_problem
from asynctensor.kvstores.azure.signing import VERSION, authorized
from asynctensor.runtime.azure_credentials import AzureCredentials
from asynctensor.runtime.clock import SYSTEM_CLOCK

#: Bytes of an answer that is no value.
MOST_DOCUMENT: Final = 1 << 26
#: What every request says.
_COMMON: Final = (("Accept-Encoding", "identity"), ("x-ms-version", VERSION))


class Asker:
    """Sends the requests of one container.

    Args:
        exchange: How requests are sent.
        address: Where the container is.
        credentials: Who asks.
    """

    def __init__(self, exchange: Exchange, address: Address, credentials: AzureCredentials) -> None:
        self.address = address
        self.credentials = credentials
        self.retries = exchange.retries
        self.given_exchange = exchange
        self._exchange = replace(exchange, sign=self.authorized, read_problem=read_problem)

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
        """The answer to a request about a key, or about the container itself.

        Args:
            method: ``"GET"``.
            key: The key; None: the container.
            query: What the URL asks beyond the key.
            fields: What the request says beside what all do.
            body: What is sent.
            idempotent: See `Exchange.send`.
            weight: Bytes that the request and its answer are expected to have.
            max_body: Bytes that the answer may have.

        Raises:
            Error: As `Exchange.send` does; or there is nothing to say who asks with.
        """
        url = self.address.url(key, query)
        request = Request(method, url, (*_COMMON, *fields), body, max_body)
        answer = await self._exchange.send(request, idempotent=idempotent, weight=weight)
        if self._may_help(answer):
            answer = await self._exchange.send(request, idempotent=idempotent, weight=weight)
        return answer

    def refused(self, method: str, key: str | None, answer: Response) -> Exception:
        """The error that an answer of no use means."""
        return refusal(Request(method, self.address.url(key)), answer, read_problem(answer))

    async def authorized(self, request: Request) -> Request:
        """A request with what says who asks."""
        who = await self._source.authority(self.address.account)
        return request if who is None else authorized(request, who, SYSTEM_CLOCK.time())

    def _may_help(self, answer: Response) -> bool:
        """Whether asking once more may help: with another token."""
        if answer.status not in (401, 403) or not self._source.may_change:
            return False
        expired = read_problem(answer).code in EXPIRED
        if expired:
            self._source.forget()
        return expired

    @property
    def _source(self) -> CredentialSource:
        return credential_source(self.credentials)
