"""A body that comes in chunks, read strictly: pure.

Grammar (RFC 9112, section 7.1), less extensions and trailers, which nobody here sends::

    chunked-body = *( size CRLF data CRLF ) "0" CRLF CRLF
    size         = 1*8HEXDIG

Services answer so where they make up their answers while sending them: errors, above all.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Final

from asynctensor.errors import ResourceExhausted

_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,8}")
#: A line that has not come to its end.
_BEGUN: Final = re.compile(rb"[0-9A-Fa-f]{0,8}\r?")
_BREAK: Final = b"\r\n"
_LONGEST_LINE: Final = 8 + len(_BREAK)


class NotChunked(Exception):
    """What came breaks the grammar."""


class ChunkedBody:
    """What has come of a body.

    Args:
        most: Bytes that it may have.

    Attributes:
        data: What it holds so far.
        follows: Bytes that came after its end.
    """

    __slots__ = ("_held", "_most", "_reading", "data", "follows")

    def __init__(self, most: int) -> None:
        self.data = bytearray()
        self.follows = 0
        self._most = most
        #: What has come and is not understood yet.
        self._held = bytearray()
        self._reading = self._read()
        next(self._reading)

    def feed(self, data: bytes | memoryview) -> bool:
        """Takes in what has come; whether that is all.

        Raises:
            NotChunked: It is no chunked body.
            ResourceExhausted: It is longer than it may be.
        """
        self._held += data
        try:
            next(self._reading)
        except StopIteration:
            self.follows = len(self._held)
            return True
        return False

    def _read(self) -> Generator[None, None, None]:
        """Reads what is held; whenever more is needed, it waits for that."""
        held = self._held
        yield
        while True:
            while (end := held.find(_BREAK, 0, _LONGEST_LINE)) < 0:
                if _BEGUN.fullmatch(held) is None:
                    raise NotChunked
                yield
            if _SIZE.fullmatch(held, 0, end) is None:
                raise NotChunked
            size = left = int(held[:end], 16)
            del held[: end + len(_BREAK)]
            if len(self.data) + size > self._most:
                raise ResourceExhausted(f"the answer has more bytes than the {self._most} expected")
            while left:
                if not held:
                    yield
                taken = held[:left]
                self.data += taken
                left -= len(taken)
                del held[: len(taken)]
            while len(held) < len(_BREAK):
                yield
            if not held.startswith(_BREAK):
                raise NotChunked
            del held[: len(_BREAK)]
            if not size:
                return
