"""Opening a ``gcs`` store as a spec says."""

from __future__ import annotations

import os
from typing import Final

from asynctensor.errors import InvalidArgument
from asynctensor.kvstores._http.endpoint import parse_endpoint
from asynctensor.kvstores._http.opening import exchange_of
from asynctensor.kvstores.gcs.address import Address, emulator_of
from asynctensor.kvstores.gcs.store import GcsStore
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_request import StoreRequest

#: Names an emulator, as for Google's own clients.
_EMULATOR: Final = "STORAGE_EMULATOR_HOST"


def open_store(request: StoreRequest) -> tuple[KeyValueStore, str]:
    """The store of a bucket, and the key prefix in it.

    Raises:
        InvalidArgument: A member or resource is not specified well.
    """
    options = request.options
    endpoint = options.get("endpoint")
    store = GcsStore(
        Address(
            options["bucket"],
            parse_endpoint(endpoint, "gcs_credentials") if endpoint else None,
            None if endpoint else _emulator(),
        ),
        exchange_of(request, "gcs"),
        request.resource("gcs_credentials"),
        request.resource("gcs_user_project"),
    )
    return store, request.path


def _emulator() -> str | None:
    found = emulator_of(os.environ.get(_EMULATOR))
    if found is None:
        return None
    try:
        return parse_endpoint(found, "gcs_credentials")
    except InvalidArgument as error:
        raise InvalidArgument(f"the variable {_EMULATOR} is no URL: {error.message}") from None
