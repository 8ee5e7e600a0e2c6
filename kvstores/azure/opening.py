"""Opening an ``azure`` store as a spec says."""

from __future__ import annotations

from asynctensor.kvstores._http.endpoint import parse_endpoint
from asynctensor.kvstores._http.opening import exchange_of
from asynctensor.kvstores.azure.address import Address
from asynctensor.kvstores.azure.store import AzureStore
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_request import StoreRequest


def open_store(request: StoreRequest) -> tuple[KeyValueStore, str]:
    """The store of a container, and the key prefix in it.

    Raises:
        InvalidArgument: A member or resource is not specified well.
    """
    options = request.options
    endpoint = options.get("endpoint")
    store = AzureStore(
        Address(
            options["account"],
            options["container"],
            parse_endpoint(endpoint, "azure_credentials") if endpoint else None,
        ),
        exchange_of(request, "azure"),
        request.resource("azure_credentials"),
    )
    return store, request.path
