"""Asking Azure: requests of one container, with what says who asks."""

from __future__ import annotations

from typing import Final

from asynctensor.kvstores._http.asker import Asker
from asynctensor.kvstores._http.errors import Problem
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.message import Request, Response
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores._http.resuming import ByEtags
from asynctensor.kvstores._http.who_asks import PENDING, shared_source
from asynctensor.kvstores.azure.address import Address
from asynctensor.kvstores.azure.credentials import CredentialSource
from asynctensor.kvstores.azure.errors import EXPIRED, read_problem
from asynctensor.kvstores.azure.signing import VERSION, Authority, authorized
from asynctensor.runtime.azure_credentials import AzureCredentials
from asynctensor.runtime.clock import SYSTEM_CLOCK

#: What every request says.
_COMMON: Final = (("Accept-Encoding", "identity"), ("x-ms-version", VERSION))


class AzureAsker(Asker):
    """Sends the requests of one container.

    Args:
        exchange: How requests are sent.
        address: Where the container is.
        credentials: Who asks.
    """

    resuming = ByEtags("If-Match", "x-ms-range")

    def __init__(self, exchange: Exchange, address: Address, credentials: AzureCredentials) -> None:
        super().__init__(exchange)
        self.address = address
        self.credentials = credentials

    @property
    def place(self) -> str:
        """See `Asker.place`."""
        return str(self.address)

    @staticmethod
    def read_problem(answer: Response) -> Problem:
        """See `ProblemReader`."""
        return read_problem(answer)

    def _url(self, key: str | None, query: Pairs) -> str:
        return self.address.url(key, query)

    def _common(self) -> Pairs:
        return _COMMON

    # -- Who asks -----------------------------------------------------------------------------

    @property
    def _source(self) -> CredentialSource:
        return shared_source("azure tokens", self.credentials, CredentialSource)

    async def signed(self, request: Request) -> Request:
        """See `Asker.signed`."""
        return _with(request, await self._source.authority(self.address.account))

    def signed_at_once(self, request: Request) -> Request | None:
        """See `Asker.signed_at_once`."""
        who = self._source.at_hand(self.address.account)
        return None if who is PENDING else _with(request, who)

    def _is_nobody(self) -> bool:
        if self.credentials.type != "default" or self._source.may_change:
            return False
        return self._source.at_hand(self.address.account) in (None, PENDING)

    def _in_use(self) -> int:
        return self._source.refusals

    def _may_help(self, answer: Response, used: object) -> bool:
        if answer.status not in (401, 403) or read_problem(answer).code not in EXPIRED:
            return False
        return self._source.forget(used)


def _with(request: Request, who: Authority | None) -> Request:
    return request if who is None else authorized(request, who, SYSTEM_CLOCK.time())
