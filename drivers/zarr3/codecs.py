"""The codecs of zarr v3, as their JSON says them: what one is, or what is asked of one.

A field that is None is not said. In a stored document defaults fill it in; in a constraint it
may be anything. Zarr v3 core, "Codecs", and the registered extensions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import ClassVar, TypeAlias

from asynctensor.chunked.compression.numcodecs_spec import Numcodec
from asynctensor.chunked.compression.user_codec import UserCodec
from asynctensor.errors import InvalidArgument
from asynctensor.storage.kvstore import Json

#: What zarr-python puts before the names of numcodecs' codecs.
PREFIX = "numcodecs."
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


@dataclass(frozen=True, slots=True)
class Reshape:
    """The same elements in another shape: sizes, products of input dimensions, and one -1."""

    name: ClassVar[str] = "reshape"
    shape: tuple[int | tuple[int, ...], ...] | None = None


@dataclass(frozen=True, slots=True)
class Bitround:
    """Numbers rounded to a few significant bits."""

    name: ClassVar[str] = "bitround"
    keepbits: int | None = None


@dataclass(frozen=True, slots=True)
class ScaleOffset:
    """Offset and scale as JSON texts, in the encoding of fill values."""

    name: ClassVar[str] = "scale_offset"
    offset: JsonText | None = None
    scale: JsonText | None = None


@dataclass(frozen=True, slots=True)
class CastValue:
    """Numbers of another type; ``data_type`` and ``scalar_map`` as JSON texts."""

    name: ClassVar[str] = "cast_value"
    data_type: JsonText | None = None
    rounding: str | None = None
    out_of_range: str | None = None
    scalar_map: JsonText | None = None


@dataclass(frozen=True, slots=True)
class Packbits:
    """Elements of a few bits, without gaps."""

    name: ClassVar[str] = "packbits"
    first_bit: int | None = None
    last_bit: int | None = None
    padding_encoding: str | None = None


@dataclass(frozen=True, slots=True)
class VlenUtf8:
    """Text of any length."""

    name: ClassVar[str] = "vlen-utf8"


@dataclass(frozen=True, slots=True)
class VlenBytes:
    """Byte strings of any length."""

    name: ClassVar[str] = "vlen-bytes"


@dataclass(frozen=True, slots=True)
class FromNumcodecs:
    """A codec of numcodecs, under its name there with `PREFIX`."""

    spec: Numcodec

    @property
    def name(self) -> str:
        """Its name in zarr."""
        return PREFIX + self.spec.id


@dataclass(frozen=True, slots=True)
class FromUser:
    """A codec that a user wrote."""

    codec: UserCodec

    @property
    def name(self) -> str:
        """Its name."""
        return self.codec.name


@dataclass(frozen=True, slots=True)
class JsonText:
    """A JSON value that can be compared and hashed."""

    text: str

    @property
    def value(self) -> Json:
        """The value."""
        found: Json = json.loads(self.text)
        return found


Filter: TypeAlias = (
    Transpose | Reshape | Bitround | ScaleOffset | CastValue | FromNumcodecs | FromUser
)
Serializer: TypeAlias = (
    Bytes | Sharding | Packbits | VlenUtf8 | VlenBytes | FromNumcodecs | FromUser
)
Step: TypeAlias = Gzip | Blosc | Zstd | Crc32c | FromNumcodecs | FromUser
Codec: TypeAlias = Filter | Serializer | Step


@dataclass(frozen=True, slots=True)
class Chain:
    """Codecs in the order of encoding: any of array to array, one to bytes, any of bytes."""

    filters: tuple[Filter, ...] = ()
    serializer: Serializer | None = None
    steps: tuple[Step, ...] = ()

    def __iter__(self) -> Iterator[Codec]:
        yield from self.filters
        if self.serializer is not None:
            yield self.serializer
        yield from self.steps

    @property
    def transposes(self) -> tuple[Transpose, ...]:
        """The transposes before any reshape: they say how dimensions are ordered."""
        found: list[Transpose] = []
        for each in self.filters:
            if isinstance(each, Reshape):
                break
            if isinstance(each, Transpose):
                found.append(each)
        return tuple(found)

    @property
    def keeps_shape(self) -> bool:
        """Whether what the serializer gets has the array's dimensions, perhaps reordered."""
        return not any(
            isinstance(each, Reshape)
            or (isinstance(each, FromNumcodecs) and each.spec.id == "packbits")
            for each in self.filters
        )


#: Says nothing.
EMPTY = Chain()


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
    if isinstance(codec, FromNumcodecs):
        # Zarr-python wants the member even if it is empty.
        return {"name": codec.name, "configuration": codec.spec.values}
    if isinstance(codec, FromUser):
        return {"name": codec.name, "configuration": codec.codec.values}
    for field in fields(codec):
        value = getattr(codec, field.name)
        if isinstance(value, Chain):
            configuration[field.name] = chain_to_json(value)
        elif isinstance(value, JsonText):
            configuration[field.name] = value.value
        elif isinstance(value, tuple):
            configuration[field.name] = [[*n] if isinstance(n, tuple) else n for n in value]
        elif value is not None:
            configuration[field.name] = value
    return (
        {"name": codec.name, "configuration": configuration}
        if configuration
        else {"name": codec.name}
    )
