"""Asking a service: the requests of one store, each with what says who asks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import ClassVar, Final

from asynctensor.errors import Error
from asynctensor.kvstores._http.errors import Problem, is_passing, refusal
from asynctensor.kvstores._http.exchange import BegunRequest, Exchange
from asynctensor.kvstores._http.message import Body, Request, Response
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores._http.resuming import Resuming

#: Bytes of an answer that is no value.
MOST_DOCUMENT: Final = 1 << 26


class Asker(ABC):
    """Sends the requests of one store.

    Args:
        exchange: How requests are sent.

    Attributes:
        resuming: How the rest of an object is asked for.
    """

    resuming: ClassVar[Resuming]

    def __init__(self, exchange: Exchange) -> None:
        self.retries = exchange.retries
        self.given_exchange = exchange
        self.exchange = replace(
            exchange,
            sign=self.signed,
            sign_at_once=self.signed_at_once,
            read_problem=self.read_problem,
            resuming=self.resuming,
        )

    async def ask(
        self,
        method: str,
        key: str | None,
        *,
        query: Pairs = (),
        url: str | None = None,
        fields: Pairs = (),
        common: Pairs | None = None,
        body: Body | None = None,
        idempotent: bool = True,
        weight: int = 0,
        max_body: int = MOST_DOCUMENT,
    ) -> Response:
        """The answer to a request about a key, or about the place where the keys are.

        Args:
            method: ``"GET"``.
            key: The key; None: the place itself.
            query: What the URL asks beyond the key.
            url: Where the request goes instead, as it is.
            fields: What the request says beside what all do.
            common: What it says instead of what all do.
            body: What is sent.
            idempotent: See `Exchange.send`.
            weight: Bytes that the request and its answer are expected to have.
            max_body: Bytes that the answer may have.

        Raises:
            Error: As `Exchange.send` does; or there is nothing to say who asks with.
        """
        if not self._is_prepared():
            await self._prepare()
        if common is None:
            common = self._common() if body is None else await self._common_with(body)
        for last in (False, True):
            target = self._url(key, query) if url is None else url
            request = Request(method, target, (*common, *fields), body, max_body)
            used = self._in_use()
            answer = await self.exchange.send(request, idempotent=idempotent, weight=weight)
            if last or answer.status < 300 or not self._may_help(answer, used):
                break
        return answer

    async def take_back(
        self, key: str | None, *, query: Pairs = (), url: str | None = None
    ) -> None:
        """Deletes what the runtime, which is about to end, would leave.

        Args:
            key: Of what; None: the place itself.
            query: What the URL asks beyond the key.
            url: Where the request goes instead, as it is.

        Raises:
            Error: As `Exchange.send_at_the_end` does.
        """
        target = self._url(key, query) if url is None else url
        await self.exchange.send_at_the_end(Request("DELETE", target, tuple(self._common())))

    def begin(
        self,
        begun: BegunRequest,
        key: str,
        *,
        query: Pairs = (),
        fields: Pairs = (),
        weight: int = 0,
        max_body: int = MOST_DOCUMENT,
    ) -> bool:
        """Begins a GET without a task; see `Exchange.begin`. It asks one place, as one user."""
        if not self._is_prepared():
            return False
        try:
            request = Request(
                "GET", self._url(key, query), (*self._common(), *fields), None, max_body
            )
        except Error:
            return False
        return self.exchange.begin(begun, request, weight)

    def is_final(self, answer: Response, used: object) -> bool:
        """Whether an answer of no use stays so, however often one asks.

        Args:
            answer: To a request that was sent once.
            used: As for `_may_help`.
        """
        if is_passing(answer, self.read_problem(answer)):
            return False
        return not self._may_help(answer, used)

    def refused(self, method: str, key: str | None, answer: Response) -> Error:
        """The error that an answer of no use means."""
        request, problem = Request(method, self._url(key, ())), self.read_problem(answer)
        nobody = answer.status in (401, 403) and self._is_nobody()
        return refusal(request, answer, problem, nobody=nobody)

    # -- What a service says for itself -------------------------------------------------------

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the keys are, as errors say it."""

    def _is_prepared(self) -> bool:
        """Whether all is known that has to be before the first request."""
        return True

    async def _prepare(self) -> None:
        """Finds out the rest."""
        raise NotImplementedError

    @abstractmethod
    def _url(self, key: str | None, query: Pairs) -> str:
        """The URL of a key, or of the place where the keys are.

        Raises:
            InvalidArgument: It can be no key.
        """

    @abstractmethod
    def _common(self) -> Pairs:
        """What every request without a body says."""

    async def _common_with(self, body: Body) -> Pairs:
        """What every request with a body says."""
        return self._common()

    @staticmethod
    @abstractmethod
    def read_problem(answer: Response) -> Problem:
        """See `ProblemReader`."""

    @abstractmethod
    async def signed(self, request: Request) -> Request:
        """A request with what says who asks.

        Raises:
            Error: There is nothing to say it with.
        """

    @abstractmethod
    def signed_at_once(self, request: Request) -> Request | None:
        """The same where nothing has to be looked up; None: ask `signed`.

        Raises:
            Error: As `signed` does.
        """

    @abstractmethod
    def _is_nobody(self) -> bool:
        """Whether it was looked for who asks, and nobody found."""

    def _in_use(self) -> object:
        """What a request is sent with that `_may_help` may change."""
        return None

    @abstractmethod
    def _may_help(self, answer: Response, used: object) -> bool:
        """Whether asking once more may help: elsewhere, or as somebody else.

        Args:
            answer: To the request.
            used: What `_in_use` said before it was sent.
        """
