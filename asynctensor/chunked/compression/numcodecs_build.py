"""From what numcodecs' JSON says to the codec that does it."""

from __future__ import annotations

import importlib
import json
import struct
from math import prod
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array, ArrayCodec
from asynctensor.chunked.compression.array_step import ArrayStep, array_of
from asynctensor.chunked.compression.bitround import MANTISSA_BITS, BitroundStep
from asynctensor.chunked.compression.blosc import BloscCodec
from asynctensor.chunked.compression.codec import (
    BytesCodec,
    allocate,
    damaged,
    wrong_length,
)
from asynctensor.chunked.compression.deflate import Bz2Codec, GzipCodec, ZlibCodec
from asynctensor.chunked.compression.lzma import LzmaCodec
from asynctensor.chunked.compression.numcodecs_spec import Numcodec
from asynctensor.chunked.compression.packed import bytes_of
from asynctensor.chunked.compression.user_codec import (
    UserCodec,
    build_user_codec,
    is_user_codec,
)
from asynctensor.chunked.compression.zstd import ZstdCodec
from asynctensor.errors import DataLoss, InvalidArgument, Unimplemented
from asynctensor.storage.kvstore import Buffer

#: Whatever numcodecs may raise for bytes that it cannot decode.
_FAILURES = (ValueError, TypeError, RuntimeError, LookupError, OverflowError, AssertionError)
_LZ4_HEADER = struct.Struct("<I")
#: Shuffle by bits where elements are bytes, by bytes where they are larger.
_AUTO_SHUFFLE = -1
#: What is installed for it, and the name of our extra.
_EXTRAS = {"pcodec": "codecs", "zfpy": "codecs"}


def _made(spec: Numcodec, values: dict[str, Any]) -> Any:
    """Numcodecs' own object.

    Raises:
        InvalidArgument: It refuses the members.
        Unimplemented: A library is not installed.
    """
    registry = importlib.import_module("numcodecs.registry")
    if spec.id in _EXTRAS:
        _library(spec.id, spec.id)
    try:
        return registry.get_codec({"id": spec.id, **values})
    except _FAILURES as error:
        raise InvalidArgument(f'the codec "{spec.id}": {error}') from error


