"""The root of a file store: from keys to open files that really lie below it."""

from __future__ import annotations

import errno
import os

from asynctensor.errors import InvalidArgument
from asynctensor.kvstores.file.file_system import NAME_ONLY, READ, FileSystem


class Root:
    """The root of a store, and the one place where its keys become paths.

    Args:
        path: The absolute path of the root. Links on the way to it are the caller's own and are
            followed.
        file_system: The system calls.
    """

    def __init__(self, path: str, file_system: FileSystem) -> None:
        self.path = path
        self._file_system = file_system
        self._real: str | None = None

    @property
    def real(self) -> str:
        """The path of the root without links, looked up first and whenever a link is met."""
        real = self._real
        if real is None:
            real = self._real = self._file_system.realpath(self.path)
        return real

    def join(self, key: str) -> str:
        """The path of `key`, which may be empty for the root itself."""
        real = self.real
        if not key:
            return real
        return real + key if real.endswith("/") else f"{real}/{key}"

    def join_now(self, key: str) -> str | None:
        """`join` without a look at the file system; None if it takes one."""
        return None if self._real is None else self.join(key)

    def open(self, key: str, flags: int) -> tuple[int, str]:
        """Opens what lies at `key`, through links only where they stay below the root.

        Returns:
            The file descriptor, and the real path.

        Raises:
            InvalidArgument: A link on the way leads out of the root.
            OSError: As `os.open`.
        """
        path = self.join(key)
        try:
            return self._file_system.open_no_links(path, flags), path
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        path = self._resolve(key)
        return self._file_system.open_no_links(path, flags), path

    def _resolve(self, key: str) -> str:
        """The real path of `key`; the system follows the links, and we look where they led."""
        self._real = None
        real = self.real
        path = self._file_system.realpath(self.join(key))
        inside = real if real.endswith("/") else real + "/"
        if path != real and not path.startswith(inside):
            raise InvalidArgument(
                f"{key!r} leads out of the root {self.path!r} through a symbolic link; "
                "open the place that it points to instead",
            )
        return path

    def open_to_read(self, key: str) -> int:
        """Opens the file of `key` for reading."""
        return self.open(key, READ)[0]

    def status(self, key: str) -> os.stat_result:
        """What `os.stat` says of the file of `key`."""
        fd = self.open(key, NAME_ONLY)[0]
        try:
            return self._file_system.fstat(fd)
        finally:
            self._file_system.close(fd)
