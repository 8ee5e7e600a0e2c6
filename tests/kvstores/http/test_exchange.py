"""What is asked again, after how long, under which limits, and what is told of it."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import ClientConnectorDNSError
from aiohttp.client_reqrep import ConnectionKey
from hypothesis import given
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.errors import DeadlineExceeded, Unavailable
from asynctensor.kvstores._http.aiohttp_transport import no_connection
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.message import Headers, Request, Response
from asynctensor.kvstores._http.retry_after import retry_after
from asynctensor.runtime.clock import NEVER, Deadline
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.rate_limits import RateLimits
from asynctensor.scheduler.retry import LONGEST_ASKED, RetryPolicy
from tests.servers.http_servers import HttpServer

NOW = 1_700_000_000.0
URL = "http://server.invalid/k?X-Amz-Signature=hidden-secret"


class Answers:
    """A transport that answers as told, and says when it was asked."""

    def __init__(self, *answers: Response | Exception | None) -> None:
        self.answers = list(answers)
        self.asked: list[float] = []

    async def send(self, request: Request, limit: Deadline = NEVER) -> Response:
        self.asked.append(time.monotonic())
        answer = self.answers.pop(0) if self.answers else Response(200, body=b"value")
        if answer is None:
            await asyncio.get_running_loop().create_future()
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer


def busy(value: str) -> Response:
    return Response(503, Headers([("Retry-After", value)]))


def test_seconds_and_dates() -> None:
    for moment, told in ((NOW, None), (NOW + 500, NOW)):
        fields = [("Retry-After", formatdate(NOW + 60, usegmt=True))]
        if told is not None:
            fields.append(("Date", formatdate(told, usegmt=True)))
        assert retry_after(Headers(fields), moment) == 60
    assert retry_after(Headers([("retry-after", "7")]), NOW) == 7
    past = formatdate(NOW - 60, usegmt=True)
    assert retry_after(Headers([("retry-after", past)]), NOW) == 0
    # RFC 850's and asctime's forms, which recipients must know.
    for text in ("Tuesday, 14-Nov-23 22:14:20 GMT", "Tue Nov 14 22:14:20 2023"):
        assert retry_after(Headers([("retry-after", text)]), NOW) == 60


@given(st.text(max_size=70) | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6}.*"))
def test_nonsense_is_no_wait(text: str) -> None:
    found = retry_after(Headers([("retry-after", text)]), NOW)
    assert found is None or found >= 0


async def test_a_server_that_wants_too_much_is_asked_no_more() -> None:
    answers = Answers(busy(str(int(LONGEST_ASKED) + 1)))
    exchange = Exchange(RetryPolicy(5, 0.001, 0.002), transport=answers)
    with pytest.raises(Unavailable, match="503"):
        await exchange.send(Request("GET", URL))
    assert len(answers.asked) == 1


@pytest.mark.parametrize(
    ("code", "passes"), [("EAI_AGAIN", True), ("EAI_NONAME", False), ("EAI_FAIL", True)]
)
async def test_a_name_that_is_not_found_now_is_looked_up_again(code: str, passes: bool) -> None:
    """Whatever was to be sent has certainly not been: also what must not be sent twice."""
    where = ConnectionKey("h.example", 80, False, True, None, None, None, None)
    cause = socket.gaierror(getattr(socket, code), "no such luck")
    failure = no_connection("h.example", ClientConnectorDNSError(where, cause))
    answers = Answers(failure, failure)
    exchange = Exchange(RetryPolicy(5, 0.001, 0.002), transport=answers)
    sending = exchange.send(Request("PUT", URL, body=b"1"), idempotent=False)
    if passes:
        assert (await sending).body == b"value"
        assert len(answers.asked) == 3
    else:
        with pytest.raises(Unavailable, match=r"no address of h\.example was found") as caught:
            await sending
        assert len(answers.asked) == 1
        assert "hidden-secret" not in str(caught.value)


async def test_a_date_is_waited_for() -> None:
    answers = Answers(busy(formatdate(time.time() + 300, usegmt=True)))
    exchange = Exchange(RetryPolicy(5, 0.001, 0.002), transport=answers)
    with pytest.raises(DeadlineExceeded, match="attempt 2"):
        await exchange.send(Request("GET", URL), limit=Deadline.of(1.0))
    assert len(answers.asked) == 1


async def test_the_deadline_covers_the_wait_at_the_gate() -> None:
    answers = Answers(None)
    exchange = Exchange(transport=answers, concurrency=1)
    first = asyncio.ensure_future(exchange.send(Request("GET", URL)))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExceeded, match="turn at its host"):
        await exchange.send(Request("GET", URL), limit=Deadline.of(0.01))
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await exchange.send(Request("GET", URL))).body == b"value"


async def test_a_rate_is_kept_by_all_who_share_it() -> None:
    limits, answers = RateLimits(read_rate=200.0), Answers()
    stores = [Exchange(transport=answers, rates=limits) for _ in range(2)]
    began = time.monotonic()
    await asyncio.gather(*(stores[k % 2].send(Request("GET", URL)) for k in range(40)))
    assert len(answers.asked) == 40
    # 40 permits at 200 per second, of which 20 may have been saved up.
    assert answers.asked[-1] - began >= 19 / 200


async def test_what_is_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    before = metrics()
    answers = Answers(busy("0"), Response(200, body=b"12345"))
    exchange = Exchange(RetryPolicy(5, 0.001, 0.002), transport=answers, service="s3")
    ts.experimental_update_verbose_logging("http_transport")
    try:
        with caplog.at_level(logging.INFO, "asynctensor"):
            await exchange.send(Request("PUT", URL, body=(b"abc", b"de")))
    finally:
        ts.experimental_update_verbose_logging("", overwrite=True)
    first, second = [record.getMessage() for record in caplog.records]
    assert "attempt 1: 503, 5 bytes sent, 0 received" in first
    assert "attempt 2: 200, 5 bytes sent, 5 received" in second
    assert "http://server.invalid/k" in first
    assert "hidden" not in caplog.text
    assert {name: value - before.get(name, 0) for name, value in metrics().items()} == {
        "/tensorstore/http/request_started": 2,
        "/tensorstore/http/request_completed": 2,
        "/tensorstore/http/request_bytes": 10,
        "/tensorstore/http/response_bytes": 5,
        "/tensorstore/http/pushed_back": 1,
        "/tensorstore/http/unanswered": 0,
        "/tensorstore/kvstore/s3/retries": 1,
    }


def metrics() -> dict[str, int]:
    start(asyncio.sleep, 0).result()
    return {
        each["name"]: each["values"][0]["value"]
        for prefix in ("/tensorstore/http/", "/tensorstore/kvstore/s3/retries")
        for each in ts.experimental_collect_matching_metrics(prefix, True)
    }


def test_the_rate_limiter_is_opened_with_the_store() -> None:
    limits: dict[str, Any] = {"read_rate": 3.0, "write_rate": 2.0, "doubling_time": "1m"}
    json = {"driver": "s3", "bucket": "abc", "endpoint": "http://localhost:1"}
    context = ts.Context({"experimental_s3_rate_limiter": limits})
    for store in (
        ts.KvStore.open({**json, "experimental_s3_rate_limiter": limits}).result(),
        ts.KvStore.open(json, context=context).result(),
    ):
        assert limits in store.spec(retain_context=True).to_json().values() or limits in (
            store.spec(retain_context=True).to_json()["context"].values()
        )
        rates = store._store.base._asker.given_exchange.rates  # type: ignore[attr-defined]
        assert (rates.read_rate, rates.write_rate, rates.doubling_time) == (3.0, 2.0, 60.0)
    plain = ts.KvStore.open(json).result().spec(retain_context=True).to_json()
    assert not [name for name in str(plain).split("'") if "rate" in name or "hedging" in name]


async def test_reads_hedge_where_the_context_says_so(caddy: HttpServer) -> None:
    (caddy.folder / "k").write_bytes(bytes(100_000))
    json = {"driver": "http", "base_url": caddy.url}
    context = ts.Context({"request_hedging": {"extra_requests": 0.5}})
    hedged, plain = await ts.KvStore.open(json, context=context), await ts.KvStore.open(json)
    for store in (hedged, plain):
        for _ in range(60):
            assert len((await store.read("k", byte_range=slice(0, 100))).value) == 100
    # Only who hedges measures how long reads take; the others are not mixed with them.
    assert hedged.statistics().patience is not None
    assert plain.statistics().patience is None
    assert plain.statistics().reads == plain.statistics().requests == 60
    assert plain.statistics().bytes_asked == plain.statistics().bytes_fetched == 6000
    assert (await ts.KvStore.open("memory://")).statistics().reads == 0
    saved = hedged.spec(retain_context=True).to_json()
    assert {"extra_requests": 0.5} in saved.values()
    again = await ts.KvStore.open(saved)
    assert again.statistics() == hedged.statistics()


@pytest.mark.parametrize("share", [-0.1, 1.5, True, "1", None])
def test_wrong_shares_of_hedges_are_refused(share: object) -> None:
    with pytest.raises(ts.errors.InvalidArgument, match="extra_requests"):
        ts.Context({"request_hedging": {"extra_requests": share}})["request_hedging"]
