"""The compressions of N5, as its JSON says them.

Source: N5 specification, "File-system specification", number 4, for raw, bzip2, gzip, lz4 and xz;
the n5-blosc and n5-zstandard libraries and TensorStore for blosc and zstd.
"""

from __future__ import annotations

import json
import lzma
from dataclasses import dataclass, field
from typing import Any

from asynctensor.chunked.compression.blosc import CNAMES, BloscCodec
from asynctensor.chunked.compression.codec import BytesCodec
from asynctensor.chunked.compression.deflate import Bz2Codec, GzipCodec, ZlibCodec
from asynctensor.chunked.compression.jpeg import JpegCodec
from asynctensor.chunked.compression.lz4_java import MAX_BLOCK, MIN_BLOCK, Lz4JavaCodec
from asynctensor.chunked.compression.lzma import LzmaCodec
from asynctensor.chunked.compression.zstd import ZstdCodec
from asynctensor.chunked.member import Member
from asynctensor.errors import Unimplemented
from asynctensor.schema.contradiction import contradiction
from asynctensor.storage.kvstore import Json

#: Integer members of each type: name, least, most, default (None: must be given).
_INTEGERS: dict[str, tuple[tuple[str, int, int, int | None], ...]] = {
    "raw": (),
    "gzip": (("level", -1, 9, -1),),
    "bzip2": (("blockSize", 1, 9, 9),),
    "lz4": (("blockSize", MIN_BLOCK, MAX_BLOCK, 65536),),
    "xz": (("preset", 0, 9, 6),),
    "zstd": (("level", -131072, 22, 0),),
    "blosc": (
        ("clevel", 0, 9, None),
        ("shuffle", 0, 2, None),
        ("blocksize", 0, 2**31 - 1, 0),
    ),
    "jpeg": (("quality", 0, 100, 90),),
}
#: What a stored document may leave out although a spec may not: decoding needs none of it.
_STORED_DEFAULTS = {"clevel": 5, "shuffle": 1}
_STORED_CNAME = "lz4"
#: Those that documents of before version 2 could name, in a member that is a bare string.
OLD_TYPES = ("raw", "gzip", "bzip2", "lz4", "xz")


@dataclass(frozen=True, slots=True)
class Compression:
    """A compression with nothing left open.

    Attributes:
        type: Its name.
        members: Its parameters, sorted by name.
        unknown: JSON text of stored members that mean nothing here, kept on rewriting.
    """

    type: str
    members: tuple[tuple[str, int | bool | str], ...] = ()
    unknown: str = field(default="{}", compare=False)

    def to_json(self, *, stored: bool = False) -> dict[str, Json]:
        """The document's ``compression``.

        Args:
            stored: Whether members that mean nothing here are included; a spec refuses them.
        """
        known: dict[str, Json] = {"type": self.type, **dict(self.members)}
        unknown: dict[str, Any] = json.loads(self.unknown) if stored else {}
        return dict(sorted({**unknown, **known}.items()))

    def _get(self, name: str) -> Any:
        return dict(self.members)[name]

    def build(self, itemsize: int, width: int) -> tuple[BytesCodec, ...]:
        """What does it, as steps on the bytes of a block.

        Args:
            itemsize: Bytes of one element.
            width: Size of a block along its first dimension.

        Raises:
            Unimplemented: It needs a library that is not installed, which the text names; or it
                cannot hold elements of this size.
        """
        match self.type:
            case "raw":
                return ()
            case "gzip":
                kind = ZlibCodec if self._get("useZlib") else GzipCodec
                return (kind(level=self._get("level")),)
            case "bzip2":
                return (Bz2Codec(level=self._get("blockSize")),)
            case "lz4":
                return (Lz4JavaCodec(block_size=self._get("blockSize")),)
            case "xz":
                preset = self._get("preset")
                return (LzmaCodec(container=lzma.FORMAT_XZ, check=-1, preset=preset, filters=None),)
            case "zstd":
                return (ZstdCodec(level=self._get("level")),)
            case "blosc":
                return (self._blosc(itemsize),)
            case _:
                if itemsize != 1:
                    raise Unimplemented(
                        'member "compression": "jpeg" is for data of one byte per element'
                    )
                return (JpegCodec(width=width, quality=self._get("quality")),)

    def _blosc(self, itemsize: int) -> BloscCodec:
        return BloscCodec(
            cname=self._get("cname"),
            clevel=self._get("clevel"),
            shuffle=self._get("shuffle"),
            typesize=itemsize,
            blocksize=self._get("blocksize"),
        )


def default_compression(itemsize: int) -> Compression:
    """TensorStore's: blosc, shuffled by bits where elements are bytes, else by bytes."""
    shuffle = 2 if itemsize == 1 else 1
    return _made("blosc", {"cname": "lz4", "clevel": 5, "shuffle": shuffle, "blocksize": 0})


def read_compression(member: Member, *, stored: bool) -> Compression:
    """The compression that a document or a spec says.

    Args:
        member: The member ``compression``.
        stored: Whether it is from a document: members that are not known are kept then.

    Raises:
        InvalidArgument: It is none.
        Unimplemented: It is one that is not known here.
    """
    found = member.object(required=("type",))
    name = found["type"].string()
    if name not in _INTEGERS:
        known = ", ".join(sorted(_INTEGERS))
        raise Unimplemented(
            f'member "{found["type"].path}": the compression "{name}" is not registered '
            f"(known are: {known})"
        )
    integers = _INTEGERS[name]
    known_members = {"type", *(each[0] for each in integers), *_other_members(name)}
    if not stored:
        required = [each for each, *_, default in integers if default is None]
        member.object(known_members, [*required, *(["cname"] if name == "blosc" else [])])
    values: dict[str, int | bool | str] = {}
    for each, low, high, default in integers:
        fallback = _STORED_DEFAULTS[each] if default is None else default
        values[each] = found[each].integer(low, high) if each in found else fallback
    if name == "gzip":
        values["useZlib"] = "useZlib" in found and found["useZlib"].boolean()
    if name == "blosc":
        values["cname"] = found["cname"].string(CNAMES) if "cname" in found else _STORED_CNAME
    unknown = {key: each.value for key, each in found.items() if key not in known_members}
    return _made(name, values, json.dumps(unknown))


def _other_members(name: str) -> tuple[str, ...]:
    return {"gzip": ("useZlib",), "blosc": ("cname",)}.get(name, ())


def _made(name: str, values: dict[str, int | bool | str], unknown: str = "{}") -> Compression:
    return Compression(name, tuple(sorted(values.items())), unknown)


def read_old_compression(member: Member) -> Compression:
    """The compression that the member ``compressionType`` says, which has no parameters.

    Raises:
        InvalidArgument: It is none.
    """
    return read_compression(Member({"type": member.string(OLD_TYPES)}, member.path), stored=True)


def merged_compressions(
    first: Compression | None, second: Compression | None
) -> Compression | None:
    """What satisfies both; None asks for nothing.

    Raises:
        InvalidArgument: They differ.
    """
    if first is not None and second is not None and first != second:
        raise contradiction(
            f'"compression" does not match: {first.to_json()} and {second.to_json()}',
            "compression",
            "compression",
        )
    return second if first is None else first
