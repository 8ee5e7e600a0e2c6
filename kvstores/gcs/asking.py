"""Asking Google Cloud Storage: requests about one bucket, each with a token."""

from __future__ import annotations

from dataclasses import replace

from asynctensor.kvstores._http.asker import Asker
from asynctensor.kvstores._http.errors import Problem
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.message import Request, Response
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores._http.who_asks import PENDING, shared_source
from asynctensor.kvstores.gcs.address import Address
from asynctensor.kvstores.gcs.credentials import TokenSource
from asynctensor.kvstores.gcs.errors import read_problem
from asynctensor.kvstores.gcs.resuming import ByGenerations
from asynctensor.runtime.google_credentials import ANONYMOUS, GcsUserProject, GoogleCredentials


class GcsAsker(Asker):
    """Sends the requests about one bucket; without a key, they are about its listing.

    Args:
        exchange: How requests are sent.
        address: Where the bucket is.
        credentials: Who asks.
        project: Who pays.
    """

    resuming = ByGenerations()

    def __init__(
        self,
        exchange: Exchange,
        address: Address,
        credentials: GoogleCredentials,
        project: GcsUserProject,
    ) -> None:
        super().__init__(exchange)
        self.address = address
        self.credentials = credentials
        self.project = project

    def upload_url(self, query: Pairs) -> str:
        """The URL to which an object is sent."""
        return self.address.upload_url(self._paid(query))

    @property
    def place(self) -> str:
        """See `Asker.place`."""
        return str(self.address)

    @staticmethod
    def read_problem(answer: Response) -> Problem:
        """See `ProblemReader`."""
        return read_problem(answer)

    def _url(self, key: str | None, query: Pairs) -> str:
        asked = self._paid(query)
        address = self.address
        return address.list_url(asked) if key is None else address.object_url(key, asked)

    def _paid(self, query: Pairs) -> Pairs:
        """A query, with who pays."""
        project = self.project.project_id
        return query if not project else (*query, ("userProject", project))

    def _common(self) -> Pairs:
        return ()

    # -- Who asks -----------------------------------------------------------------------------

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
        return shared_source("google tokens", self.who, TokenSource)

    async def signed(self, request: Request) -> Request:
        """See `Asker.signed`."""
        return _with(request, await self._source.fields())

    def signed_at_once(self, request: Request) -> Request | None:
        """See `Asker.signed_at_once`."""
        fields = self._source.at_hand()
        return None if fields is PENDING else _with(request, fields)

    def _is_nobody(self) -> bool:
        return self.who.type == "default" and not self._source.at_hand()

    def _in_use(self) -> int:
        return self._source.refusals

    def _may_help(self, answer: Response, used: object) -> bool:
        # Nothing was done; another token may help.
        return answer.status == 401 and self._source.forget(used)


def _with(request: Request, fields: Pairs) -> Request:
    return replace(request, headers=(*request.headers, *fields)) if fields else request
