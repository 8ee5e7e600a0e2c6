"""Several blosc frames by one call of the library: the frames of chunks of one length.

A frame is a header, the places of its blocks, and the blocks, each of which is compressed by
itself (c-blosc, README_CHUNK_FORMAT)::

    frame = 4 bytes (versions, flags, typesize), nbytes, blocksize, cbytes   ; uint32 each
            *start                                                           ; int32, one a block
            *block

So chunks that lie one behind the other can be encoded as one, with the block size that each of them
would have, and the blocks then be given to frames of their own: the bytes are the same as those of
many calls. What differs is how often a thread gives up the GIL and waits for it: once for a tile,
not once for each of its 64 chunks. Decoding goes the same way back: a header is put before frames
that lie in one piece of memory, and refers to the blocks where they are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from asynctensor.chunked.codec import Array, Encoding
from asynctensor.chunked.compression.codec import encoding_room
from asynctensor.storage.address import address_of
from asynctensor.storage.kvstore import Buffer

HEADER = struct.Struct("<4BIII")
#: Flag of a frame that holds the bytes as they are, in no blocks.
_COPIED = 0x02
#: Flag of one whose blocks are not split into a stream for each byte of an element.
_WHOLE = 0x10
#: A block is split into at most so many streams.
_MOST_STREAMS = 16
#: What a block may need beyond its bytes: its place, and the lengths of up to 16 streams.
_BLOCK_OVERHEAD = 4 + 4 * _MOST_STREAMS
#: A frame that saves less than this many bytes is left to a call of its own, in which the library
#: may find no room for it and copy the chunk instead.
_LEAST_SAVED = 128

#: Encodes (source, size, target, room, blocksize): addresses and bytes; gives the length.
Compress = Callable[[int, int, int, int, int], int]
#: Decodes (source, size, out): addresses, and the bytes that come; gives how many did.
Decompress = Callable[[int, int, int], int]


@dataclass(frozen=True, slots=True)
class Form:
    """What the headers of the frames of all chunks of one length say alike.

    Attributes:
        tag: The first four bytes.
        size: Bytes of a chunk.
        blocksize: Bytes of a block.
    """

    tag: bytes
    size: int
    blocksize: int

    @staticmethod
    def of(frame: Buffer) -> Form:
        """That of a frame that the library has made."""
        *tag, size, blocksize, _ = HEADER.unpack_from(frame)
        tag[2] &= ~_COPIED
        return Form(bytes(tag), size, blocksize)

    @property
    def blocks(self) -> int:
        """Blocks of a chunk; 0 where its last one is shorter than the others."""
        return 0 if self.size % self.blocksize else self.size // self.blocksize

    @property
    def asked(self) -> int:
        """The block size to ask for: the library multiplies it where it splits blocks."""
        return self.blocksize if self.tag[2] & _WHOLE else self.blocksize // max(1, self.tag[3])


def encode_together(
    compress: Compress, data: memoryview, form: Form
) -> list[Encoding | None] | None:
    """Encodes chunks that lie one behind the other.

    Args:
        compress: The library.
        data: Their bytes.
        form: What their frames look like.

    Returns:
        Their frames, in two pieces each; None for those that are left to calls of their own. None
        if the library makes no such blocks.
    """
    count, blocks = len(data) // form.size, form.blocks
    if not blocks:
        return None
    size = len(data) + HEADER.size + count * blocks * _BLOCK_OVERHEAD
    room = encoding_room(size)
    length = compress(address_of(data), len(data), address_of(room), size, form.asked)
    if length <= 0 or Form.of(room) != Form(form.tag, len(data), form.blocksize):
        return None
    if room[2] & _COPIED:
        nothing: list[Encoding | None] = [None] * count
        return nothing
    starts = np.frombuffer(room, "<i4", count * blocks, HEADER.size).reshape(count, blocks)
    bounds = np.append(starts[:, 0], length)
    lengths = np.diff(bounds) + HEADER.size + 4 * blocks
    if (np.diff(starts.reshape(-1)) <= 0).any():
        return None
    heads = _heads(form, starts, lengths)
    places = bounds.tolist()
    step = HEADER.size + 4 * blocks
    return [
        (heads[k * step : (k + 1) * step], room[places[k] : places[k + 1]].toreadonly())
        if total <= form.size - _LEAST_SAVED
        else None
        for k, total in enumerate(lengths.tolist())
    ]


def _heads(form: Form, starts: Array, lengths: Array) -> memoryview:
    """What goes before the blocks of each frame, one behind the other."""
    count, blocks = starts.shape
    heads = np.empty((count, HEADER.size // 4 + blocks), "<u4")
    heads[:, 0] = np.frombuffer(form.tag, "<u4")
    heads[:, 1:3] = form.size, form.blocksize
    heads[:, 3] = lengths
    heads[:, 4:] = starts - starts[:, :1] + HEADER.size + 4 * blocks
    return heads.view(np.uint8).reshape(-1).data.toreadonly()


def decode_together(
    decompress: Decompress, values: Sequence[Buffer], out: memoryview, size: int, lead: memoryview
) -> bool:
    """Decodes chunks of one length, one behind the other.

    Args:
        decompress: The library.
        values: Their frames, not trusted.
        out: Room for the chunks.
        size: Bytes of one.
        lead: Bytes to write to, before all of the frames in the same memory.

    Returns:
        Whether all of them are decoded. If not, each is to be decoded by itself: what is in `out`
        is undefined. Nothing is read from beyond the frames, and of none what is another's.
    """
    places = _places(values, lead)
    if places is None:
        return False
    memory = np.asarray(lead.obj, np.uint8)
    memory = memory[address_of(lead) - address_of(memory.data) :]
    ends = places + np.fromiter(map(len, values), np.int64, len(values))
    first = bytes(memory[places[0] : places[0] + HEADER.size])
    form = Form.of(first)
    if first[2] & _COPIED or form.size != size or form.blocksize <= 0 or not form.blocks:
        return False
    length = HEADER.size + 4 * len(values) * form.blocks
    heads = _gathered(memory, places, 4)
    alike = heads[:, :3] == heads[0, :3]
    if length > len(lead) or not alike.all() or (heads[:, 3] != ends - places).any():
        return False
    starts = _starts(memory, places, ends, form)
    if starts is None:
        return False
    HEADER.pack_into(lead, 0, *form.tag, size * len(values), form.blocksize, int(ends.max()))
    np.frombuffer(lead, "<i4", starts.size, HEADER.size)[:] = starts.reshape(-1)
    return decompress(address_of(lead), len(out), address_of(out)) == len(out)


def _places(values: Sequence[Buffer], lead: memoryview) -> Array | None:
    """Where values begin, as seen from `lead`; None where one is not behind it in its memory."""
    begin = address_of(lead)
    found = []
    for value in values:
        if not isinstance(value, memoryview) or value.obj is not lead.obj:
            return None
        if len(value) < HEADER.size:
            return None
        found.append(address_of(value) - begin)
    places = np.array(found, np.int64)
    return None if int(places.min()) < len(lead) else places


def _starts(memory: Array, places: Array, ends: Array, form: Form) -> Array | None:
    """Where the blocks of frames begin; None if some block is not all within its frame."""
    blocks = form.blocks
    streams = 1 if form.tag[2] & _WHOLE else form.tag[3]
    head = HEADER.size + 4 * blocks
    if not 0 < streams <= _MOST_STREAMS or (ends - places < head).any():
        return None
    starts = places[:, None] + _gathered(memory, places + HEADER.size, blocks)
    at = starts
    for _ in range(streams):
        if (at < (places + head)[:, None]).any() or (at + 4 > ends[:, None]).any():
            return None
        sizes = _gathered(memory, at.reshape(-1), 1).reshape(at.shape)
        if (sizes <= 0).any():
            return None
        at = at + 4 + sizes
    return None if (at > ends[:, None]).any() else starts


def _gathered(memory: Array, places: Array, count: int) -> Array:
    """`count` little-endian numbers of four bytes from each place, as int64."""
    rows = memory[places[:, None] + np.arange(4 * count)]
    return rows.view("<i4").astype(np.int64)
