"""Asking a server: requests of a store, with what every one of them says, redirects followed."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from asynctensor.errors import FailedPrecondition
from asynctensor.kvstores._http.errors import is_passing, plain_problem
from asynctensor.kvstores._http.exchange import BegunRequest, Exchange
from asynctensor.kvstores._http.message import Request, Response
from asynctensor.kvstores._http.redirects import (
    MOST_REDIRECTS,
    REDIRECTS,
    origin,
    redirect_target,
)
from asynctensor.kvstores._http.resuming import ByEtags
from asynctensor.kvstores.http.credentials import Authorization

Fields: TypeAlias = "tuple[tuple[str, str], ...]"
#: Bytes of a value that a server without ranges may send where a part was asked for.
MOST_UNASKED = 1 << 30
#: Statuses of what is not there. 204 is TensorStore's choice.
MISSING = frozenset({204, 404, 410})


class Asker:
    """Sends the requests of one store.

    Args:
        exchange: How requests are sent.
        headers: Fields of every request that stays on the same host.
        authorization: Who asks.
    """

    __slots__ = ("authorization", "exchange", "headers")

    def __init__(self, exchange: Exchange, headers: Fields, authorization: Authorization) -> None:
        self.exchange = replace(exchange, resuming=ByEtags("If-Range"))
        self.headers = headers
        self.authorization = authorization

    async def ask(self, method: str, url: str, fields: Fields, weight: int = 0) -> Response:
        """The answer to a request, wherever redirects lead.

        No other host than that of `url` sees credentials or the user's headers.

        Args:
            method: ``"GET"`` or ``"HEAD"``.
            url: What to ask.
            fields: What the request says beside what all do.
            weight: Bytes that the answer is expected to have.

        Raises:
            FailedPrecondition: Redirects lead nowhere, or to where they must not.
            Error: As `Exchange.send` does.
        """
        home = origin(url)
        target, again = url, self.authorization.may_change
        for _ in range(MOST_REDIRECTS + 1):
            # Packed values cannot be read in parts.
            all_fields: Fields = (("Accept-Encoding", "identity"), *fields)
            if origin(target) == home:
                all_fields += (*self.headers, *(await self.authorization.headers()))
            most = max(weight, MOST_UNASKED)
            request = Request(method, target, all_fields, max_body=most)
            answer = await self.exchange.send(request, weight=weight)
            if answer.status == 401 and again:
                again = False
                continue
            if answer.status not in REDIRECTS:
                return answer
            before, target = target, redirect_target(target, answer)
            if _is_other_kind(before, target):
                return Response(404, answer.headers, b"", answer.time)
        raise FailedPrecondition(f"{MOST_REDIRECTS} redirects in a row lead nowhere")

    def is_final(self, answer: Response) -> bool:
        """Whether an answer of no use to a request that was sent once stays so."""
        status = answer.status
        if status < 400 or status == 416 or (status == 401 and self.authorization.may_change):
            return False
        return not is_passing(answer, plain_problem(answer))

    def all_fields(self, fields: Fields) -> Fields | None:
        """What a request says in all, at home; None if that has to be looked up first."""
        who = self.authorization.at_hand()
        if who is None:
            return None
        return (("Accept-Encoding", "identity"), *fields, *self.headers, *who)

    def begin(self, begun: BegunRequest, url: str, all_fields: Fields, weight: int) -> bool:
        """Begins a GET without a task; see `Exchange.begin`. Redirects are answers like others."""
        request = Request("GET", url, all_fields, max_body=max(weight, MOST_UNASKED))
        return self.exchange.begin(begun, request, weight)


def _is_other_kind(before: str, after: str) -> bool:
    """Whether a redirect only says that a folder was taken for a value, or a value for one."""
    return {before.partition("?")[0], after.partition("?")[0]} == {
        before.partition("?")[0].removesuffix("/"),
        before.partition("?")[0].removesuffix("/") + "/",
    }
