"""The codecs of zarr v3, as their JSON says them: what one is, or what is asked of one.

A field that is None is not said. In a stored document defaults fill it in; in a constraint it
may be anything. Zarr v3 core, "Codecs", and the registered extensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import ClassVar, TypeAlias

from asynctensor.chunked.compression.blosc import CNAMES, SHUFFLES
from asynctensor.chunked.member import Member
from asynctensor.errors import InvalidArgument, Unimplemented
from asynctensor.storage.kvstore import Json

#: How deep shards may nest: more serves no array, and would let a document exhaust the stack.
_MAX_NESTING = 4
ENDIANS = ("little", "big")
INDEX_LOCATIONS = ("end", "start")


@dataclass(frozen=True, slots=True)
class Bytes:
    """Elements end to end in C order."""

    name: ClassVar[str] = "bytes"
    endian: str | None = None


@dataclass(frozen=True, slots=True)
class Transpose:
    """Axes reordered; before 2023 ``"C"`` and ``"F"`` were also allowed."""

    name: ClassVar[str] = "transpose"
    order: tuple[int, ...] | str | None = None


@dataclass(frozen=True, slots=True)
class Gzip:
    """gzip."""

    name: ClassVar[str] = "gzip"
    level: int | None = None


@dataclass(frozen=True, slots=True)
class Blosc:
    """Blosc 1."""

    name: ClassVar[str] = "blosc"
    cname: str | None = None
    clevel: int | None = None
    shuffle: str | None = None
    typesize: int | None = None
    blocksize: int | None = None


@dataclass(frozen=True, slots=True)
class Zstd:
    """Zstandard."""

    name: ClassVar[str] = "zstd"
    level: int | None = None
    checksum: bool | None = None


@dataclass(frozen=True, slots=True)
class Crc32c:
    """A checksum at the end."""

    name: ClassVar[str] = "crc32c"


@dataclass(frozen=True, slots=True)
class Sharding:
    """Many inner chunks and an index of them."""

    name: ClassVar[str] = "sharding_indexed"
    chunk_shape: tuple[int, ...] | None = None
    codecs: Chain | None = None
    index_codecs: Chain | None = None
    index_location: str | None = None


Codec: TypeAlias = Bytes | Transpose | Gzip | Blosc | Zstd | Crc32c | Sharding


@dataclass(frozen=True, slots=True)
class Chain:
    """Codecs in the order of encoding: any of array to array, one to bytes, any of bytes."""

    transposes: tuple[Transpose, ...] = ()
    serializer: Bytes | Sharding | None = None
    steps: tuple[Gzip | Blosc | Zstd | Crc32c, ...] = ()

    def __iter__(self) -> Iterator[Codec]:
        yield from self.transposes
        if self.serializer is not None:
            yield self.serializer
        yield from self.steps


#: Says nothing.
EMPTY = Chain()


def read_chain(member: Member, depth: int = 0) -> Chain:
    """The chain that a list of codecs says.

    Raises:
        InvalidArgument: It is no chain.
        Unimplemented: A codec is not known here.
    """
    if depth > _MAX_NESTING:
        raise member.error(f"at most {_MAX_NESTING} shards inside each other")
    transposes: list[Transpose] = []
    serializer: Bytes | Sharding | None = None
    steps: list[Gzip | Blosc | Zstd | Crc32c] = []
    for element in member.array():
        codec = _read_codec(element, depth)
        if isinstance(codec, Transpose):
            if serializer is not None or steps:
                raise element.error("no array codec after bytes")
            transposes.append(codec)
        elif isinstance(codec, (Bytes, Sharding)):
            if serializer is not None or steps:
                raise element.error("only one codec from array to bytes")
            serializer = codec
        else:
            steps.append(codec)
    return Chain(tuple(transposes), serializer, tuple(steps))


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
    match name:
        case "bytes" | "endian":
            fields_ = configuration.object(("endian",))
            return Bytes(fields_["endian"].string(ENDIANS) if "endian" in fields_ else None)
        case "transpose":
            return _read_transpose(configuration)
        case "gzip":
            fields_ = configuration.object(("level",))
            return Gzip(fields_["level"].integer(0, 9) if "level" in fields_ else None)
        case "blosc":
            return _read_blosc(configuration)
        case "zstd":
            return _read_zstd(configuration)
        case "crc32c":
            configuration.object(())
            return Crc32c()
        case "sharding_indexed":
            return _read_sharding(configuration, depth)
    raise Unimplemented(f'member "{member.path}": the codec "{name}" is not supported')


def _read_transpose(configuration: Member) -> Transpose:
    order = configuration.object(("order",)).get("order")
    if order is None:
        return Transpose()
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


def axes_of(transpose: Transpose, rank: int, where: str = "codecs") -> tuple[int, ...]:
    """The permutation that a transpose does: axis ``i`` of what is stored was axis ``axes[i]``.

    Raises:
        InvalidArgument: It says none, or one of another rank.
    """
    match transpose.order:
        case "C":
            return tuple(range(rank))
        case "F":
            return tuple(reversed(range(rank)))
        case tuple(axes) if len(axes) == rank:
            return axes
        case None:
            raise InvalidArgument(f'member "{where}": the codec "transpose" must say "order"')
    raise InvalidArgument(
        f'member "{where}": the order {list(transpose.order)} of "transpose" is not of the rank '
        f"{rank} of the array"
    )


def chain_to_json(chain: Chain) -> list[Json]:
    """The list of codecs, in the object form that every reader knows."""
    return [codec_to_json(codec) for codec in chain]


def codec_to_json(codec: Codec) -> Json:
    """One codec, in that form."""
    configuration: dict[str, Json] = {}
    for field in fields(codec):
        value = getattr(codec, field.name)
        if isinstance(value, Chain):
            configuration[field.name] = chain_to_json(value)
        elif isinstance(value, tuple):
            configuration[field.name] = list(value)
        elif value is not None:
            configuration[field.name] = value
    return (
        {"name": codec.name, "configuration": configuration}
        if configuration
        else {"name": codec.name}
    )
