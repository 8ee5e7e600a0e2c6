"""Settings of the ``file`` store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from asynctensor.errors import InvalidArgument
from asynctensor.scheduler.retry import RetryPolicy

LockingMode: TypeAlias = Literal["os", "lockfile", "none", "non_atomic"]
IoMode: TypeAlias = Literal["default", "memmap", "direct"]

#: A disk that fails will mostly fail again. TensorStore's default.
NO_RETRIES = RetryPolicy(max_retries=0)


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How a `FileStore` writes.

    Attributes:
        sync: Whether an acknowledged write survives a crash of the machine. Costs two flushes of
            the disk per group of writes and directory, a millisecond or more; TensorStore's
            ``file_io_sync`` and its default.
        locking: How conditional writes exclude each other (TensorStore's ``file_io_locking``):

            - ``"os"``: a lock of the operating system on ``KEY.__lock``; gone with its holder.
              The default: safe, and two cheap system calls.
            - ``"lockfile"``: ``KEY.__lock`` exists while a write runs. For network file systems
              whose locks cannot be trusted. A crashed writer leaves the file behind, and nobody
              but its owner can know that, so writes of that key then fail until it is removed.
            - ``"none"``: values still appear whole or not at all, and creating only if absent is
              still safe; other conditions are checked, but another writer may slip in between.
            - ``"non_atomic"``: values are written in place, for file systems that cannot rename.
              Readers may see half a value.
        mode: How values are read (TensorStore's ``file_io_mode``): ``"default"``; ``"memmap"``:
            large ones through memory maps, see `mapped_file`; ``"direct"``: past the page cache,
            see `direct_file`.
        acquire_timeout_s: Seconds to wait for another writer of the same key. TensorStore's 60.
        retries: How often what failed for a reason that may pass is done again, see `retrying`
            (TensorStore's ``file_io_retries``). With any, the store has no blocking face: no
            worker sleeps between attempts, and reads and writes of many chunks cost more.
    """

    sync: bool = True
    locking: LockingMode = "os"
    acquire_timeout_s: float = 60.0
    mode: IoMode = "default"
    retries: RetryPolicy = NO_RETRIES

    def __post_init__(self) -> None:
        if self.locking not in get_args(LockingMode):
            raise InvalidArgument(
                f"file locking mode {self.locking!r} is not known: use one of "
                + ", ".join(map(repr, get_args(LockingMode)))
            )
        if self.mode not in get_args(IoMode):
            raise InvalidArgument(
                f"file I/O mode {self.mode!r} is not known: use one of "
                + ", ".join(map(repr, get_args(IoMode)))
            )
        if not self.acquire_timeout_s >= 0:
            raise InvalidArgument(
                f"acquire_timeout is {self.acquire_timeout_s} s: expected 0 or more seconds"
            )


DEFAULT_OPTIONS = FileOptions()