def _library(id_: str, module: str) -> Any:
    """A library that is not always installed.

    Raises:
        Unimplemented: It is not.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Unimplemented(
            f'the codec "{id_}" needs a library: pip install "asynctensor[{_EXTRAS[id_]}]"'
        ) from error


def _zfpy_options(values: dict[str, Any]) -> dict[str, Any]:
    """What zfpy calls a codec's mode and its one parameter; numcodecs' default is accuracy."""
    name = {2: "rate", 3: "precision", 5: None}.get(values.get("mode", 4), "tolerance")
    return {} if name is None else {name: values.get(name, -1)}


# -- bytes to bytes ---------------------------------------------------------------------------


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


class NumcodecsStep(BytesCodec):
    """A codec of numcodecs whose decoded bytes are not more than the encoded ones.

    Args:
        spec: The codec.
        values: Its members, as numcodecs takes them.
        added: How many bytes longer the encoding is; None: it depends.
    """

    def __init__(self, spec: Numcodec, values: dict[str, Any], added: int | None) -> None:
        self.name = spec.id
        self._codec = _made(spec, values)
        self._added = added

    def decode_into(self, data: Buffer, out: memoryview) -> None:
        out[:] = self.decode_exactly(data, len(out))

    def decode_exactly(self, data: Buffer, size: int) -> Buffer:
        decoded = self.decode(data, size)
        if len(decoded) != size:
            raise wrong_length(self.name, len(decoded), size)
        return decoded

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
        except _FAILURES as error:
            raise damaged(self.name, error) from error
        if len(decoded) > limit:
            raise wrong_length(self.name, len(decoded), limit)
        return decoded

    def encode(self, data: Buffer) -> Buffer:
        if not len(data) and self._added == 0:
            return b""
        try:
            encoded = self._codec.encode(np.frombuffer(data, np.uint8))
        except _FAILURES as error:
            raise InvalidArgument(f"{self.name}: {error}") from error
        return memoryview(encoded).cast("B")

    def encoded_size(self, size: int) -> int | None:
        return None if self._added is None else size + self._added


class Lz4Codec(BytesCodec):
    """LZ4 as numcodecs writes it: the decoded length (uint32, little-endian), then one block."""

    name = "lz4"

    def __init__(self, *, acceleration: int) -> None:
        self._acceleration = acceleration
        # Compiled, and without types.
        self._lz4: Any = importlib.import_module("numcodecs.lz4")

    def decode_into(self, data: Buffer, out: memoryview) -> None:
        out[:] = self.decode_exactly(data, len(out))

    def decode_exactly(self, data: Buffer, size: int) -> Buffer:
        decoded = self.decode(data, size)
        if len(decoded) != size:
            raise wrong_length(self.name, len(decoded), size)
        return decoded

    def decode(self, data: Buffer, limit: int) -> Buffer:
        if len(data) <= _LZ4_HEADER.size:
            raise damaged(self.name, f"{len(data)} bytes are too few")
        (size,) = _LZ4_HEADER.unpack_from(data)
        if size > limit:
            raise wrong_length(self.name, size, limit)
        try:
            decoded: bytes = self._lz4.decompress(data)
        except _FAILURES as error:
            raise damaged(self.name, error) from error
        return decoded

    def encode(self, data: Buffer) -> Buffer:
        try:
            encoded: bytes = self._lz4.compress(data, self._acceleration)
        except _FAILURES as error:
            raise InvalidArgument(f"{self.name}: {error}") from error
        return encoded


# -- array to array ---------------------------------------------------------------------------


class NumcodecsFilter(ArrayStep):
    """A codec out of `numcodecs_spec.ARRAYS`, or ``categorize``.

    Args:
        spec: The codec; what it does not say is completed from `dtype`.
        shape: Shape of the decoded chunk.
        dtype: Its data type, of the byte order that the codec is to see.

    Raises:
        InvalidArgument: Its members do not fit the data type.
    """

    def __init__(self, spec: Numcodec, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.name, self.shape, self.dtype = spec.id, shape, dtype
        values = spec.values
        self.encoded_shape, self.encoded_dtype = shape, dtype
        if spec.id == "packbits":
            decoded = np.dtype(bool)
            self.encoded_shape, self.encoded_dtype = (1 + (prod(shape) + 7) // 8,), np.dtype("u1")
        elif spec.id == "bitround":
            decoded = dtype
            if dtype.kind != "f" or not values["keepbits"] <= MANTISSA_BITS.get(dtype.name, -1):
                raise InvalidArgument(f"bitround: cannot keep {values['keepbits']} bits of {dtype}")
        else:
            said, encoded = ("decode_dtype", "encode_dtype") if spec.id == "astype" else (
                "dtype", "astype",
            )  # fmt: skip
            values.setdefault(said, dtype.str)
            if values[said] != "|O":
                values.setdefault(encoded, values[said])
            decoded = np.dtype(values[said])
            self.encoded_dtype = np.dtype(values.get(encoded, "u1"))
        if decoded != dtype:
            raise InvalidArgument(
                f'the codec "{spec.id}" is for elements of type {decoded.str}, here are {dtype.str}'
            )
        self._codec = _made(spec, values)

    def encode(self, chunk: Array) -> Array:
        flat = np.ascontiguousarray(chunk).reshape(-1)
        if not flat.size and self.name != "packbits":
            return flat.astype(self.encoded_dtype).reshape(self.encoded_shape)
        try:
            with np.errstate(all="ignore"):
                encoded = self._codec.encode(flat)
            return _as(encoded, self.encoded_dtype, self.encoded_shape)
        except _FAILURES as error:
            raise InvalidArgument(f"{self.name}: {error}") from error

    def decode(self, chunk: Array) -> Array:
        flat = np.ascontiguousarray(chunk).reshape(-1)
        if not flat.size:
            return flat.astype(self.dtype).reshape(self.shape)
        try:
            with np.errstate(all="ignore"):
                decoded = self._codec.decode(flat)
            return _as(decoded, self.dtype, self.shape)
        except _FAILURES as error:
            raise damaged(self.name, error) from error

    def encode_fill(self, fill: Array) -> Array:
        if self.name in ("fixedscaleoffset", "quantize", "astype", "bitround"):
            with np.errstate(all="ignore"):
                encoded = np.asarray(self._codec.encode(fill.reshape((1,))))
            return encoded.reshape(-1).view(self.encoded_dtype).reshape(())
        # The others do not encode one element by itself.
        return np.zeros((), self.encoded_dtype)


def _as(found: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    array = np.ascontiguousarray(found).reshape(-1)
    if array.dtype != dtype:
        array = array.view(dtype)
    return array.reshape(shape)


class FilterStep(BytesCodec):
    """An array filter between bytes, as zarr v2 has them: it says itself what the elements are.

    Args:
        array_step: The filter, of one-dimensional chunks.
    """

    def __init__(self, name: str, array_step: ArrayStep) -> None:
        self.name = name
        self._step = array_step
        self._decoded = prod(array_step.shape) * array_step.dtype.itemsize
        self._encoded = prod(array_step.encoded_shape) * array_step.encoded_dtype.itemsize

    def decode_into(self, data: Buffer, out: memoryview) -> None:
        out[:] = self.decode_exactly(data, len(out))

    def decode_exactly(self, data: Buffer, size: int) -> Buffer:
        if size != self._decoded:
            raise wrong_length(self.name, self._decoded, size)
        return self.decode(data, size)

    def decode(self, data: Buffer, limit: int) -> Buffer:
        if self._decoded > limit:
            raise wrong_length(self.name, self._decoded, limit)
        if len(data) != self._encoded:
            raise DataLoss(f"{self.name}: {len(data)} bytes came, expected {self._encoded}")
        step = self._step
        decoded = step.decode(array_of(data, step.encoded_dtype, step.encoded_shape))
        return bytes_of(np.ascontiguousarray(decoded))

    def encode(self, data: Buffer) -> Buffer:
        step = self._step
        encoded = step.encode(array_of(data, step.dtype, step.shape))
        return bytes_of(np.ascontiguousarray(encoded))

    def encoded_size(self, size: int) -> int | None:
        return self._encoded if size == self._decoded else None

    def largest_encoding(self, size: int) -> int:
        del size
        return self._encoded


def build_filter(spec: Numcodec, shape: tuple[int, ...], dtype: np.dtype[Any]) -> ArrayStep:
    """A codec out of `numcodecs_spec.ARRAYS` for chunks of `shape` and `dtype`.

    Raises:
        InvalidArgument: Its members do not fit them.
    """
    if spec.id == "bitround" and dtype.name in MANTISSA_BITS:
        keepbits = spec.values["keepbits"]
        if 1 <= keepbits <= MANTISSA_BITS[dtype.name] and dtype.isnative:
            return BitroundStep(shape, dtype, keepbits)
    return NumcodecsFilter(spec, shape, dtype)


# -- array to bytes ---------------------------------------------------------------------------


class NumcodecsSerializer(ArrayCodec):
    """``pcodec`` or ``zfpy``: numbers to bytes that say how many they are.

    Args:
        spec: The codec.
        shape: Shape of the chunk.
        dtype: Its data type.

    Raises:
        InvalidArgument: It cannot hold such numbers.
        Unimplemented: Its library is not installed.
    """

    def __init__(self, spec: Numcodec, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.name, self.shape, self.dtype = spec.id, shape, dtype
        allowed = "iuf" if spec.id == "pcodec" else "if"
        widths = (2, 4, 8) if spec.id == "pcodec" else (4, 8)
        if dtype.kind not in allowed or dtype.itemsize not in widths:
            raise InvalidArgument(f'the codec "{spec.id}" is not for elements of type {dtype.name}')
        if spec.id == "zfpy" and not 1 <= len(shape) <= 4:
            raise InvalidArgument(f'the codec "zfpy" is for 1 to 4 dimensions, not {len(shape)}')
        # numcodecs' own class of zfpy does not know all modes.
        self._codec = _made(spec, spec.values) if spec.id == "pcodec" else None
        self._library = _library(spec.id, "zfpy" if spec.id == "zfpy" else "pcodec.standalone")
        self._zfpy_options = _zfpy_options(spec.values)

    def decode(self, data: Buffer, out: Array | None = None) -> Array:
        if not prod(self.shape):
            return allocate(self.shape, self.dtype)
        decode = self._decode_zfpy if self.name == "zfpy" else self._decode_pcodec
        try:
            chunk = decode(bytes(data))
        except _FAILURES as error:
            raise damaged(self.name, error) from error
        if chunk.size != prod(self.shape) or chunk.dtype != self.dtype:
            raise damaged(self.name, f"it holds {chunk.dtype} of shape {chunk.shape}")
        chunk = chunk.reshape(self.shape)
        if out is None:
            return chunk
        np.copyto(out, chunk)
        return out

    def _decode_pcodec(self, data: bytes) -> Array:
        flat = allocate((prod(self.shape),), self.dtype)
        progress = self._library.simple_decompress_into(data, flat)
        if progress.n_processed != flat.size or not progress.finished:
            raise damaged(self.name, f"it does not hold {flat.size} numbers")
        return flat

    def _decode_zfpy(self, data: bytes) -> Array:
        header = self._library.header(data)
        sizes = [n for n in (header["nx"], header["ny"], header["nz"], header["nw"]) if n]
        if prod(sizes) != prod(self.shape) or np.dtype(header["type"]) != self.dtype:
            raise damaged(self.name, f"its header says {header['type']} of shape {sizes[::-1]}")
        # The library does not know where the stream ends, and must not read beyond it: a block of
        # 4 to the power of the rank takes at most twice its own size.
        bits = 2 * 8 * self.dtype.itemsize * 4 ** len(sizes) + 128
        if header["config"]["expert"]["minbits"] > bits:
            raise damaged(self.name, "its blocks are longer than any can be")
        blocks = prod(-(-n // 4) for n in sizes)
        found: Array = self._library.decompress_numpy(data + bytes(blocks * bits // 8 + 1024))
        return found

    def encode(self, chunk: Array) -> Buffer:
        if not chunk.size:
            return b""
        try:
            contiguous = np.ascontiguousarray(chunk)
            if self._codec is not None:
                encoded: Buffer = self._codec.encode(contiguous)
            else:
                encoded = self._library.compress_numpy(
                    contiguous, write_header=True, **self._zfpy_options
                )
        except _FAILURES as error:
            raise InvalidArgument(f"{self.name}: {error}") from error
        return encoded


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
