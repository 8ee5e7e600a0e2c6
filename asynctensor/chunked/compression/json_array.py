"""Arrays of JSON values: numcodecs' codec ``json2``.

```
chunk = JSON list: the elements, nested by dimension; then the data type; then the shape
```
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array, ArrayCodec
from asynctensor.chunked.compression.codec import damaged
from asynctensor.errors import InvalidArgument
from asynctensor.storage.kvstore import Buffer


class JsonArrayCodec(ArrayCodec):
    """Arrays of objects.

    Args:
        values: The codec's members.
        shape: Shape of the chunk.
    """

    def __init__(self, values: Mapping[str, Any], shape: tuple[int, ...]) -> None:
        self.shape, self.dtype = shape, np.dtype(object)
        self._encoding: str = values.get("encoding", "utf-8")
        self._strict: bool = values.get("strict", True)
        indent = values.get("indent")
        separators = values.get("separators") or ([",", ":"] if indent is None else [", ", ": "])
        self._options: dict[str, Any] = {
            "ensure_ascii": values.get("ensure_ascii", True),
            "allow_nan": values.get("allow_nan", True),
            "skipkeys": values.get("skipkeys", False),
            "sort_keys": values.get("sort_keys", True),
            "indent": indent,
            "separators": tuple(separators),
        }

    def decode(self, data: Buffer, out: Array | None = None) -> Array:
        try:
            items = json.loads(bytes(data).decode(self._encoding), strict=self._strict)
        except (ValueError, RecursionError) as error:
            raise damaged("json2", error) from error
        if not isinstance(items, list) or len(items) < 2 or items[-1] != [*self.shape]:
            raise damaged("json2", f"it does not end with the shape {[*self.shape]}")
        # A scalar is written as one of a list.
        elements = items[:-2] if self.shape else items[0]
        found = np.empty(prod(self.shape), object)
        for position, element in enumerate(_flattened(elements, self.shape)):
            found[position] = element
        chunk = found.reshape(self.shape)
        if out is None:
            return chunk
        np.copyto(out, chunk)
        return out

    def encode(self, chunk: Array) -> Buffer:
        items = np.atleast_1d(chunk).tolist()
        try:
            text = json.dumps([*items, "|O", [*self.shape]], **self._options)
            return text.encode(self._encoding)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidArgument(f"json2: {error}") from error


def _flattened(elements: Any, shape: tuple[int, ...]) -> list[Any]:
    if not shape:
        return [elements]
    if not isinstance(elements, list) or len(elements) != shape[0]:
        raise damaged("json2", f"expected a list of {shape[0]} elements")
    if len(shape) == 1:
        return elements
    return [leaf for element in elements for leaf in _flattened(element, shape[1:])]
