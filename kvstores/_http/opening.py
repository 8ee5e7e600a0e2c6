"""How a store reaches its servers, as its spec says."""

from __future__ import annotations

from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.scheduler.retry import RetryPolicy
from asynctensor.storage.store_request import StoreRequest


def exchange_of(request: StoreRequest, service: str, *, has_rates: bool = True) -> Exchange:
    """The exchange of a store.

    Args:
        request: What is asked to be opened.
        service: How its resources are called.
        has_rates: Whether one of them limits the rate.

    Raises:
        InvalidArgument: A resource is not specified well.
    """
    retries = request.resource(f"{service}_request_retries")
    return Exchange(
        RetryPolicy(retries.max_retries, retries.initial_delay, retries.max_delay),
        request.resource(f"{service}_request_concurrency").limit,
        rates=request.resource(f"experimental_{service}_rate_limiter") if has_rates else None,
        service=service,
    )
