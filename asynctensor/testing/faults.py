"""A file system whose calls fail when told to: full disks, stale handles, lost replies."""

from __future__ import annotations

import errno as errno_module
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from asynctensor.kvstores.file.file_system import FileSystem

#: The calls that can be made to fail.
CALLS = (
    "close", "fstat", "stat", "ftruncate", "fsync", "link", "mkdir", "open", "open_no_links",
    "pread", "read_into", "rename", "rmdir", "scandir", "try_lock", "unlink", "utime", "write",
)  # fmt: skip


@dataclass(slots=True)
class Fault:
    """One planned failure.

    Attributes:
        code: The ``errno``.
        times: How many calls still fail.
        after: Whether the call is done all the same, and only its reply lost.
        when: Which calls, by their arguments.
        partial: For ``write``: how many bytes are written before it fails.
    """

    code: int
    times: int
    after: bool
    when: Callable[..., bool]
    partial: int | None


class FaultyFileSystem(FileSystem):
    """The real file system, with failures on demand, and a count of the calls.

    Attributes:
        counts: How often each call was made, and did not fail.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = dict.fromkeys(CALLS, 0)
        self._faults: dict[str, list[Fault]] = {name: [] for name in CALLS}
        for name in CALLS:
            setattr(self, name, partial(self._call, name, getattr(self, name)))

    def fail(
        self,
        call: str,
        code: int,
        *,
        times: int = 1,
        after: bool = False,
        when: Callable[..., bool] = lambda *_, **__: True,
        partial: int | None = None,
    ) -> None:
        """Plans failures.

        Args:
            call: One of `CALLS`.
            code: The ``errno`` to fail with.
            times: How often.
            after: Do what was asked and fail then, as when the reply of a file server is lost.
            when: Fail only where this is true of the arguments.
            partial: For ``write``: write so many bytes first.
        """
        self._faults[call].append(Fault(code, times, after, when, partial))

    def _call(self, name: str, real: Callable[..., Any], *args: Any, **named: Any) -> Any:
        for fault in self._faults[name]:
            if fault.times > 0 and fault.when(*args, **named):
                fault.times -= 1
                if fault.after:
                    real(*args, **named)
                if fault.partial is not None:
                    real(args[0], args[1][: fault.partial])
                raise OSError(fault.code, os.strerror(fault.code))
        result = real(*args, **named)
        self.counts[name] += 1
        return result


def full_disk(file_system: FaultyFileSystem, *, times: int = 1, partial: int = 3) -> None:
    """Has writes fail with ``ENOSPC`` after a few bytes."""
    file_system.fail("write", errno_module.ENOSPC, times=times, partial=partial)
