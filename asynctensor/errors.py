"""The one tree of errors: few classes, told apart by what a caller would do about them.

Every class has a stable ``kind`` (TensorStore's status word, which also opens the text where
TensorStore's does), says in fields *where* it happened, and inherits the built-in exceptions that
users of TensorStore and of plain Python already catch. The cause, where there is one, is chained.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar


class Error(Exception):
    """Anything that asynctensor reports by itself.

    Attributes:
        kind: The status word of TensorStore, stable over releases (``"NOT_FOUND"``).
        key: The key in the store, if one is concerned.
        store: The store, as a URL or short description without secrets.
        operation: What was being done (``"read"``, ``"write"``, ``"open"``).
        array: The array (its URL), if one is concerned.
        contradicting: Of a spec or schema that contradicts itself, the paths of the two members
            inside the JSON; of one that contradicts what is stored, the path of the one.
    """

    kind: ClassVar[str] = "UNKNOWN"
    #: TensorStore leaves the status word out of the text of these.
    _word_in_text: ClassVar[bool] = True
    contradicting: tuple[str, ...] = ()

    def __init__(
        self,
        message: str,
        *,
        key: str | None = None,
        store: str | None = None,
        operation: str | None = None,
        array: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.key = key
        self.store = store
        self.operation = operation
        self.array = array

    def __str__(self) -> str:
        text = f"{self.kind}: {self.message}" if self._word_in_text else self.message
        text += _told(self.contradicting)
        where = [
            f"{name}={value!r}"
            for name, value in (
                ("array", self.array),
                ("store", self.store),
                ("key", self.key),
                ("operation", self.operation),
            )
            if value is not None
        ]
        text = f"{text} [{', '.join(where)}]" if where else text
        # What was read from a store may hold half a surrogate pair, which nobody could print.
        return text.encode(errors="backslashreplace").decode()

    def __reduce__(self) -> tuple[object, ...]:
        fields = {k: getattr(self, k) for k in ("key", "store", "operation", "array")}
        rebuilt = (_rebuild, (type(self), self.message, fields))
        return (*rebuilt, {"contradicting": self.contradicting}) if self.contradicting else rebuilt

    def located(
        self,
        *,
        key: str | None = None,
        store: str | None = None,
        operation: str | None = None,
        array: str | None = None,
    ) -> Error:
        """Fills in what is not known yet, and returns the error itself."""
        self.key = self.key if self.key is not None else key
        self.store = self.store if self.store is not None else store
        self.operation = self.operation if self.operation is not None else operation
        self.array = self.array if self.array is not None else array
        return self


def _told(members: tuple[str, ...]) -> str:
    """Which members of a spec contradict each other, and what would be accepted."""
    if len(set(members)) < len(members) or not members:
        return ""
    if len(members) == 1:
        return f'; member "{members[0]}" contradicts what is stored: change it, or leave it out'
    return f'; member "{members[0]}" contradicts "{members[1]}": make them agree, or leave one out'


def _rebuild(cls: type[Error], message: str, fields: dict[str, Any]) -> Error:
    return cls(message, **fields)


class InvalidArgument(Error, ValueError):
    """The call is wrong, whatever the store holds: change the call."""

    kind = "INVALID_ARGUMENT"
    _word_in_text = False


class InvalidIndex(InvalidArgument, IndexError):
    """An indexing expression that fits no domain of this rank: change the expression."""


class OutOfRange(Error, ValueError, IndexError):
    """An index or a byte range outside what exists: ask for less."""

    kind = "OUT_OF_RANGE"


class IncompatibleType(Error, TypeError):
    """A value of a type that cannot be used here: convert it first."""

    kind = "INVALID_ARGUMENT"
    _word_in_text = False


class NotFound(Error, ValueError, KeyError, FileNotFoundError):
    """The array, the key or the store does not exist: create it, or look elsewhere."""

    kind = "NOT_FOUND"


class AlreadyExists(Error, ValueError, FileExistsError):
    """Something is there already: open it, or delete it first."""

    kind = "ALREADY_EXISTS"


class FailedPrecondition(Error, ValueError):
    """What is stored, or the state of an object, does not fit the call."""

    kind = "FAILED_PRECONDITION"


class Aborted(Error, ValueError):
    """Somebody else changed what this operation rested on: start again from fresh data.

    Attributes:
        conflicts: What was changed, where the store keeps a history: each a `CommitConflict` with
            the array's ``path``, ``keys``, ``boxes`` of chunks, and ``commit_id``, ``message`` and
            ``author`` of the commit which it was.
        members: Of the document that ``key`` names: the members that were changed.
        final: Whether what changed had been read, so that working the same changes out again
            cannot help.
    """

    kind = "ABORTED"
    conflicts: tuple[Any, ...] = ()
    members: tuple[str, ...] = ()
    final: bool = False


class DataLoss(Error, ValueError):
    """Stored bytes are damaged: restore them from elsewhere."""

    kind = "DATA_LOSS"


class Unavailable(Error, ValueError, OSError):
    """The store did not do it now: trying again later may help."""

    kind = "UNAVAILABLE"


class CommitUnknown(Unavailable):
    """The store did not say whether a transaction was committed: ask again later.

    Attributes:
        transaction_id: The transaction, as 32 hex digits.
        branch: The id of the branch that it was to be committed to.
        base: The last record of the branch before it.
        digest: Of the transaction's contents, in hex.
        resolve: Called without arguments, a future of ``"committed"`` or ``"aborted"``: whichever
            stands in the log; if neither does, it is aborted there. ``"unknown"`` where records
            are damaged that may have it. An error that came from another process has none:
            ``Repository.resolve(error)`` does the same.
        commit_id: The id of the commit, once it was resolved to be committed.
    """

    kind = "COMMIT_UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        transaction_id: str = "",
        branch: str = "",
        base: int = 0,
        digest: str = "",
        **where: str | None,
    ) -> None:
        super().__init__(message, **where)
        self.transaction_id = transaction_id
        self.branch = branch
        self.base = base
        self.digest = digest
        self.resolve: Callable[[], Awaitable[str]] | None = None
        self.commit_id: str | None = None

    def __reduce__(self) -> tuple[object, ...]:
        names = ("key", "store", "operation", "array")
        fields = {name: getattr(self, name) for name in names}
        fields |= {n: getattr(self, n) for n in ("transaction_id", "branch", "base", "digest")}
        return (_rebuild, (type(self), self.message, fields))


class ResourceExhausted(Error, ValueError, OSError):
    """Disk, quota or a limit is used up: make room, then try again."""

    kind = "RESOURCE_EXHAUSTED"


class PermissionDenied(Error, ValueError, PermissionError):
    """The store refuses this to us: change rights or credentials."""

    kind = "PERMISSION_DENIED"


class Unimplemented(Error, NotImplementedError, ValueError):
    """This format, store or platform cannot do it.

    Also a ValueError, which is what TensorStore raises for a codec or a data type that it does not
    know.
    """

    kind = "UNIMPLEMENTED"
    _word_in_text = False


class DeadlineExceeded(Error, TimeoutError):
    """The time given by ``timeout=`` or ``deadline=`` ran out."""

    kind = "DEADLINE_EXCEEDED"


#: errno -> class. What is not listed is `Unavailable`: trying again may help.
_BY_ERRNO: dict[int, type[Error]] = {
    errno.ENOENT: NotFound,
    errno.EEXIST: AlreadyExists,
    errno.EACCES: PermissionDenied,
    errno.EPERM: PermissionDenied,
    errno.EROFS: PermissionDenied,
    errno.ENOSPC: ResourceExhausted,
    errno.EDQUOT: ResourceExhausted,
    errno.EMFILE: ResourceExhausted,
    errno.ENFILE: ResourceExhausted,
    errno.ENOMEM: ResourceExhausted,
    errno.EFBIG: ResourceExhausted,
    errno.EISDIR: FailedPrecondition,
    errno.ENOTDIR: FailedPrecondition,
    errno.ENOTEMPTY: FailedPrecondition,
    errno.ELOOP: InvalidArgument,
    errno.ENAMETOOLONG: InvalidArgument,
    errno.EINVAL: InvalidArgument,
}


def from_os_error(
    error: OSError, *, key: str | None = None, store: str | None = None, operation: str
) -> Error:
    """The error of this tree that says what `error` says; the caller raises it ``from error``."""
    cls = _BY_ERRNO.get(error.errno or 0, Unavailable)
    reason = error.strerror or str(error) or type(error).__name__
    mapped = cls(f"{reason} [os_error_code={error.errno}]")
    mapped.errno, mapped.strerror = error.errno, error.strerror  # type: ignore[attr-defined]
    return mapped.located(key=key, store=store, operation=operation)


def from_memory_error(error: MemoryError, what: str) -> ResourceExhausted:
    """The error of this tree for `what` that does not fit; the caller raises it ``from error``."""
    return ResourceExhausted(f"not enough memory for {what}: {str(error) or 'out of memory'}")


def from_ending(error: BaseException, what: str) -> Aborted:
    """The error of this tree for what `what` raised, and which is no `Exception`.

    It would end the loop or the worker that it reaches, or be mistaken for a cancellation of ours;
    the caller raises this instead, ``from error``.
    """
    return Aborted(f"{what} raised {error!r}, which no caller can be handed")


@contextmanager
def os_errors_mapped(
    *, key: str | None = None, store: str | None = None, operation: str
) -> Iterator[None]:
    """Maps every `OSError` of its body into this tree, and completes errors of the tree."""
    try:
        yield
    except Error as error:
        error.located(key=key, store=store, operation=operation)
        raise
    except OSError as error:
        raise from_os_error(error, key=key, store=store, operation=operation) from error
