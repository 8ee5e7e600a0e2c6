"""Blosc 1, the compressor of most zarr arrays.

What a frame is, `blosc_frames` says.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from asynctensor.chunked.codec import Encoding
from asynctensor.chunked.compression.blosc_frames import (
    HEADER,
    Form,
    decode_together,
    encode_together,
)
from asynctensor.chunked.compression.c_blosc import OVERHEAD, CBlosc, c_blosc
from asynctensor.chunked.compression.codec import (
    BytesCodec,
    damaged,
    encoding_room,
    scratch,
    wrong_length,
)
from asynctensor.errors import InvalidArgument
from asynctensor.storage.address import address_of
from asynctensor.storage.kvstore import Buffer

#: Compiled, and without types.
blosc: Any = importlib.import_module("numcodecs.blosc")

#: c-blosc, BLOSC_MAX_BUFFERSIZE: 2 GiB less one and its header.
MAX_SIZE = 2**31 - 1 - 16

#: Names of the shuffles, in the order of their numbers.
SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")
#: So many chunks are decoded as one, if they are no longer than this: otherwise looking through
#: them takes longer than what it saves.
_MANY = 16
_SMALL = 256 * 1024
#: Bytes from which on the encoding gets memory of its own, which it is not copied out of.
_LARGE = 128 * 1024
CNAMES = ("blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd")


class BloscCodec(BytesCodec):
    """Blosc.

    numcodecs gives up the GIL, and on any thread but the main one neither locks nor starts
    threads of its own, so workers do not wait for each other.

    Args:
        cname: One of `CNAMES`.
        clevel: 0 to 9.
        shuffle: 0 (none), 1 (bytes) or 2 (bits).
        typesize: Size in bytes of what is shuffled.
        blocksize: In bytes; 0 lets blosc choose.
    """

    name = "blosc"
    encodes_apart = True

    def __init__(
        self, *, cname: str, clevel: int, shuffle: int, typesize: int, blocksize: int = 0
    ) -> None:
        self._cname = cname.encode()
        self._clevel = clevel
        self._shuffle = shuffle
        # c-blosc replaces a typesize above 255 by 1 itself; numcodecs refuses it.
        self._typesize = typesize if typesize <= 255 else 1
        self._blocksize = blocksize
        #: What the library makes of chunks, by their length; None if not several at once.
        self._forms: dict[int, Form | None] = {}

    def decode_into(self, data: Buffer, out: memoryview) -> None:
        size = self._decoded_size(data)
        if size != len(out):
            raise wrong_length(self.name, size, len(out))
        if size:
            self._decompress(data, out)

    def _decompress(self, data: Buffer, out: memoryview) -> None:
        try:
            blosc.decompress(data, out)
        except (RuntimeError, ValueError) as error:
            raise damaged(self.name, error) from error

    def decode(self, data: Buffer, limit: int) -> Buffer:
        size = self._decoded_size(data)
        if size > limit:
            raise wrong_length(self.name, size, limit)
        return self.decode_exactly(data, size)

    def decode_exactly(self, data: Buffer, size: int) -> Buffer:
        found = self._decoded_size(data)
        if found != size:
            raise wrong_length(self.name, found, size)
        out = scratch(size)
        if size:
            self._decompress(data, out)
        return out

    def decode_each(
        self, values: Sequence[Buffer], out: memoryview, size: int, lead: memoryview | None = None
    ) -> list[int]:
        native = c_blosc()
        if native is None:
            return super().decode_each(values, out, size)
        if (
            lead is not None
            and len(values) >= _MANY
            and 0 < size <= _SMALL
            and decode_together(native.decompress, values, out, size, lead)
        ):
            return []
        failed = []
        address = address_of(out)
        for k, data in enumerate(values):
            if len(data) < HEADER.size:
                failed.append(k)
                continue
            *_, nbytes, _, cbytes = HEADER.unpack_from(data)
            # As in `_decoded_size`: the header is trusted from here on.
            wrong = nbytes != size or cbytes != len(data)
            source = data if isinstance(data, bytes) else address_of(data)
            place = address + k * size
            if wrong or native.decompress(source, size, place) != size:
                failed.append(k)
        return failed

    def encode_each(self, data: memoryview, size: int) -> Sequence[Encoding]:
        native = c_blosc()
        if native is None or size > MAX_SIZE:
            return super().encode_each(data, size)
        found: Sequence[Encoding | None] | None = None
        if len(data) > size:
            found = self._encoded_together(native, data, size)
        if found is None:
            found = [None] * (len(data) // size)
        return [
            self.encode(data[k * size : (k + 1) * size]) if each is None else each
            for k, each in enumerate(found)
        ]

    def _encoded_together(
        self, native: CBlosc, data: memoryview, size: int
    ) -> Sequence[Encoding | None] | None:
        """See `encode_together`."""
        if size not in self._forms:
            self._forms[size] = Form.of(self.encode(data[:size]))
        form = self._forms[size]
        found = None
        if form is not None:
            found = encode_together(partial(self._compress, native), data, form)
        if found is None:
            self._forms[size] = None
        return found

    def _compress(
        self, native: CBlosc, source: int, size: int, target: int, room: int, blocksize: int
    ) -> int:
        return native.compress(
            source,
            size,
            target,
            room,
            cname=self._cname,
            clevel=self._clevel,
            shuffle=self._shuffle,
            typesize=self._typesize,
            blocksize=blocksize,
        )

    def _decoded_size(self, data: Buffer) -> int:
        # c-blosc is not told where its input ends: it trusts the header, so we must not.
        if len(data) < HEADER.size:
            raise damaged(self.name, f"{len(data)} bytes are too few for its header")
        *_, nbytes, _blocksize, cbytes = HEADER.unpack_from(data)
        if cbytes != len(data):
            raise damaged(self.name, f"its header says {cbytes} bytes, {len(data)} are stored")
        return int(nbytes)

    def encode(self, data: Buffer) -> Buffer:
        size = len(data)
        native = c_blosc() if _LARGE <= size <= MAX_SIZE else None
        if native is None:
            return self._encode_checked(data)
        room = encoding_room(size + OVERHEAD)
        target = address_of(room)
        length = self._compress(native, address_of(data), size, target, len(room), self._blocksize)
        return room[:length].toreadonly() if length > 0 else self._encode_checked(data)

    def _encode_checked(self, data: Buffer) -> Buffer:
        """By numcodecs, which says what is wrong; it copies what it has encoded under the GIL."""
        if len(data) > MAX_SIZE:
            raise InvalidArgument(
                f"blosc: cannot encode {len(data)} bytes at once (at most {MAX_SIZE}); "
                "use smaller chunks"
            )
        encoded: bytes = blosc.compress(
            data, self._cname, self._clevel, self._shuffle, self._blocksize, self._typesize
        )
        return encoded
