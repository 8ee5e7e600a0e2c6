"""numcodecs' ``categorize``: texts as the numbers of labels."""

from __future__ import annotations

import numpy as np

from asynctensor.chunked.codec import Array, ArrayCodec
from asynctensor.chunked.compression.array_step import array_of
from asynctensor.chunked.compression.numcodecs_spec import Numcodec
from asynctensor.chunked.compression.packed import bytes_of
from asynctensor.errors import InvalidArgument
from asynctensor.storage.kvstore import Buffer


class CategorizeCodec(ArrayCodec):
    """``categorize`` on arrays of str: the number of the label, 0 for none of them.

    Args:
        spec: The codec.
        shape: Shape of the chunk.
    """

    def __init__(self, spec: Numcodec, shape: tuple[int, ...]) -> None:
        values = spec.values
        if values["dtype"] not in ("|O", "O", "object"):
            raise InvalidArgument(f"categorize is for {values['dtype']}, here are objects")
        self.shape, self.dtype = shape, np.dtype(object)
        self._astype = np.dtype(values.get("astype", "u1"))
        if self._astype.kind not in "iu":
            raise InvalidArgument(f"categorize: {self._astype.str} is no integer type")
        self._labels = np.array(["", *values["labels"]], object)

    def decode(self, data: Buffer, out: Array | None = None) -> Array:
        codes = array_of(data, self._astype, self.shape)
        known = (codes >= 0) & (codes < len(self._labels))
        # numcodecs, too, takes codes that are no label's for none.
        chunk = self._labels[np.where(known, codes, 0).astype(np.intp)]
        if out is None:
            return np.asarray(chunk, object).reshape(self.shape)
        np.copyto(out, chunk)
        return out

    def encode(self, chunk: Array) -> Buffer:
        codes = np.zeros(self.shape, self._astype)
        for number, label in enumerate(self._labels[1:], 1):
            codes[chunk == label] = number
        return bytes_of(np.ascontiguousarray(codes))
