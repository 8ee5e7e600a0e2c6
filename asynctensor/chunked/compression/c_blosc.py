"""C-Blosc's own functions, where the library that numcodecs brings lets them be called.

A 32^3 chunk is decoded in 6 us, without the GIL; numcodecs' wrapper holds it for 3 us around that,
a direct call for 1 us. The less of the time workers hold it, the less they wait for each other:
whole reads of such chunks become 1.1 to 1.2 times as fast. (Keeping the GIL while a chunk is
decoded saves processor time, and takes longer.) Source: blosc.h of C-Blosc 1.21.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

#: Compiled, and without types.
blosc: Any = import_module("numcodecs.blosc")

#: What blosc may add to incompressible bytes (BLOSC_MAX_OVERHEAD).
OVERHEAD = 16


@dataclass(frozen=True, slots=True)
class CBlosc:
    """The functions. Each gives the number of bytes written, 0 or less where it failed."""

    _decompress: Any
    _compress: Any

    def decompress(self, data: Any, size: int, out: int) -> int:
        """Decodes a buffer, which must be as long as its header says.

        Args:
            data: The bytes (a `bytes` object), or the address of them.
            size: Bytes that it decodes to.
            out: Address of room for them.
        """
        count: int = self._decompress(data, out, size, 1)
        return count

    def compress(
        self,
        data: int,
        size: int,
        out: int,
        room: int,
        *,
        cname: bytes,
        clevel: int,
        shuffle: int,
        typesize: int,
        blocksize: int,
    ) -> int:
        """Encodes `size` bytes at address `data` to address `out`."""
        count: int = self._compress(
            clevel, shuffle, typesize, size, data, out, room, cname, blocksize, 1
        )
        return count


@cache
def c_blosc() -> CBlosc | None:
    """The functions, or None where the library keeps them to itself."""
    try:
        library = ctypes.CDLL(blosc.__file__)
        found = CBlosc(
            _declared(library.blosc_decompress_ctx, _DECOMPRESS),
            _declared(library.blosc_compress_ctx, _COMPRESS),
        )
    except (AttributeError, OSError):
        return None
    return found if _works(found) else None


_DECOMPRESS = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_COMPRESS = [
    ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p,
    ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int,
]  # fmt: skip


def _declared(function: Any, arguments: list[Any]) -> Callable[..., int]:
    function.argtypes = arguments
    function.restype = ctypes.c_int
    declared: Callable[..., int] = function
    return declared


def _works(found: CBlosc) -> bool:
    """Whether what one encodes the other decodes, and numcodecs too."""
    plain = bytes(range(256)) * 16
    data, out = ctypes.create_string_buffer(plain, 4096), ctypes.create_string_buffer(4096)
    room = ctypes.create_string_buffer(4096 + OVERHEAD)
    size = found.compress(
        ctypes.addressof(data), 4096, ctypes.addressof(room), len(room),
        cname=b"lz4", clevel=5, shuffle=1, typesize=2, blocksize=0,
    )  # fmt: skip
    if not 0 < size <= len(room):
        return False
    encoded = room.raw[:size]
    decoded = found.decompress(ctypes.addressof(room), 4096, ctypes.addressof(out))
    return decoded == 4096 and out.raw == plain == blosc.decompress(encoded)
