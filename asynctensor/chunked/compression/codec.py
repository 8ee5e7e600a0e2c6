"""The contract of what turns bytes into fewer bytes, shared by all formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array, Encoding
from asynctensor.errors import DataLoss, ResourceExhausted
from asynctensor.runtime.reused_memory import ENCODINGS, reused_memory
from asynctensor.storage.kvstore import Buffer


class BytesCodec(ABC):
    """One step from bytes to bytes. Immutable, and safe in any thread."""

    #: Name in error messages.
    name: str
    #: Whether what `encode` gives is never a view of what it is given.
    encodes_apart: bool = False

    @abstractmethod
    def decode_into(self, data: Buffer, out: memoryview) -> None:
        """Fills `out` (writable, contiguous bytes) with exactly what `data` encodes.

        Raises:
            DataLoss: `data` is damaged, goes on after its end, or is not of that length. What
                `out` holds then is undefined.
        """

    @abstractmethod
    def decode_exactly(self, data: Buffer, size: int) -> Buffer:
        """What `data` encodes, which must be `size` bytes; possibly read-only.

        Raises:
            DataLoss: As for `decode_into`; known wrong lengths are found before anything is
                allocated.
            ResourceExhausted: There is not as much memory.
        """

    @abstractmethod
    def decode(self, data: Buffer, limit: int) -> Buffer:
        """What `data` encodes, where its length is not known beforehand.

        Raises:
            DataLoss: `data` is damaged, or encodes more than `limit` bytes; no more than about
                that was allocated.
        """

    @abstractmethod
    def encode(self, data: Buffer) -> Buffer:
        """The encoded bytes; may share memory with `data`.

        Raises:
            InvalidArgument: `data` is longer than this codec can hold.
        """

    def decode_each(
        self, values: Sequence[Buffer], out: memoryview, size: int, lead: memoryview | None = None
    ) -> list[int]:
        """`decode_into` for several values, whose `size` bytes each lie one behind the other.

        Args:
            values: The values.
            out: Filled.
            size: Bytes that each decodes to.
            lead: See `ArrayCodec.decode_each`.

        Returns:
            Numbers of those that raised `DataLoss`.
        """
        failed = []
        for k, data in enumerate(values):
            try:
                self.decode_into(data, out[k * size : (k + 1) * size])
            except DataLoss:
                failed.append(k)
        return failed

    def encode_each(self, data: memoryview, size: int) -> Sequence[Encoding]:
        """`encode` for each `size` bytes of `data`; what comes may share one block of memory."""
        return [self.encode(data[k : k + size]) for k in range(0, len(data), size)]

    def encoded_size(self, size: int) -> int | None:
        """Length of the encoding of `size` bytes, where that does not depend on the bytes."""
        return None

    def largest_encoding(self, size: int) -> int:
        """A length that no reasonable encoder exceeds for `size` bytes.

        Decoders of an outer step rest on it, so it is generous: foreign encoders may be wasteful.
        """
        return 2 * size + 4096


class LengthlessCodec(BytesCodec):
    """A codec that gains nothing from knowing how many bytes will come: it decodes by `decode`."""

    def decode_into(self, data: Buffer, out: memoryview) -> None:
        out[:] = self.decode_exactly(data, len(out))

    def decode_exactly(self, data: Buffer, size: int) -> Buffer:
        decoded = self.decode(data, size)
        if len(decoded) != size:
            raise wrong_length(self.name, len(decoded), size)
        return decoded


def wrong_length(name: str, found: str | int, expected: int) -> DataLoss:
    """The error for bytes that decode to another length than the metadata says."""
    return DataLoss(f"{name}: the data decodes to {found} bytes, expected {expected}")


def damaged(name: str, reason: object) -> DataLoss:
    """The error for bytes that do not decode."""
    return DataLoss(f"{name}: the data is damaged: {reason}")


def allocate(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array that nobody zeroes first.

    Raises:
        ResourceExhausted: There is not as much memory.
    """
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:
        raise ResourceExhausted(f"no memory for a chunk of shape {shape}: {error}") from error


def encoding_room(size: int) -> memoryview:
    """`size` writable bytes with arbitrary content, for what will be stored.

    They are used again when neither they nor a view of them is left: fresh memory costs about as
    much as copying does.

    Raises:
        ResourceExhausted: There is not as much memory.
    """
    lent = reused_memory(size, ENCODINGS)
    return scratch(size) if lent is None else lent.data


def scratch(size: int) -> memoryview:
    """`size` writable bytes that nobody zeroes first.

    Raises:
        ResourceExhausted: There is not as much memory.
    """
    return allocate((size,), np.dtype(np.uint8)).data
