"""What went over the wire, by TensorStore's metric names."""

from __future__ import annotations

from dataclasses import dataclass

from asynctensor.runtime.counters import Counter, counter


@dataclass(frozen=True, slots=True)
class WireCounters:
    """The counters of all requests of the process.

    Attributes:
        request_started: Attempts begun.
        request_completed: Attempts over, answered or not.
        request_bytes: Bytes of bodies sent.
        response_bytes: Bytes of bodies received.
        unanswered: Attempts to which no whole answer came.
        pushed_back: Answers with which a host said that it has too much to do.
    """

    request_started: Counter
    request_completed: Counter
    request_bytes: Counter
    response_bytes: Counter
    unanswered: Counter
    pushed_back: Counter


def wire_counters() -> WireCounters:
    """The counters, made when first asked for."""

    def named(name: str, text: str, unit: str = "") -> Counter:
        return counter(f"/tensorstore/http/{name}", f"http requests: {text}", unit)

    return WireCounters(
        request_started=named("request_started", "attempts begun"),
        request_completed=named("request_completed", "attempts over, answered or not"),
        request_bytes=named("request_bytes", "bytes of bodies sent", "bytes"),
        response_bytes=named("response_bytes", "bytes of bodies received", "bytes"),
        unanswered=named("unanswered", "attempts without a whole answer"),
        pushed_back=named("pushed_back", "answers 429 and 503"),
    )


def retry_counter(service: str) -> Counter:
    """Attempts beyond the first of the stores of one kind."""
    name = f"/tensorstore/kvstore/{service}/retries"
    return counter(name, f"{service} kvstore: requests made again")
