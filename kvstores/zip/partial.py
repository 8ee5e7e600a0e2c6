"""Part of a compressed entry, decoded piece by piece: never all of it is held.

What comes before the part is decoded and dropped. Of deflated entries, the decoder's state at some
places on the way is kept (`Restarts`), so that a later part begins near itself; the other methods
cannot be copied, and begin at the beginning. What is decoded up to the end of an entry is compared
with its checksum; of a part that ends before, the checksum says nothing.
"""

from __future__ import annotations

import bz2
import lzma
import threading
import zlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

import zstandard

from asynctensor.errors import DataLoss
from asynctensor.kvstores.zip.compression import (
    DECODING_ERRORS,
    DEFLATED,
    MAX_WINDOW,
    begin_incremental,
    damaged_entry,
)
from asynctensor.kvstores.zip.directory import Entry

#: Smaller entries are decoded whole: one request, and one call.
LARGE: Final = 2**20
#: Stored bytes given to a decoder at once.
BLOCK: Final = 2**20
#: Decoded bytes asked of it at once.
_PIECE: Final = 2**18
#: Stored bytes that a kept state may hold beside its window of 32 KiB.
_SIP: Final = 2**14
#: States kept of one entry, and the least distance between two in decoded bytes.
_MOST_POINTS: Final = 16
_LEAST_STEP: Final = 2**20
#: States kept beside them, where the last parts ended.
_LATEST: Final = 4
#: Entries whose states are kept, the last used ones; some megabytes in all.
_MOST_ENTRIES: Final = 8


@dataclass(frozen=True, slots=True)
class _Point:
    """The state of a decoder of deflated data.

    Attributes:
        decoder: To be copied before it is used.
        stored: Stored bytes that it has been given.
        position: Bytes that it has given.
        crc: Of these.
    """

    decoder: Any
    stored: int
    position: int
    crc: int


