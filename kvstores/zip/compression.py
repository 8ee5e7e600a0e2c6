"""The compression methods of zip entries (APPNOTE 4.4.5), never trusting the size an entry claims.

Every decoder stops one byte after the claimed size, and takes memory only as it goes.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Final

import zstandard

from asynctensor.errors import DataLoss, ResourceExhausted, Unimplemented
from asynctensor.kvstores.zip.directory import Entry
from asynctensor.kvstores.zip.records import is_encrypted

STORED: Final = 0
DEFLATED: Final = 8
_BZIP2, _LZMA, _ZSTD, _XZ = 12, 14, 93, 95
#: Until TensorStore and others agreed on 93, 20 stood for zstd (APPNOTE 4.4.5).
_OLD_ZSTD = 20
#: What an entry may become without its ratio being looked at.
_PLAIN_BYTES: Final = 2**28
#: Deflate cannot do more than this; what claims more, and a quarter of a gigabyte, is a bomb.
_MAX_RATIO: Final = 1032
#: The largest presets of xz and zstd need 65 and 128 MiB.
MAX_WINDOW: Final = 2**27
_MAX_XZ_MEMORY: Final = 2**28
_PIECE: Final = 2**24
#: Flag bit 1 of LZMA entries: an end marker follows the data (APPNOTE 5.8.9).
_LZMA_END_MARKER: Final = 1 << 1
#: What the libraries raise where data are damaged.
DECODING_ERRORS: Final = (zlib.error, OSError, EOFError, lzma.LZMAError, zstandard.ZstdError)


def check_readable(entry: Entry) -> None:
    """Refuses what cannot or should not be decoded, before anything of it is read.

    Raises:
        Unimplemented: It is encrypted, or the method is not known.
        DataLoss: Its sizes contradict each other.
        ResourceExhausted: It claims to be a bomb.
    """
    if is_encrypted(entry.flags):
        raise Unimplemented(
            "this entry of the zip file is encrypted, which is not supported", key=entry.key
        )
    if entry.method == STORED:
        if entry.stored != entry.size:
            raise DataLoss(
                f"an entry that is not compressed has {entry.stored} bytes in the zip file and "
                f"claims to have {entry.size}",
                key=entry.key,
            )
    elif entry.method not in _DECODERS:
        raise Unimplemented(
            f"compression method {entry.method} of zip files is not supported (store, deflate, "
            "bzip2, lzma, xz and zstd are)",
            key=entry.key,
        )
    elif entry.size > max(_PLAIN_BYTES, _MAX_RATIO * entry.stored):
        raise ResourceExhausted(
            f"an entry of {entry.stored} bytes claims to become {entry.size} bytes, more than "
            f"{_MAX_RATIO} times as many: it looks like a decompression bomb and is not read",
            key=entry.key,
        )


def decode(entry: Entry, data: memoryview) -> bytes:
    """The value of an entry that `check_readable` accepts, from its stored bytes.

    Raises:
        DataLoss: They do not decode to what the directory says, by length and checksum.
    """
    if entry.method == STORED:
        value = bytes(data)
    else:
        try:
            value = _DECODERS[entry.method](data, entry)
        except DECODING_ERRORS as error:
            raise damaged_entry(entry, error) from error
    if len(value) != entry.size:
        more = "more" if len(value) > entry.size else f"only {len(value)}"
        raise DataLoss(
            f"this entry of the zip file has {more} bytes, and the directory says {entry.size}",
            key=entry.key,
        )
    check_crc(entry, value)
    return value


def damaged_entry(entry: Entry, error: Exception) -> DataLoss:
    """The error that says what a decoder did not like."""
    return DataLoss(f"this entry of the zip file is damaged: {error}", key=entry.key)


def begin_incremental(
    entry: Entry, data: memoryview
) -> tuple[bz2.BZ2Decompressor | lzma.LZMADecompressor, memoryview] | None:
    """A decoder that gives as many bytes as it is asked for, and what of `data` to give to it.

    Args:
        entry: The entry.
        data: Its first stored bytes.

    Returns:
        None for methods that have another decoder.

    Raises:
        DataLoss: The properties of LZMA are damaged.
    """
    if entry.method == _BZIP2:
        return bz2.BZ2Decompressor(), data
    if entry.method == _XZ:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_XZ_MEMORY), data
    if entry.method == _LZMA:
        return _lzma_decoder(data, entry), data[9:]
    return None


def check_crc(entry: Entry, value: bytes | memoryview) -> None:
    """Compares the whole value with its checksum.

    Raises:
        DataLoss: It has another.
    """
    if zlib.crc32(value) != entry.crc:
        raise DataLoss("the checksum of this entry of the zip file is wrong", key=entry.key)


def _deflate(data: memoryview, entry: Entry) -> bytes:
    decoder = zlib.decompressobj(-zlib.MAX_WBITS)
    value = decoder.decompress(data, entry.size + 1)
    return _ended(value, decoder.eof and not decoder.unused_data, entry)


def _bzip2(data: memoryview, entry: Entry) -> bytes:
    decoder = bz2.BZ2Decompressor()
    value = decoder.decompress(data, entry.size + 1)
    return _ended(value, decoder.eof and not decoder.unused_data, entry)


def _xz(data: memoryview, entry: Entry) -> bytes:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_XZ_MEMORY)
    value = decoder.decompress(data, entry.size + 1)
    return _ended(value, decoder.eof and not decoder.unused_data, entry)


def _lzma_decoder(data: memoryview, entry: Entry) -> lzma.LZMADecompressor:
    # version(2) properties_length(2) properties(5): lc, lp and pb in one byte, dictionary size(4).
    if len(data) < 9 or data[2] != 5 or data[3] != 0 or data[4] >= 9 * 5 * 5:
        raise DataLoss("the LZMA properties of this entry are damaged", key=entry.key)
    packed = data[4]
    # Nothing can refer to more than there is: a claimed dictionary of gigabytes is not allocated.
    dictionary = min(int.from_bytes(data[5:9], "little"), entry.size)
    properties = {
        "id": lzma.FILTER_LZMA1,
        "lc": packed % 9,
        "lp": packed // 9 % 5,
        "pb": packed // 45,
        "dict_size": max(4096, dictionary),
    }
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[properties])


def _lzma(data: memoryview, entry: Entry) -> bytes:
    decoder = _lzma_decoder(data, entry)
    value = decoder.decompress(data[9:], entry.size + 1)
    if entry.flags & _LZMA_END_MARKER and len(value) <= entry.size:
        # The marker may be left where the last wanted byte was the last one given out.
        value += b"" if decoder.eof else decoder.decompress(b"", 1)
    return value


def _zstd(data: memoryview, entry: Entry) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).stream_reader(
        data, read_across_frames=True
    )
    value = bytearray()
    while len(value) <= entry.size:
        piece = reader.read(min(_PIECE, entry.size + 1 - len(value)))
        if not piece:
            break
        value += piece
    return bytes(value)


def _ended(value: bytes, ended: bool, entry: Entry) -> bytes:
    if not ended and len(value) == entry.size:
        raise DataLoss("this entry of the zip file is cut off, or goes on", key=entry.key)
    return value


_DECODERS: Final[dict[int, Callable[[memoryview, Entry], bytes]]] = {
    DEFLATED: _deflate,
    _BZIP2: _bzip2,
    _LZMA: _lzma,
    _OLD_ZSTD: _zstd,
    _ZSTD: _zstd,
    _XZ: _xz,
}
