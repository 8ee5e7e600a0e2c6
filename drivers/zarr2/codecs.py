"""The compressors of zarr v2, as their JSON says them: numcodecs' names and members."""

from __future__ import annotations

from dataclasses import dataclass

from asynctensor.chunked.compression.blosc import CNAMES, BloscCodec
from asynctensor.chunked.compression.codec import BytesCodec
from asynctensor.chunked.compression.deflate import Bz2Codec, GzipCodec, ZlibCodec
from asynctensor.chunked.compression.zstd import ZstdCodec
from asynctensor.chunked.member import Member
from asynctensor.errors import Unimplemented
from asynctensor.storage.kvstore import Json

#: Levels that each allows, and TensorStore's default.
_LEVELS = {
    "zlib": (-1, 9, 1),
    "gzip": (-1, 9, 1),
    "bz2": (1, 9, 1),
    "zstd": (-131072, 22, 1),
}
#: Shuffle by bits where elements are bytes, by bytes where they are larger.
_AUTO_SHUFFLE = -1


@dataclass(frozen=True, slots=True)
class Compressor:
    """A compressor with nothing left open.

    Attributes:
        id: Its name.
        level: Of all but blosc, and of blosc its ``clevel``.
        checksum: Of zstd.
        cname: Of blosc.
        shuffle: Of blosc: -1 (by the data type), 0, 1 or 2.
        blocksize: Of blosc.
    """

    id: str
    level: int
    checksum: bool = False
    cname: str = "lz4"
    shuffle: int = _AUTO_SHUFFLE
    blocksize: int = 0


#: TensorStore's default.
DEFAULT = Compressor("blosc", 5)


def read_compressor(member: Member, *, stored: bool) -> Compressor | None:
    """The compressor that a document or a spec says; None for none.

    Args:
        member: The member ``compressor``.
        stored: Whether it is from a document: members that are not known are ignored then.

    Raises:
        InvalidArgument: It is no compressor.
        Unimplemented: It is one that is not known here.
    """
    if member.value is None:
        return None
    name = member.object(required=("id",))["id"].string()
    if name == "blosc":
        return _read_blosc(member, stored=stored)
    if name not in _LEVELS:
        raise Unimplemented(f'member "{member.path}": the compressor "{name}" is not supported')
    known = ("id", "level", "checksum") if name == "zstd" else ("id", "level")
    found = member.object(None if stored else known)
    low, high, level = _LEVELS[name]
    if "level" in found:
        level = found["level"].integer(low, high)
    checksum = name == "zstd" and "checksum" in found and found["checksum"].boolean()
    return Compressor(name, level, checksum=checksum)


def _read_blosc(member: Member, *, stored: bool) -> Compressor:
    known = ("id", "cname", "clevel", "shuffle", "blocksize", "typesize")
    found = member.object(None if stored else known)
    return Compressor(
        "blosc",
        found["clevel"].integer(0, 9) if "clevel" in found else DEFAULT.level,
        cname=found["cname"].string(CNAMES) if "cname" in found else DEFAULT.cname,
        shuffle=found["shuffle"].integer(-1, 2) if "shuffle" in found else DEFAULT.shuffle,
        blocksize=found["blocksize"].integer(0, 2**31 - 1) if "blocksize" in found else 0,
    )


def compressor_to_json(compressor: Compressor | None) -> Json:
    """The document's ``compressor``; only members that every reader knows."""
    if compressor is None:
        return None
    if compressor.id == "blosc":
        return {
            "id": "blosc",
            "cname": compressor.cname,
            "clevel": compressor.level,
            "shuffle": compressor.shuffle,
            "blocksize": compressor.blocksize,
        }
    found: dict[str, Json] = {"id": compressor.id, "level": compressor.level}
    if compressor.checksum:
        # TensorStore refuses the array even for false.
        found["checksum"] = True
    return found


def build_compressor(compressor: Compressor, itemsize: int) -> BytesCodec:
    """What does it.

    Args:
        compressor: From `read_compressor`.
        itemsize: Bytes of one element, by which blosc shuffles.
    """
    match compressor.id:
        case "blosc":
            shuffle = compressor.shuffle
            if shuffle == _AUTO_SHUFFLE:
                shuffle = 2 if itemsize == 1 else 1
            return BloscCodec(
                cname=compressor.cname,
                clevel=compressor.level,
                shuffle=shuffle,
                typesize=itemsize,
                blocksize=compressor.blocksize,
            )
        case "zstd":
            return ZstdCodec(level=compressor.level, checksum=compressor.checksum)
        case "gzip":
            return GzipCodec(level=compressor.level)
        case "zlib":
            return ZlibCodec(level=compressor.level)
        case _:
            return Bz2Codec(level=compressor.level)
