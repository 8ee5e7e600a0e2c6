"""Asking Google Cloud Storage: requests about one bucket, each with a token."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from asynctensor.kvstores._http.errors import refusal
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.message import Body, Request, Response
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores.gcs.address import Address
from asynctensor.kvstores.gcs.credentials import TokenSource, token_source
from asynctensor.kvstores.gcs.errors import read_problem
from asynctensor.runtime.google_credentials import ANONYMOUS, GcsUserProject, GoogleCredentials

#: Bytes of an answer that is no value.
MOST_DOCUMENT: Final = 1 << 26


class Asker:
    """Sends the requests about one bucket.

    Args:
        exchange: How requests are sent.
        address: Where the bucket is.
        credentials: Who asks.
        project: Who pays.
    """

    def __init__(
        self,
        exchange: Exchange,
        address: Address,
        credentials: GoogleCredentials,
        project: GcsUserProject,
    ) -> None:
        self.address = address
        self.credentials = credentials
        self.project = project
        self.retries = exchange.retries
        self.given_exchange = exchange
        self._exchange = replace(exchange, sign=self._signed, read_problem=read_problem)

    def asked(self, query: Pairs) -> Pairs:
        """A query, with who pays."""
        project = self.project.project_id
        return query if not project else (*query, ("userProject", project))

    async def ask(
        self,
        method: str,
        url: str,
        *,
        fields: Pairs = (),
        body: Body | None = None,
        idempotent: bool = True,
        weight: int = 0,
        max_body: int = MOST_DOCUMENT,
    ) -> Response:
        """The answer to a request.

        Args:
            method: ``"GET"``.
            url: What it is about.
            fields: What it says beside who asks.
            body: What is sent.
            idempotent: See `Exchange.send`.
            weight: Bytes that the request and its answer are expected to have.
            max_body: Bytes that the answer may have.

        Raises:
            Error: As `Exchange.send` does; or there is no token.
        """
        request = Request(method, url, tuple(fields), body, max_body)
        refusals = self._source.refusals
        answer = await self._exchange.send(request, idempotent=idempotent, weight=weight)
        if answer.status == 401 and self._source.forget(refusals):
            # Nothing was done; another token may help.
            answer = await self._exchange.send(request, idempotent=idempotent, weight=weight)
        return answer

    def refused(self, method: str, url: str, answer: Response) -> Exception:
        """The error that an answer of no use means."""
        return refusal(Request(method, url), answer, read_problem(answer))

    @property
    def who(self) -> GoogleCredentials:
        """Who asks, in truth.

        What was found by itself is not shown to services other than Google's without TLS, nor to an
        emulator: a token is as good there as here.
        """
        address = self.address
        guessed = self.credentials.type == "default"
        own = address.endpoint is None and address.emulator is not None
        return ANONYMOUS if guessed and (own or not address.is_secret) else self.credentials

    @property
    def _source(self) -> TokenSource:
        return token_source(self.who)

    async def _signed(self, request: Request) -> Request:
        fields = await self._source.fields()
        return replace(request, headers=(*request.headers, *fields)) if fields else request
