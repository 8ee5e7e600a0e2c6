"""Calls of an fsspec file system, synchronous or asynchronous, from the I/O loop.

Asynchronous file systems run on the event loop that they were made for; synchronous ones on worker
threads, and one call at a time unless they are known to bear more: fsspec promises nothing there
(`MemoryFileSystem` moves the one position of a file that all its readers share).
"""

from __future__ import annotations

import asyncio
import os
from asyncio import AbstractEventLoop
from functools import partial
from typing import Any, Final

from fsspec import AbstractFileSystem, get_filesystem_class

from asynctensor.errors import Error, IncompatibleType, InvalidArgument
from asynctensor.integrations.handles import Handles
from asynctensor.runtime.guest import Guest

#: Synchronous file systems whose calls may run in several threads at once.
_THREADSAFE: Final = frozenset({"fsspec.implementations.local"})
_THREADS: Final = 8
#: Parts of the names of options that may be secret: they are in no spec, no pickle and no text.
_SECRET: Final = (
    "anon_key", "auth", "connection_string", "cred", "key", "pass", "private", "sas", "secret",
    "session", "sign", "token", "user",
)  # fmt: skip
#: Values that name a way to find a secret, or that there is none (gcsfs).
_NO_SECRETS: Final = ("anon", "browser", "cache", "cloud", "google_default")


class FilesystemCalls:
    """One file system, called by the names that fsspec gives its operations.

    Args:
        filesystem: The file system.
        given: Whether it is an object of the user's, which specs name by a handle.

    Attributes:
        handle: Its handle in `HANDLES`; None for one that a spec opened.
    """

    def __init__(self, filesystem: AbstractFileSystem, *, given: bool = False) -> None:
        if not isinstance(filesystem, AbstractFileSystem):
            raise IncompatibleType(
                f"expected a file system of fsspec, but received {type(filesystem).__name__}"
            )
        self._filesystem = filesystem
        self._pid = os.getpid()
        self._guest = _guest_of(filesystem)
        self._turns: tuple[AbstractEventLoop, asyncio.Semaphore] | None = None
        self.handle = HANDLES.add(self) if given else None

    @property
    def filesystem(self) -> AbstractFileSystem:
        """The file system; in a forked child another one like it, as fsspec's do not survive."""
        if self._pid != os.getpid():
            given = self._filesystem
            options = {**given.storage_options, "skip_instance_cache": True}
            self._filesystem = type(given)(*given.storage_args, **options)
            self._pid, self._turns = os.getpid(), None
            self._guest = _guest_of(self._filesystem)
        return self._filesystem

    @property
    def module(self) -> str:
        """Where its class is defined."""
        return type(self._filesystem).__module__

    async def __call__(self, name: str, *args: Any, **options: Any) -> Any:
        """What the operation returns; raises what it raises.

        A cancelled call is over when this returns: a coroutine is cancelled, a call in a thread
        that has begun is waited for.
        """
        filesystem = self.filesystem
        if filesystem.async_impl:
            function = getattr(filesystem, f"_{name}", None)
            if function is not None:
                return await self._guest.call(partial(function, *args, **options))
        async with self._turn():
            return await self._guest.call(partial(getattr(filesystem, name), *args, **options))

    async def fresh(self, name: str, *args: Any, **options: Any) -> Any:
        """The same, of what is stored now: without what the file system remembers of listings."""
        self.filesystem.invalidate_cache()
        return await self(name, *args, **options)

    def _turn(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        if self._turns is None or self._turns[0] is not loop:
            threads = _THREADS if self.module in _THREADSAFE else 1
            self._turns = loop, asyncio.Semaphore(threads)
        return self._turns[1]

    # -- What it says of itself ---------------------------------------------------------------

    @property
    def protocol(self) -> str:
        """Its name in fsspec."""
        named = self._filesystem.protocol
        return named if isinstance(named, str) else named[0]

    @property
    def public_options(self) -> dict[str, Any]:
        """Its options that JSON can hold and that are no secret."""
        given = self._filesystem.storage_options
        return {name: value for name, value in given.items() if _is_public(name, value)}

    @property
    def identity(self) -> object:
        """Equal for file systems of the same class and options, secret ones included."""
        return self.protocol, self._filesystem._fs_token

    def __reduce__(self) -> tuple[object, ...]:
        given = self._filesystem
        kept = tuple(arg for arg in given.storage_args if isinstance(arg, str | int | float))
        if len(kept) != len(given.storage_args):
            raise InvalidArgument(
                f"a file system of protocol {self.protocol!r} cannot be pickled: its arguments "
                "are more than text and numbers"
            )
        return _restored, (type(given), kept, self.public_options, self.handle)


#: File systems that were given as objects.
HANDLES: Final[Handles[FilesystemCalls]] = Handles()


def _restored(
    cls: type[AbstractFileSystem], args: tuple[Any, ...], options: dict[str, Any], handle: object
) -> FilesystemCalls:
    return HANDLES.find(handle) or FilesystemCalls(cls(*args, **options))


def opened_filesystem(protocol: str, options: dict[str, Any]) -> AbstractFileSystem:
    """The file system of a name.

    Raises:
        InvalidArgument: fsspec knows no such file system, or it does not take the options.
    """
    try:
        cls: type[AbstractFileSystem] = get_filesystem_class(protocol)
    except (ImportError, ValueError) as error:
        raise InvalidArgument(f"fsspec has no file system {protocol!r} here: {error}") from error
    try:
        return cls(**options)
    except Error:
        raise
    except (TypeError, ValueError) as error:
        raise InvalidArgument(
            f"fsspec's file system {protocol!r} does not take the options "
            f"{sorted(options)}: {type(error).__name__}"
        ) from error


def _guest_of(filesystem: AbstractFileSystem) -> Guest:
    # One that was made for synchronous use has a loop of fsspec's own, on a thread of its own; one
    # made with asynchronous=True belongs to the loop that is running.
    return Guest(getattr(filesystem, "loop", None) if filesystem.async_impl else None)


def _is_public(name: str, value: Any) -> bool:
    if any(part in name.lower() for part in _SECRET):
        return name == "token" and value in _NO_SECRETS
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_public(key, each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return all(_is_public("", each) for each in value)
    return value is None or isinstance(value, bool | int | float | str)