class Restarts:
    """Where the decoding of deflated entries of one version of a zip file can begin again."""

    __slots__ = ("_entries", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[int, _Points] = OrderedDict()

    def before(self, entry: Entry, position: int) -> _Point:
        """The last state that is not after `position`; a new one if there is none."""
        found = _Point(zlib.decompressobj(-zlib.MAX_WBITS), 0, 0, 0)
        with self._lock:
            if entry.offset in self._entries:
                self._entries.move_to_end(entry.offset)
                points = self._entries[entry.offset]
                for point in (*points.spread, *points.latest):
                    if found.position < point.position <= position:
                        found = point
        return found

    def keep(self, entry: Entry, point: _Point, *, ends_part: bool) -> None:
        """Keeps a state, unless there is one near it already and no part ends there.

        Whoever reads one part after the other begins where the last one ended.
        """
        step = max(_LEAST_STEP, -(-entry.size // _MOST_POINTS))
        with self._lock:
            points = self._entries.setdefault(entry.offset, _Points())
            self._entries.move_to_end(entry.offset)
            if ends_part:
                points.latest.append(point)
            if all(abs(each.position - point.position) >= step for each in points.spread):
                points.spread.append(point)
            if len(self._entries) > _MOST_ENTRIES:
                self._entries.popitem(last=False)


class _Points:
    """The states of one entry."""

    __slots__ = ("latest", "spread")

    def __init__(self) -> None:
        self.spread: list[_Point] = []
        self.latest: deque[_Point] = deque(maxlen=_LATEST)


class _Enough(Exception):
    """The part is complete."""


class Part:
    """The bytes of an entry from `start` to `stop`, as they are decoded.

    Args:
        entry: The entry; `check_readable` accepts it.
        start: The first byte.
        stop: The one after the last.
        restarts: What is known of its file.

    Attributes:
        done: Whether it is complete.
        needed: Where in the stored data the next block begins.
        value: What was wanted; valid once `done`.
    """

    def __init__(self, entry: Entry, start: int, stop: int, restarts: Restarts) -> None:
        self._entry, self._start, self._stop = entry, start, stop
        self._restarts = restarts
        self._position = self._crc = self.needed = 0
        self.done = start == stop
        self.value = bytearray(stop - start)
        self._feed: Callable[[memoryview], None] | None = None
        if entry.method == DEFLATED:
            point = restarts.before(entry, start)
            self.needed, self._position, self._crc = point.stored, point.position, point.crc
            self._feed = _Inflate(point.decoder.copy(), self).feed

    def feed(self, block: memoryview) -> None:
        """Decodes the stored bytes from `needed` on.

        Raises:
            DataLoss: They are damaged, or end before the part does.
        """
        last = self.needed + len(block) >= self._entry.stored
        with _errors_mapped(self._entry):
            if self._feed is None:
                self._feed = self._begin(block)
            else:
                self._feed(block)
        if not self.done and last:
            raise DataLoss(
                f"this entry of the zip file has only {self._position} bytes, and the directory "
                f"says {self._entry.size}",
                key=self._entry.key,
            )
        if self.done and self._position == self._entry.size and self._crc != self._entry.crc:
            raise DataLoss(
                "the checksum of this entry of the zip file is wrong", key=self._entry.key
            )

    def _begin(self, block: memoryview) -> Callable[[memoryview], None]:
        """The decoder of a method that cannot begin but at the beginning; it gets `block`."""
        made = begin_incremental(self._entry, block)
        if made is None:
            decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
            writer = decoder.stream_writer(cast("Any", self), write_size=_PIECE, closefd=False)

            def feed(data: memoryview) -> None:
                self.needed += len(data)
                try:
                    writer.write(data)
                except _Enough:
                    return

            feed(block)
            return feed
        incremental, first = made

        def step(data: memoryview) -> None:
            self.needed += len(data)
            self._pull(incremental, data)

        self.needed += len(block) - len(first)
        step(first)
        return step

    def _pull(self, decoder: bz2.BZ2Decompressor | lzma.LZMADecompressor, data: memoryview) -> None:
        given: memoryview | bytes = data
        while not (self.done or decoder.eof):
            piece = decoder.decompress(given, self.limit())
            if not piece and (decoder.needs_input or not given):
                return
            given = b""
            self.take(piece)

    def limit(self) -> int:
        """How many bytes to ask for next."""
        return min(_PIECE, self._stop - self._position)

    def write(self, piece: bytes | memoryview) -> int:
        """What zstd calls with each piece.

        Raises:
            _Enough: No more are wanted.
        """
        self.take(piece)
        if self.done:
            raise _Enough
        return len(piece)

    def take(self, piece: bytes | memoryview) -> None:
        """The next decoded bytes: what of them is wanted is kept."""
        piece = memoryview(piece)[: self._stop - self._position]
        self._crc = zlib.crc32(piece, self._crc)
        begin = max(self._start - self._position, 0)
        if begin < len(piece):
            place = self._position + begin - self._start
            self.value[place : place + len(piece) - begin] = piece[begin:]
        self._position += len(piece)
        self.done = self._position >= self._stop

    def remember(self, decoder: Any) -> None:
        """Offers the state of the decoder to be kept."""
        if self._position < self._entry.size:
            point = _Point(decoder.copy(), self.needed, self._position, self._crc)
            self._restarts.keep(self._entry, point, ends_part=self.done)


class _Inflate:
    """Decodes deflated data for a `Part`."""

    __slots__ = ("_decoder", "_part", "_remembered")

    def __init__(self, decoder: Any, part: Part) -> None:
        self._decoder, self._part = decoder, part
        self._remembered = 0

    def feed(self, block: memoryview) -> None:
        part, decoder = self._part, self._decoder
        at = 0
        while not (part.done or decoder.eof):
            sip = block[at : at + _SIP]
            piece = decoder.decompress(sip, part.limit())
            eaten = len(sip) - len(decoder.unconsumed_tail)
            at += eaten
            part.needed += eaten
            part.take(piece)
            self._remembered += len(piece)
            if self._remembered >= _LEAST_STEP or part.done:
                self._remembered = 0
                part.remember(decoder)
            if not piece and at == len(block):
                return
        if not part.done:
            raise EOFError("its data end early")


@contextmanager
def _errors_mapped(entry: Entry) -> Iterator[None]:
    try:
        yield
    except DECODING_ERRORS as error:
        raise damaged_entry(entry, error) from error
