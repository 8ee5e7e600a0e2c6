"""Opening an ``azure`` store as a spec says."""

from __future__ import annotations

from asynctensor.kvstores._http.endpoint import parse_endpoint
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores.azure.address import Address
from asynctensor.kvstores.azure.store import AzureStore
from asynctensor.scheduler.retry import RetryPolicy
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_request import StoreRequest


def open_store(request: StoreRequest) -> tuple[KeyValueStore, str]:
    """The store of a container, and the key prefix in it.

    Raises:
        InvalidArgument: A member or resource is not specified well.
    """
    options = request.options
    endpoint = options.get("endpoint")
    retries = request.resource("azure_request_retries")
    store = AzureStore(
        Address(
            options["account"],
            options["container"],
            parse_endpoint(endpoint, "azure_credentials") if endpoint else None,
        ),
        Exchange(
            RetryPolicy(retries.max_retries, retries.initial_delay, retries.max_delay),
            request.resource("azure_request_concurrency").limit,
            rates=request.resource("experimental_azure_rate_limiter"),
            service="azure",
        ),
        request.resource("azure_credentials"),
    )
    return store, request.path
