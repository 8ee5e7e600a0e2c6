"""The frame around every body that a repository writes.

::

    body    = magic kind version payload crc
    magic   = "atx1"
    kind    = 1 byte                            ; `Kind`
    version = 4 bytes, little-endian            ; of the format, `VERSION`
    payload = one msgpack array
    crc     = 4 bytes, little-endian            ; crc32c of all bytes before it

The array is positional. What a version adds without need for an older reader to know stands at the
end, so a reader skips elements behind those that it knows; anything else takes a new version.
"""

from __future__ import annotations

import struct
from enum import IntEnum

import google_crc32c
import msgpack

from asynctensor.errors import DataLoss, InvalidArgument, ResourceExhausted, Unimplemented

MAGIC = b"atx1"
VERSION = 1

_HEAD = struct.Struct("<4sBI")
_CRC = struct.Struct("<I")
#: Bytes around a payload.
FRAME_BYTES = _HEAD.size + _CRC.size
#: Elements of one array; large columns are byte strings, so arrays stay small.
MAX_ELEMENTS = 1 << 16
#: msgpack's own bound of a byte string.
_MAX_BODY = (1 << 32) - 1


class Kind(IntEnum):
    """What a body is."""

    REPOSITORY = 1
    RECORD = 2
    INTENT = 3
    PART = 4
    LEAF = 5
    INTERIOR = 6
    CHECKPOINT = 7
    HINT = 8
    REF = 9
    LEASE = 10


def encode(kind: Kind, payload: list[object]) -> bytes:
    """The body of `kind` that holds `payload`.

    Raises:
        InvalidArgument: `payload` holds text that is not UTF-8, or a number beyond 64 bits.
        ResourceExhausted: The body would be larger than a reader takes.
    """
    body = _HEAD.pack(MAGIC, kind, VERSION) + packed(payload)
    if len(body) > _MAX_BODY:
        raise ResourceExhausted(
            f"a body of {len(body)} bytes is larger than the format allows ({_MAX_BODY}): "
            "write less at once"
        )
    return body + _CRC.pack(google_crc32c.value(body))


def decode(kind: Kind, data: bytes, *, object: str) -> list[object]:
    """The payload of the body `data`, which must be of `kind`.

    Args:
        kind: What the body must be.
        data: The whole body.
        object: The name of the object that holds it, for errors.

    Raises:
        DataLoss: `data` is no such body, or is damaged.
        Unimplemented: `data` is in a newer version of the format.
    """
    if len(data) < FRAME_BYTES:
        raise DataLoss(f"{len(data)} bytes are too few for a {_named(kind)}", key=object)
    magic, found, version = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise DataLoss(f"is no {_named(kind)}: it begins with {magic!r}, not {MAGIC!r}", key=object)
    # First the checksum: damaged bytes do not say which version they are in.
    (crc,) = _CRC.unpack_from(data, len(data) - _CRC.size)
    actual = google_crc32c.value(bytes(data[: -_CRC.size]))
    if crc != actual:
        raise DataLoss(
            f"is damaged: its crc32c is {actual:#010x}, and {crc:#010x} is noted in it", key=object
        )
    if version > VERSION:
        raise Unimplemented(
            f"is in version {version} of the repository format, and this library reads up to "
            f"version {VERSION}: upgrade asynctensor",
            key=object,
        )
    if version < 1 or found != kind:
        raise DataLoss(
            f"is no {_named(kind)}: it says to be of kind {found}, version {version}", key=object
        )
    return unpacked(data[_HEAD.size : -_CRC.size], object=object)


def packed(payload: list[object]) -> bytes:
    """`payload` as msgpack, without a frame.

    Raises:
        InvalidArgument: `payload` holds text that is not UTF-8, or a number beyond 64 bits.
    """
    try:
        return bytes(msgpack.packb(payload, use_bin_type=True))  # type: ignore[no-untyped-call]
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(f"cannot be stored in a repository: {error}") from error


def unpacked(data: bytes, *, object: str) -> list[object]:
    """The array that `data`, msgpack without a frame, holds.

    Raises:
        DataLoss: `data` is not exactly one msgpack array.
    """
    try:
        payload = msgpack.unpackb(  # type: ignore[attr-defined, no-untyped-call]
            data,
            raw=False,
            strict_map_key=True,
            max_array_len=min(len(data), MAX_ELEMENTS),
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise DataLoss(
            f"is no valid msgpack: {str(error) or type(error).__name__}", key=object
        ) from error
    if not isinstance(payload, list):
        raise DataLoss(f"holds a {type(payload).__name__}, not an array", key=object)
    return payload


def _named(kind: Kind) -> str:
    return f"{kind.name.lower()} of a repository"
