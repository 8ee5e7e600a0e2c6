"""A list of codecs with nothing left open, checked against the chunk that it encodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import TypeAlias

from asynctensor.chunked.compression.bitround import MANTISSA_BITS
from asynctensor.chunked.compression.cast_value import is_integer, is_number
from asynctensor.chunked.compression.numcodecs_serializer import NumcodecsSerializer
from asynctensor.chunked.compression.numcodecs_steps import build_step
from asynctensor.chunked.compression.packbits import bits_of, components
from asynctensor.chunked.member import Member
from asynctensor.drivers.zarr3.codecs import (
    Bitround,
    Blosc,
    Bytes,
    CastValue,
    Chain,
    Crc32c,
    Filter,
    FromNumcodecs,
    FromUser,
    Gzip,
    JsonText,
    Packbits,
    Reshape,
    ScaleOffset,
    Serializer,
    Sharding,
    Step,
    Transpose,
    VlenBytes,
    VlenUtf8,
    Zstd,
    axes_of,
)
from asynctensor.drivers.zarr3.data_types import DataType, read_data_type
from asynctensor.drivers.zarr3.filters import build_filter_step
from asynctensor.errors import InvalidArgument
from asynctensor.schema.contradiction import contradiction
from asynctensor.schema.data_type import dtype

#: What a codec encodes: elements, and the shape of a chunk of them.
Form: TypeAlias = tuple[DataType, tuple[int, ...]]

INDEX_TYPE = DataType("uint64", dtype("uint64"))
#: What TensorStore writes, and the specification recommends.
_INDEX_CODECS = Chain((), Bytes("little"), (Crc32c(),))
_MAX_BYTES = 2**63 - 1


def resolve(
    chain: Chain,
    data_type: DataType,
    shape: tuple[int, ...],
    *,
    where: str = "codecs",
    stored: bool,
) -> Chain:
    """The chain with nothing left open, checked against the chunk that it encodes.

    Args:
        chain: What is said.
        data_type: The elements.
        shape: Shape of the chunk.
        where: Path of the list, for errors.
        stored: Whether it is from a stored document, which must say all that decoding needs.

    Raises:
        InvalidArgument: It does not fit the chunk, or leaves out what it must say.
        Unimplemented: It needs a library that is not installed.
    """
    form: Form = (data_type, shape)
    filters: list[Filter] = []
    for each in chain.filters:
        resolved = _resolve_filter(each, form, where)
        filters.append(resolved)
        form = encoded_form(resolved, form, where)
    serializer = _resolve_serializer(chain.serializer, form, where, stored=stored)
    if isinstance(serializer, Sharding):
        for each in filters:
            if isinstance(each, FromUser):
                # What is not stored in a shard would have to be encoded here, by the user's code.
                raise InvalidArgument(
                    f'member "{where}": the codec "{each.name}" cannot stand before '
                    '"sharding_indexed"; put it among the codecs inside'
                )
    itemsize = 1 if form[0].is_variable else form[0].itemsize
    with _within(where):
        steps = tuple(_resolve_step(step, itemsize) for step in chain.steps)
    return Chain(tuple(filters), serializer, steps)


@contextmanager
def _within(where: str) -> Iterator[None]:
    """Has errors of codecs say where in the document these are."""
    try:
        yield
    except InvalidArgument as error:
        raise InvalidArgument(f'member "{where}": {error.message}') from error


def encoded_form(codec: Filter, form: Form, where: str = "codecs") -> Form:
    """What a filter (from `resolve`) gives of a chunk.

    Raises:
        InvalidArgument: It is not for such a chunk.
    """
    with _within(where):
        step, data_type = build_filter_step(codec, *form)
    size = prod(step.encoded_shape) * data_type.itemsize
    if size > _MAX_BYTES:
        raise InvalidArgument(f'member "{where}": a chunk would have {size} bytes on the way')
    return data_type, step.encoded_shape


def _resolve_filter(codec: Filter, form: Form, where: str) -> Filter:
    data_type, shape = form
    if isinstance(codec, Transpose):
        return Transpose(axes_of(codec, len(shape), where))
    if data_type.is_variable and not isinstance(codec, Reshape):
        raise _unfit(where, codec.name, data_type)
    numpy_dtype = data_type.whole_dtype
    match codec:
        case Reshape():
            return Reshape(_reshaped(codec, shape, where))
        case Bitround():
            part, _ = components(numpy_dtype)
            if codec.keepbits is None:
                raise _unsaid(where, codec.name, "keepbits")
            if part.name not in MANTISSA_BITS and part.kind not in "iumM":
                raise _unfit(where, codec.name, data_type)
        case ScaleOffset():
            if not (is_number(numpy_dtype) or numpy_dtype.kind == "c"):
                raise _unfit(where, codec.name, data_type)
            return ScaleOffset(codec.offset or JsonText("0"), codec.scale or JsonText("1"))
        case CastValue():
            return _resolve_cast(codec, data_type, where)
        case FromNumcodecs():
            names = {"delta": ("dtype",), "fixedscaleoffset": ("dtype",), "quantize": ("dtype",)}
            members = names.get(codec.spec.id, ("decode_dtype",) * (codec.spec.id == "astype"))
            return FromNumcodecs(codec.spec.with_defaults(dict.fromkeys(members, numpy_dtype.str)))
    return codec


def _reshaped(codec: Reshape, shape: tuple[int, ...], where: str) -> tuple[int, ...]:
    """The shape that a reshape gives.

    Lists of input dimensions must name the dimensions that they then are.
    """
    if codec.shape is None:
        raise _unsaid(where, codec.name, "shape")
    wrong = InvalidArgument(
        f'member "{where}": cannot reshape chunks of shape {list(shape)} to '
        f"{[[*n] if isinstance(n, tuple) else n for n in codec.shape]}"
    )
    sizes: list[int] = []
    for size in codec.shape:
        if isinstance(size, tuple):
            if any(axis >= len(shape) for axis in size):
                raise wrong
            sizes.append(prod(shape[axis] for axis in size))
        else:
            sizes.append(size)
    if -1 in sizes:
        known = -prod(sizes)
        if prod(shape) % known:
            raise wrong
        sizes[sizes.index(-1)] = prod(shape) // known
    if prod(sizes) != prod(shape):
        raise wrong
    for i, size in enumerate(codec.shape):
        if isinstance(size, tuple) and size:
            before, after = prod(shape[: size[0]]), prod(shape[size[-1] + 1 :])
            if prod(sizes[:i]) != before or prod(sizes[i + 1 :]) != after:
                raise wrong
    return tuple(sizes)


def _resolve_cast(codec: CastValue, data_type: DataType, where: str) -> CastValue:
    if codec.data_type is None:
        raise _unsaid(where, codec.name, "data_type")
    target = read_data_type(Member(codec.data_type.value, f"{where}.data_type"))
    if target.is_variable or not is_number(target.whole_dtype):
        raise _unfit(where, codec.name, target)
    if not is_number(data_type.whole_dtype):
        raise _unfit(where, codec.name, data_type)
    if codec.out_of_range == "wrap" and not is_integer(target.whole_dtype):
        raise InvalidArgument(
            f'member "{where}": "out_of_range" of "cast_value" can be "wrap" only for integers'
        )
    return codec


def _resolve_serializer(
    codec: Serializer | None, form: Form, where: str, *, stored: bool
) -> Serializer:
    data_type, shape = form
    if codec is None:
        if stored:
            raise InvalidArgument(f'member "{where}": expected a codec from array to bytes')
        codec = Bytes()
        if data_type.is_variable:
            codec = VlenUtf8() if data_type.element.name == "ustring" else VlenBytes()
    if isinstance(codec, Sharding):
        return _resolve_sharding(codec, form, where=where, stored=stored)
    for kind, element in ((VlenUtf8, "ustring"), (VlenBytes, "string")):
        if isinstance(codec, kind) != (data_type.is_variable and data_type.element.name == element):
            raise _unfit(where, codec.name, data_type)
    match codec:
        case Bytes():
            return _resolve_bytes(codec, data_type, where, stored=stored)
        case Packbits():
            return _resolve_packbits(codec, data_type, where)
        case FromNumcodecs():
            # Made once here, so that it is known to fit.
            with _within(where):
                NumcodecsSerializer(codec.spec, shape, data_type.whole_dtype)
    return codec


def _resolve_bytes(codec: Bytes, data_type: DataType, where: str, *, stored: bool) -> Bytes:
    if not data_type.has_byte_order:
        return Bytes()
    if codec.endian is not None:
        return codec
    if stored and data_type.default_endian is None:
        raise InvalidArgument(
            f'member "{where}": the codec "bytes" must say "endian" for this data type'
        )
    return Bytes("little")


def _resolve_packbits(codec: Packbits, data_type: DataType, where: str) -> Packbits:
    width = bits_of(data_type.whole_dtype)
    if width is None:
        raise _unfit(where, codec.name, data_type)
    first = codec.first_bit or 0
    last = width - 1 if codec.last_bit is None else codec.last_bit
    if not first <= last < width:
        raise InvalidArgument(
            f'member "{where}": "packbits" cannot keep the bits {first} to {last} of {width}'
        )
    return codec


def _unfit(where: str, name: str, data_type: DataType) -> InvalidArgument:
    hint = ""
    if data_type.is_variable:
        hint = '; use "vlen-utf8"' if data_type.element.name == "ustring" else '; use "vlen-bytes"'
    return InvalidArgument(
        f'member "{where}": the codec "{name}" is not for the data type "{data_type.name}"{hint}'
    )


def _unsaid(where: str, name: str, member: str) -> InvalidArgument:
    return InvalidArgument(f'member "{where}": the codec "{name}" must say "{member}"')


def _resolve_step(step: Step, itemsize: int) -> Step:
    # The defaults are TensorStore's.
    match step:
        case Gzip(level=None):
            return Gzip(6)
        case Zstd():
            return Zstd(3 if step.level is None else step.level, bool(step.checksum))
        case Blosc():
            shuffle = step.shuffle or ("bitshuffle" if itemsize == 1 else "shuffle")
            typesize = step.typesize
            if typesize is None and shuffle != "noshuffle":
                typesize = itemsize
            return Blosc(
                step.cname or "lz4",
                5 if step.clevel is None else step.clevel,
                shuffle,
                typesize,
                step.blocksize or 0,
            )
        case FromNumcodecs():
            if step.spec.id == "shuffle":
                step = FromNumcodecs(step.spec.with_defaults({"elementsize": itemsize}))
            # Made once here, so that its members are known to be right.
            build_step(step.spec, itemsize)
    return step


def _resolve_sharding(codec: Sharding, form: Form, *, where: str, stored: bool) -> Sharding:
    data_type, shape = form
    if stored and (codec.chunk_shape is None or not codec.codecs or not codec.index_codecs):
        raise InvalidArgument(
            f'member "{where}": the codec "sharding_indexed" must say "chunk_shape", "codecs" and '
            '"index_codecs"'
        )
    inner = codec.chunk_shape if codec.chunk_shape is not None else shape
    if len(inner) != len(shape) or any(n % m for n, m in zip(shape, inner, strict=True)):
        raise contradiction(
            f'member "{where}": the inner chunk shape {list(inner)} does not divide the shard '
            f"shape {list(shape)}",
            "metadata.codecs",
            "metadata.chunk_grid",
        )
    grid = tuple(n // m for n, m in zip(shape, inner, strict=True))
    index_codecs = resolve(
        codec.index_codecs or _INDEX_CODECS,
        INDEX_TYPE,
        (*grid, 2),
        where=f"{where}.index_codecs",
        stored=stored,
    )
    plain = isinstance(index_codecs.serializer, Bytes) and all(
        isinstance(each, Transpose) for each in index_codecs.filters
    )
    if not plain or not all(isinstance(step, Crc32c) for step in index_codecs.steps):
        raise InvalidArgument(
            f'member "{where}.index_codecs": expected only codecs that keep the size of the index'
        )
    codecs = resolve(
        codec.codecs or Chain(), data_type, inner, where=f"{where}.codecs", stored=stored
    )
    return Sharding(inner, codecs, index_codecs, codec.index_location or "end")
