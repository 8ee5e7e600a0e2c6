"""Reading a list of codecs from JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from asynctensor.chunked.compression.blosc import CNAMES, SHUFFLES
from asynctensor.chunked.compression.cast_value import OUT_OF_RANGE, ROUNDINGS
from asynctensor.chunked.compression.numcodecs_spec import (
    ARRAYS,
    SERIALIZERS,
    STEPS,
    read_numcodec,
)
from asynctensor.chunked.compression.packbits import PADDING_ENCODINGS
from asynctensor.chunked.compression.user_codec import near_codecs, user_codec
from asynctensor.chunked.member import MAX_RANK, MAX_SIZE, Member
from asynctensor.drivers.zarr3.codecs import (
    ENDIANS,
    INDEX_LOCATIONS,
    PREFIX,
    Bitround,
    Blosc,
    Bytes,
    CastValue,
    Chain,
    Codec,
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
)
from asynctensor.errors import Unimplemented

#: How deep shards may nest: more serves no array, and would let a document exhaust the stack.
_MAX_NESTING = 4
#: In one list: as above.
_MAX_CODECS = 64
_FILTERS = (Transpose, Reshape, Bitround, ScaleOffset, CastValue)
_SERIALIZERS = (Bytes, Sharding, Packbits, VlenUtf8, VlenBytes)
#: Names of numcodecs that mean nothing else in zarr v3.
_UNPREFIXED = frozenset((*ARRAYS, *SERIALIZERS, *STEPS)) - {
    "blosc", "gzip", "zstd", "crc32c", "packbits", "bitround", "base64",
}  # fmt: skip


def read_chain(member: Member, depth: int = 0) -> Chain:
    """The chain that a list of codecs says.

    Raises:
        InvalidArgument: It is no chain.
        Unimplemented: A codec is not known here.
    """
    if depth > _MAX_NESTING:
        raise member.error(f"at most {_MAX_NESTING} shards inside each other")
    filters: list[Filter] = []
    serializer: Serializer | None = None
    steps: list[Step] = []
    elements = member.array()
    if len(elements) > _MAX_CODECS:
        raise member.error(f"at most {_MAX_CODECS} codecs")
    for element in elements:
        codec = _read_codec(element, depth)
        numcodec = codec.spec.id if isinstance(codec, FromNumcodecs) else None
        user = codec.codec.kind if isinstance(codec, FromUser) else None
        if isinstance(codec, _FILTERS) or numcodec in ARRAYS or user == "array_to_array":
            if serializer is not None or steps:
                raise element.error("no array codec after bytes")
            filters.append(cast("Filter", codec))
        elif isinstance(codec, _SERIALIZERS) or numcodec in SERIALIZERS or user == "array_to_bytes":
            if serializer is not None or steps:
                raise element.error("only one codec from array to bytes")
            serializer = cast("Serializer", codec)
        else:
            steps.append(codec)
    return Chain(tuple(filters), serializer, tuple(steps))


def _read_codec(member: Member, depth: int) -> Codec:
    if isinstance(member.value, str):
        name, configuration = member.value, member.at("configuration", {})
    else:
        object_ = member.object(("name", "configuration", "must_understand"), ("name",))
        if "must_understand" in object_:
            # False would not help: nothing decodes without knowing the codec.
            object_["must_understand"].boolean()
        name = object_["name"].string()
        configuration = object_.get("configuration", member.at("configuration", {}))
    if name.startswith(PREFIX) or name in _UNPREFIXED:
        id_ = name.removeprefix(PREFIX)
        if id_ in (*ARRAYS, *SERIALIZERS, *STEPS):
            return FromNumcodecs(read_numcodec(id_, configuration, generous=False, without="id"))
    if name in _READERS:
        return _READERS[name](configuration)
    if name == "sharding_indexed":
        return _read_sharding(configuration, depth)
    user = user_codec(name, configuration.value, configuration.path)
    if user is not None:
        return FromUser(user)
    raise Unimplemented(
        f'member "{member.path}": the codec "{name}" is not supported'
        f"{near_codecs(name, (*_READERS, 'sharding_indexed', *_UNPREFIXED))}"
    )


def _read_bytes(configuration: Member) -> Bytes:
    found = configuration.object(("endian",))
    return Bytes(found["endian"].string(ENDIANS) if "endian" in found else None)


def _read_gzip(configuration: Member) -> Gzip:
    found = configuration.object(("level",))
    return Gzip(found["level"].integer(0, 9) if "level" in found else None)


def _read_crc32c(configuration: Member) -> Crc32c:
    configuration.object(())
    return Crc32c()


def _read_transpose(configuration: Member) -> Transpose:
    # Of no other codec TensorStore wants to know everything at once.
    order = configuration.object(("order",), ("order",))["order"]
    if isinstance(order.value, str):
        return Transpose(order.string(("C", "F")))
    axes = order.sizes(0)
    if sorted(axes) != list(range(len(axes))):
        raise order.error(f"a permutation of 0 to {len(axes) - 1}")
    return Transpose(axes)


def _read_blosc(configuration: Member) -> Blosc:
    found = configuration.object(("cname", "clevel", "shuffle", "typesize", "blocksize"))
    codec = Blosc()
    if "cname" in found:
        codec = replace(codec, cname=found["cname"].string(CNAMES))
    if "clevel" in found:
        codec = replace(codec, clevel=found["clevel"].integer(0, 9))
    if "shuffle" in found:
        codec = replace(codec, shuffle=found["shuffle"].string(SHUFFLES))
    if "typesize" in found:
        codec = replace(codec, typesize=found["typesize"].integer(1, 2**31 - 1))
    if "blocksize" in found:
        codec = replace(codec, blocksize=found["blocksize"].integer(0, 2**31 - 1))
    return codec


def _read_zstd(configuration: Member) -> Zstd:
    found = configuration.object(("level", "checksum"))
    return Zstd(
        found["level"].integer(-131072, 22) if "level" in found else None,
        found["checksum"].boolean() if "checksum" in found else None,
    )


def _read_sharding(configuration: Member, depth: int) -> Sharding:
    found = configuration.object(("chunk_shape", "codecs", "index_codecs", "index_location"))
    codec = Sharding()
    if "chunk_shape" in found:
        codec = replace(codec, chunk_shape=found["chunk_shape"].sizes(1))
    if "codecs" in found:
        codec = replace(codec, codecs=read_chain(found["codecs"], depth + 1))
    if "index_codecs" in found:
        # At the deepest level, so that there is no index inside an index.
        codec = replace(codec, index_codecs=read_chain(found["index_codecs"], _MAX_NESTING))
    if "index_location" in found:
        codec = replace(codec, index_location=found["index_location"].string(INDEX_LOCATIONS))
    return codec


def _read_reshape(configuration: Member) -> Reshape:
    found = configuration.object(("shape",))
    if "shape" not in found:
        return Reshape()
    shape: list[int | tuple[int, ...]] = []
    last = -1
    elements = found["shape"].array()
    if len(elements) > MAX_RANK:
        raise found["shape"].error(f"at most {MAX_RANK} dimensions")
    for element in elements:
        if not isinstance(element.value, list):
            if element.integer(-1, MAX_SIZE - 1) == 0:
                raise element.error("a positive size, or -1")
            shape.append(element.integer(-1, MAX_SIZE - 1))
            continue
        axes = tuple(axis.integer(0, MAX_RANK) for axis in element.array())
        for axis in axes:
            if axis <= last:
                raise element.error("input dimensions in increasing order")
            last = axis
        shape.append(axes)
    if shape.count(-1) > 1:
        raise found["shape"].error("-1 at most once")
    return Reshape(tuple(shape))


def _read_bitround(configuration: Member) -> Bitround:
    found = configuration.object(("keepbits",))
    return Bitround(found["keepbits"].integer(1, 128) if "keepbits" in found else None)


def _text(found: dict[str, Member], name: str) -> JsonText | None:
    return JsonText(json.dumps(found[name].value)) if name in found else None


def _read_scale_offset(configuration: Member) -> ScaleOffset:
    found = configuration.object(("offset", "scale"))
    return ScaleOffset(_text(found, "offset"), _text(found, "scale"))


def _read_cast_value(configuration: Member) -> CastValue:
    found = configuration.object(("data_type", "rounding", "out_of_range", "scalar_map"))
    if "scalar_map" in found:
        for direction in found["scalar_map"].object(("encode", "decode")).values():
            for pair in direction.array():
                pair.array(2)
    return CastValue(
        _text(found, "data_type"),
        found["rounding"].string(ROUNDINGS) if "rounding" in found else None,
        found["out_of_range"].string(OUT_OF_RANGE) if "out_of_range" in found else None,
        _text(found, "scalar_map"),
    )


def _read_packbits(configuration: Member) -> Packbits:
    found = configuration.object(("first_bit", "last_bit", "padding_encoding"))
    bits = {
        name: found[name].integer(0, 63)
        for name in ("first_bit", "last_bit")
        if name in found and found[name].value is not None
    }
    encoding = found.get("padding_encoding")
    return Packbits(
        bits.get("first_bit"),
        bits.get("last_bit"),
        None if encoding is None else encoding.string(PADDING_ENCODINGS),
    )


def _read_vlen_utf8(configuration: Member) -> VlenUtf8:
    configuration.object(())
    return VlenUtf8()


def _read_vlen_bytes(configuration: Member) -> VlenBytes:
    configuration.object(())
    return VlenBytes()


_READERS: dict[str, Callable[[Member], Codec]] = {
    "bytes": _read_bytes,
    # Its name before 2023.
    "endian": _read_bytes,
    "transpose": _read_transpose,
    "gzip": _read_gzip,
    "blosc": _read_blosc,
    "zstd": _read_zstd,
    "crc32c": _read_crc32c,
    "reshape": _read_reshape,
    "bitround": _read_bitround,
    "scale_offset": _read_scale_offset,
    "cast_value": _read_cast_value,
    "packbits": _read_packbits,
    "vlen-utf8": _read_vlen_utf8,
    "vlen-bytes": _read_vlen_bytes,
}
