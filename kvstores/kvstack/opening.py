"""Opens a ``kvstack`` as a spec says."""

from __future__ import annotations

from asynctensor.kvstores.kvstack.layers import parse_layer
from asynctensor.kvstores.kvstack.store import KvStackStore
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_request import StoreRequest


def open_store(request: StoreRequest) -> tuple[KeyValueStore, str]:
    """The store of the layers that the spec names.

    Raises:
        InvalidArgument: A layer is not specified well.
    """
    layers = [
        parse_layer(json, request.open_base(json["base"])) for json in request.options["layers"]
    ]
    return KvStackStore(layers), request.path
