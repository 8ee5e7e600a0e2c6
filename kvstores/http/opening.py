"""Opens an ``http`` store as a spec says."""

from __future__ import annotations

from asynctensor.kvstores._http.opening import exchange_of
from asynctensor.kvstores.http.address import parse_address, split_header
from asynctensor.kvstores.http.credentials import Authorization, of_user
from asynctensor.kvstores.http.store import HttpStore
from asynctensor.schema.contradiction import contradiction
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_request import StoreRequest


def open_store(request: StoreRequest) -> tuple[KeyValueStore, str]:
    """The store of what is below the URL, and the key prefix in it.

    Raises:
        InvalidArgument: A member or resource is not specified well, or two say who asks.
    """
    address, user = parse_address(request.options["base_url"])
    credentials = request.resource("http_credentials")
    headers = [split_header(text) for text in request.options.get("headers", ())]
    header = next((v for name, v in headers if name.lower() == "authorization"), None)
    if (user is not None) + (header is not None) + (credentials.type != "none") > 1:
        said = {"base_url": user, "headers": header, "http_credentials": credentials.type != "none"}
        raise contradiction(
            "say only once who asks: as user in the URL, as the header Authorization, or as "
            "http_credentials",
            *[name for name, each in said.items() if each][1::-1],
        )
    if user is not None:
        credentials = of_user(user)
    store = HttpStore(
        address,
        exchange_of(request, "http", has_rates=False),
        tuple((name, value) for name, value in headers if name.lower() != "authorization"),
        Authorization(credentials, header),
    )
    return store, request.path
