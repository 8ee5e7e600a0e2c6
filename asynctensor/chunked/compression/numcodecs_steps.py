"""numcodecs' codecs from bytes to bytes: from what their JSON says to the codec that does it."""

from __future__ import annotations

import importlib
import json
import struct
from typing import Any

import numpy as np

from asynctensor.chunked.compression.blosc import BloscCodec
from asynctensor.chunked.compression.codec import (
    BytesCodec,
    LengthlessCodec,
    damaged,
    wrong_length,
)
from asynctensor.chunked.compression.deflate import Bz2Codec, GzipCodec, ZlibCodec
from asynctensor.chunked.compression.lzma import LzmaCodec
from asynctensor.chunked.compression.numcodecs_library import FAILURES, numcodecs_object
from asynctensor.chunked.compression.numcodecs_spec import Numcodec
from asynctensor.chunked.compression.user_codec import (
    UserCodec,
    build_user_codec,
    is_user_codec,
)
from asynctensor.chunked.compression.zstd import ZstdCodec
from asynctensor.errors import InvalidArgument
from asynctensor.storage.kvstore import Buffer

_LZ4_HEADER = struct.Struct("<I")
#: Shuffle by bits where elements are bytes, by bytes where they are larger.
_AUTO_SHUFFLE = -1


def build_step(spec: Numcodec, itemsize: int) -> BytesCodec:
    """A codec out of `numcodecs_spec.STEPS`, or one that a user wrote.

    Args:
        spec: The codec.
        itemsize: Bytes of the elements before it, by which blosc and shuffle go.

    Raises:
        InvalidArgument: Its members do not fit together.
    """
    values = spec.values
    if is_user_codec(spec.id):
        return build_user_codec(UserCodec(spec.id, json.dumps(values)))
    match spec.id:
        case "blosc":
            shuffle = values.get("shuffle", 1)
            typesize = values.get("typesize") or itemsize
            if shuffle == _AUTO_SHUFFLE:
                shuffle = 2 if typesize == 1 else 1
            return BloscCodec(
                cname=values.get("cname", "lz4"),
                clevel=values.get("clevel", 5),
                shuffle=shuffle,
                typesize=typesize,
                blocksize=values.get("blocksize", 0),
            )
        case "zstd":
            return ZstdCodec(level=values.get("level", 0), checksum=values.get("checksum", False))
        case "gzip":
            return GzipCodec(level=values.get("level", 1))
        case "zlib":
            return ZlibCodec(level=values.get("level", 1))
        case "bz2":
            return Bz2Codec(level=values.get("level", 1))
        case "lzma":
            return LzmaCodec(
                container=values.get("format", 1),
                check=values.get("check", -1),
                preset=values.get("preset"),
                filters=values.get("filters"),
            )
        case "lz4":
            return Lz4Codec(acceleration=values.get("acceleration", 1))
        case "shuffle":
            return NumcodecsStep(spec, {"elementsize": values.get("elementsize", 4)}, 0)
        case "base64":
            return NumcodecsStep(spec, {}, None)
    if spec.id == "jenkins_lookup3" and values.get("prefix") is not None:
        values["prefix"] = bytes(values["prefix"])
    return NumcodecsStep(spec, values, 4)


class NumcodecsStep(LengthlessCodec):
    """A codec of numcodecs whose decoded bytes are not more than the encoded ones.

    Args:
        spec: The codec.
        values: Its members, as numcodecs takes them.
        added: How many bytes longer the encoding is; None: it depends.
    """

    def __init__(self, spec: Numcodec, values: dict[str, Any], added: int | None) -> None:
        self.name = spec.id
        self._codec = numcodecs_object(spec, values)
        self._added = added

    def decode(self, data: Buffer, limit: int) -> Buffer:
        if self._added is not None:
            size = len(data) - self._added
            if size < 0:
                raise damaged(self.name, f"{len(data)} bytes are too few")
            if size > limit:
                raise wrong_length(self.name, size, limit)
            if not size and not self._added:
                return b""
        elif len(data) > 2 * limit + 4096:
            raise wrong_length(self.name, f"about {len(data)}", limit)
        try:
            decoded = memoryview(self._codec.decode(np.frombuffer(data, np.uint8))).cast("B")
        except FAILURES as error:
            raise damaged(self.name, error) from error
        if len(decoded) > limit:
            raise wrong_length(self.name, len(decoded), limit)
        return decoded

    def encode(self, data: Buffer) -> Buffer:
        if not len(data) and self._added == 0:
            return b""
        try:
            encoded = self._codec.encode(np.frombuffer(data, np.uint8))
        except FAILURES as error:
            raise InvalidArgument(f"{self.name}: {error}") from error
        return memoryview(encoded).cast("B")

    def encoded_size(self, size: int) -> int | None:
        return None if self._added is None else size + self._added


class Lz4Codec(LengthlessCodec):
    """LZ4 as numcodecs writes it: the decoded length (uint32, little-endian), then one block."""

    name = "lz4"

    def __init__(self, *, acceleration: int) -> None:
        self._acceleration = acceleration
        # Compiled, and without types.
        self._lz4: Any = importlib.import_module("numcodecs.lz4")

    def decode(self, data: Buffer, limit: int) -> Buffer:
        if len(data) <= _LZ4_HEADER.size:
            raise damaged(self.name, f"{len(data)} bytes are too few")
        (size,) = _LZ4_HEADER.unpack_from(data)
        if size > limit:
            raise wrong_length(self.name, size, limit)
        try:
            decoded: bytes = self._lz4.decompress(data)
        except FAILURES as error:
            raise damaged(self.name, error) from error
        return decoded

    def encode(self, data: Buffer) -> Buffer:
        try:
            encoded: bytes = self._lz4.compress(data, self._acceleration)
        except FAILURES as error:
            raise InvalidArgument(f"{self.name}: {error}") from error
        return encoded
