"""Large memory that is handed out, and used again when nobody refers to it any more.

The kernel clears each fresh page, which for a large read costs about as much as reading and
decoding, and several times as much in a virtual machine whose host takes free memory back. So
memory that comes back is kept for a few seconds, for whoever next wants about as much.

It comes back when the last array, view or memoryview that refers to it is gone, the moment at which
it would be freed otherwise: whoever adopts an output (TensorFlow, JAX, PyTorch) holds a reference.
"""

from __future__ import annotations

import mmap
import sys
from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from asynctensor.runtime.process import PROCESS

#: Seconds for which memory is kept.
KEPT: Final = 10.0
#: Memory that is so many times as large as what is asked for is not used for it.
_WASTE: Final = 1.25
_IS_LINUX: Final = sys.platform == "linux"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What memory is for: each purpose has its own.

    Attributes:
        name: Names it in this process.
        least: Smaller memory is left to malloc.
        most_kept: Bytes kept at most.
        is_offered: Whether the system is told that it may take the pages of what is kept
            (``MADV_FREE``), so that under pressure that costs nobody else anything.
        is_huge: Whether huge pages are asked for.
    """

    name: str
    least: int
    most_kept: int
    is_offered: bool = False
    is_huge: bool = False


OUTPUTS: Final = Purpose("memory of outputs", 4 * 2**20, 512 * 2**20, is_offered=True, is_huge=True)
BODIES: Final = Purpose("memory of bodies", 128 * 2**10, 64 * 2**20)
ENCODINGS: Final = Purpose("memory of encodings", 128 * 2**10, 96 * 2**20)


class _Kept:
    """Blocks that came back, the latest last, and when.

    A finaliser adds to them, which may run in any thread and within any other call here: so there
    are no locks, and nothing but methods of `deque` that are whole by themselves.
    """

    def __init__(self, purpose: Purpose) -> None:
        self.purpose = purpose
        self.blocks: deque[tuple[mmap.mmap, float]] = deque()
        self._timer: TimerHandle | None = None

    def take(self, size: int) -> mmap.mmap | None:
        """The latest block of about this size."""
        for entry in reversed(list(self.blocks)):
            if size <= len(entry[0]) <= _WASTE * size:
                try:
                    self.blocks.remove(entry)
                except ValueError:
                    continue  # Somebody else was faster.
                return entry[0]
        return None

    def give_back(self, block: mmap.mmap, loop: AbstractEventLoop) -> None:
        """Keeps a block, if there is room, until the loop drops it."""
        if sum([len(each) for each, _ in list(self.blocks)]) + len(block) > self.purpose.most_kept:
            return
        if self._timer is None:
            loop.call_soon_threadsafe(self._arm, loop)
        if self.purpose.is_offered:
            block.madvise(mmap.MADV_FREE)
        self.blocks.append((block, monotonic()))

    def _arm(self, loop: AbstractEventLoop) -> None:
        if self._timer is None:
            self._timer = loop.call_later(KEPT, self._sweep, loop)

    def _sweep(self, loop: AbstractEventLoop) -> None:
        self._timer = None
        while self.blocks and monotonic() - self.blocks[0][1] >= KEPT:
            self.blocks.popleft()
        if self.blocks:
            self._arm(loop)


class _Lent:
    """What the base of an array refers to: its end is the end of the array."""

    __slots__ = ("__array_interface__", "_block", "_kept")

    def __init__(self, block: mmap.mmap, size: int, kept: _Kept) -> None:
        self._block, self._kept = block, kept
        plain = np.frombuffer(block, np.uint8, size)
        self.__array_interface__ = plain.__array_interface__

    def __del__(self) -> None:
        # Kept only where a loop will drop it some time, and that loop is this process's.
        io, kept = PROCESS.io, self._kept
        if io is None or PROCESS.exiting or PROCESS.shared.get(kept.purpose.name) is not kept:
            return
        # Where the loop has ended, the block ends too.
        with suppress(RuntimeError, OSError):
            kept.give_back(self._block, io.loop)


def reused_memory(size: int, purpose: Purpose) -> npt.NDArray[Any] | None:
    """`size` bytes with arbitrary content, aligned to a page; None where that is malloc's matter.

    They are used for something else once neither the array nor anything made from it is left.
    """
    if size < purpose.least or not _IS_LINUX:
        return None
    kept = PROCESS.shared.get(purpose.name)
    if not isinstance(kept, _Kept):
        # Two threads may both make one: what comes back to the other one ends.
        kept = PROCESS.shared[purpose.name] = _Kept(purpose)
    block = kept.take(size)
    if block is None:
        try:
            block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except (OSError, OverflowError, ValueError):
            return None
        if purpose.is_huge:
            with suppress(OSError):  # A kernel without them.
                block.madvise(mmap.MADV_HUGEPAGE)
    return np.asarray(_Lent(block, size, kept))
