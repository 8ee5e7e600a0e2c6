"""N5 datasets put together by hand, as other writers make them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import pytest

import asynctensor as ts

Make: TypeAlias = Callable[..., ts.TensorStore]
#: 5 x 4 elements in blocks of 3 x 2.
DOCUMENT: dict[str, Any] = {
    "dimensions": [5, 4],
    "blockSize": [3, 2],
    "dataType": "uint16",
    "compression": {"type": "raw"},
}


def header(*sizes: int, mode: int = 0, count: int | None = None) -> bytes:
    """A block's header, by the specification's grammar."""
    start = struct.pack(f">HH{len(sizes)}I", mode, len(sizes), *sizes)
    return start if count is None else start + struct.pack(">I", count)


def payload(data: np.ndarray) -> bytes:
    """Elements as a raw block has them: big-endian, the first dimension fastest."""
    return data.astype(data.dtype.newbyteorder(">")).tobytes(order="F")


def block(data: np.ndarray) -> bytes:
    """A raw block that has the size of its data."""
    return header(*data.shape) + payload(data)


@pytest.fixture
def make() -> Make:
    """Stores a document and blocks in a new memory store, and opens it with what else is given."""

    def made(
        document: Mapping[str, Any] = DOCUMENT, blocks: Mapping[str, bytes] = {}, **given: Any
    ) -> ts.TensorStore:
        context = ts.Context()
        store = ts.KvStore.open("memory://a/", context=context).result()
        store.write("attributes.json", json.dumps(document).encode()).result()
        for key, value in blocks.items():
            store.write(key, value).result()
        spec = {"driver": "n5", "kvstore": "memory://a/"}
        return ts.open(spec, context=context, **given).result()

    return made
