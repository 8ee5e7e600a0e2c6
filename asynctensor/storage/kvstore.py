"""The store contract: where bytes live, keyed by strings.

Keys are ``/``-separated Unicode strings; values are bytes, replaced as a whole. A store is cheap,
immutable in what it names, safe to use from any thread, and picklable; it holds no reference to a
caller's event loop. Its asynchronous methods run on the I/O loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from asynctensor.errors import Error
from asynctensor.storage.byte_range import FULL, ByteRange
from asynctensor.storage.commit_domain import CommitDomain
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.value_history import ValueHistory

#: What a write takes: anything that offers C-contiguous bytes.
Buffer: TypeAlias = bytes | bytearray | memoryview
Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a read is done.

    Attributes:
        byte_range: Which bytes.
        if_equal: Return the value only if this is its generation; `UNKNOWN`: no condition.
        if_not_equal: Return it only if this is not its generation; `UNKNOWN`: no condition.
        staleness_bound: A cached answer at least this new (Unix seconds) will do.
    """

    byte_range: ByteRange = FULL
    if_equal: bytes = UNKNOWN
    if_not_equal: bytes = UNKNOWN
    staleness_bound: float = float("inf")


DEFAULT_READ = ReadOptions()


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What a read found.

    Attributes:
        state: ``"value"``; ``"missing"`` (no such key); or ``"unspecified"`` (a condition of the
            read did not hold, so the value was not looked at).
        value: The bytes asked for with state ``"value"``, else empty.
        stamp: The generation of the whole value, and when it was current.
    """

    state: Literal["unspecified", "missing", "value"]
    value: bytes
    stamp: TimestampedStorageGeneration


class Arrival(NamedTuple):
    """What a read found that `KeyValueStore.begin_read` began; see `ReadResult`.

    Attributes:
        state: As of a `ReadResult`.
        value: The bytes; whoever is given them may keep them.
        stamp: As of a `ReadResult`.
    """

    state: Literal["unspecified", "missing", "value"]
    value: Buffer
    stamp: TimestampedStorageGeneration


#: Told what a begun read found, or the error that `KeyValueStore.read` would raise; None: that is
#: to be asked.
Told: TypeAlias = "Callable[[Arrival | Error | None], object]"


@dataclass(frozen=True, slots=True)
class ListEntry:
    """A key that a listing found; two are equal if key and size are.

    Attributes:
        key: The key.
        size: Bytes in its value; -1 where the store does not tell.
        time: When the value was written, by the store's own clock (Unix seconds); None where the
            store does not tell.
    """

    key: str
    size: int = -1
    time: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a store can do beyond plain reads and writes; all stated positively."""

    readable: bool = True
    writable: bool = True
    listable: bool = True
    can_create_if_absent: bool = False
    can_compare_and_swap: bool = False
    lists_in_order: bool = False
    suffix_ranges: bool = False
    #: Survives the process, and a crash of the machine, once a write is acknowledged.
    durable: bool = False
    #: Each read is a request to another machine: reads are worth batching and merging.
    remote: bool = False
    #: Its `read` and `write` finish without waiting for anything, in microseconds: any thread, the
    #: I/O loop's included, may run them to their end.
    never_waits: bool = False


class KeyValueStore(ABC):
    """A store. Small and without behaviour of its own: see the module for what all keep."""

    #: Name in specs (``"file"``).
    driver: str
    capabilities: Capabilities

    @abstractmethod
    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        """Reads one value, or a part of it.

        Returns:
            The result; a missing key is a result, not an error. The bytes are of one version.

        Raises:
            OutOfRange: The value is shorter than the byte range needs.
            InvalidArgument: The key can name nothing in this store.
            Error: The store failed (see `asynctensor.errors`).

        A cancelled read leaves nothing behind.
        """

    def begin_read(self, key: str, options: ReadOptions, told: Told) -> Callable[[], object] | None:
        """Begins a read without a task, where the store can; for the I/O loop alone.

        Reads of many values are made of these: a task for each takes longer than the value does.

        Args:
            key: As for `read`.
            options: As for `read`.
            told: Called once, after this has returned, with what was found; with an error where
                asking again would change nothing; with None where `read` is to be asked, which
                finds out what is wrong.

        Returns:
            What gives the read up: `told` is not called any more, and what still goes on ends in
            the next turn of the loop. None: it was not begun, `read` is to be asked.
        """
        return None

    @abstractmethod
    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        """Replaces the value of `key` atomically; None deletes it.

        With `if_equal`, only if that is its generation now (`NO_VALUE`: only if there is none).

        Returns:
            The new generation (`NO_VALUE` after a delete), durable as far as the store's
            options say; or `UNKNOWN` when the condition did not hold and nothing was changed.

        Raises:
            Unimplemented: The store cannot check the condition.
            Error: Nothing was changed, unless the class is `Unavailable`: then it is not known.

        When the cancellation of a write is delivered, the write has either happened or will
        never happen.
        """

    @abstractmethod
    async def delete_range(self, key_range: KeyRange) -> None:
        """Deletes every key of the range that exists when it is looked at; not atomic.

        A cancelled call, or one that raises, may have deleted some of the keys.
        """

    @abstractmethod
    def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        """The keys in the range with their sizes, in order if the capabilities say so.

        Keys that come or go meanwhile may or may not be seen; others are seen exactly once.
        """

    @abstractmethod
    def spec_json(self, path: str) -> dict[str, Json]:
        """The JSON spec that opens this store at `path`; it never holds a secret."""

    @abstractmethod
    def url(self, path: str) -> str:
        """The URL of `path` in this store.

        Raises:
            Unimplemented: There is none.
        """

    def at(self, path: str) -> tuple[KeyValueStore, str]:
        """The store and the key prefix that `path`, as it stands in a spec, names.

        Everything else (options, pools, credentials) stays. Stores whose spec paths are their
        keys return themselves.
        """
        return self, path

    def list_directory(self, prefix: str) -> AsyncIterator[ListEntry] | None:
        """What is directly below `prefix`, which is empty or ends in ``/``.

        Keys without a further ``/`` are listed as they are. Of all keys that have one, the part up
        to and including it is listed once, with no size; where directories exist of themselves, it
        may have no keys below. None where the store can do no better than `list`
        (`asynctensor.storage.directory` does that then).
        """
        return None

    async def precious(self, prefix: str) -> str | None:
        """What below `prefix` is surely no part of an array: why not to delete all of it at once.

        Returns:
            A few words for an error message (``"the home directory"``); None: nothing known.
        """
        return None

    @property
    def identity(self) -> object:
        """Hashable; equal for two stores exactly when they share keys, values and credentials."""
        return id(self)

    @property
    def below(self) -> tuple[KeyValueStore, str] | None:
        """What an adapter stands on: a store, and a path in it; None for a store of its own."""
        return None

    @property
    def blocking(self) -> BlockingFace | None:
        """Plain functions that do the same on the calling thread, where the store is local."""
        return None

    @property
    def commit_domain(self) -> CommitDomain | None:
        """What can commit many keys of this store at once, where it can."""
        return None

    @property
    def history(self) -> ValueHistory | None:
        """What knows when and by whom values were written; None where nothing does."""
        return None

    def pinned(self, mark: object) -> KeyValueStore:
        """The store in the state that `mark`, from its domain's `CommitDomain.mark`, names.

        It stays in that state. Stores that keep no older states return themselves.
        """
        return self


@runtime_checkable
class OpenValue(Protocol):
    """One version of a value, held open for reading by one thread; close it.

    Attributes:
        size: Bytes in the value.
        generation: Its generation.
        value: The whole value where the store holds it in memory already, so that nobody needs to
            copy it; None where it has to be read.
    """

    size: int
    generation: bytes
    value: bytes | None

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fills the whole of `buffer` with the bytes from `offset` on.

        Raises:
            OutOfRange: The value ends before the buffer is full.
        """
        ...

    def close(self) -> None:
        """Lets go of it; closing twice is harmless."""
        ...


@dataclass(frozen=True, slots=True)
class Replacement:
    """One conditional write of a group: see `KeyValueStore.write`.

    Attributes:
        key: The key.
        value: Its new value, whole or in pieces that follow each other; None deletes it.
        if_equal: The generation that it must have, or `UNKNOWN`.
    """

    key: str
    value: Buffer | tuple[Buffer, ...] | None
    if_equal: bytes = UNKNOWN


def whole(value: Buffer | tuple[Buffer, ...]) -> Buffer:
    """A value in one piece."""
    return b"".join(value) if isinstance(value, tuple) else value


def size_of(value: Buffer | tuple[Buffer, ...] | None) -> int:
    """The number of bytes of a value."""
    if value is None:
        return 0
    pieces = value if isinstance(value, tuple) else (value,)
    return sum([memoryview(piece).nbytes for piece in pieces])


class Unread(Enum):
    """What `BlockingFace.read_group` gives for a value that takes a closer look."""

    UNREAD = "unread"


UNREAD: Final = Unread.UNREAD


class KeyGroup:
    """Keys whose values are read a few at a time, by one thread. To be closed.

    Args:
        face: Whose values.
        keys: Which.
    """

    def __init__(self, face: BlockingFace, keys: Sequence[str]) -> None:
        self._face, self._keys = face, keys

    def read(
        self, start: int, stop: int, buffer: memoryview, size: int
    ) -> Sequence[Buffer | None | Unread]:
        """`BlockingFace.read_group` for the keys from place `start` up to `stop`."""
        return self._face.read_group(self._keys[start:stop], buffer, size)

    def close(self) -> None:
        """Gives up what was opened for it; what was read stays valid."""
        return


class BlockingFace(Protocol):
    """What a worker thread calls for a local store: these few functions, and no more.

    Each blocks the calling thread, never the I/O loop. Meaning and errors are those of
    `KeyValueStore`.

    Attributes:
        replaces: Whether `replace` may be called; where it would wait for the I/O loop, which may
            wait for the workers, it may not, and writes go through `KeyValueStore.write`.
    """

    replaces: bool = True

    def open(self, key: str) -> OpenValue | None:
        """The current version of `key`, or None if it has none."""
        ...

    def read_group(
        self, keys: Sequence[str], buffer: memoryview, size: int
    ) -> Sequence[Buffer | None | Unread]:
        """Whole small values: what `open`, `read_into` and `close` do, without what they cost.

        It reports no errors: whatever is not plainly a value of at most `size` bytes is left to
        `open`. Like a system's ``read``, it may give fewer bytes than there are, where the store
        is in trouble; so whoever cannot make sense of the bytes asks `open` before complaining.

        Args:
            keys: Which.
            buffer: Writable, ``len(keys) * size`` bytes; value ``k`` may be put at ``k * size``.
            size: Values longer than this are not read.

        Returns:
            For each key, in order: its bytes, in their place of `buffer` or in the store's own
            memory; None where there is no value; or `UNREAD`.
        """
        return [UNREAD] * len(keys)

    def group(self, keys: Sequence[str]) -> KeyGroup:
        """For reading values a few at a time, where some of the work can be done for all."""
        return KeyGroup(self, keys)

    def generation(self, key: str) -> bytes:
        """The generation of `key` now (`NO_VALUE` if missing), without opening it."""
        ...

    def glance(self, key: str) -> bytes | None:
        """The generation of `key` now, where it is known without waiting for anything.

        The one function that the thread of a caller's loop may call: it takes microseconds.

        Returns:
            The generation (`NO_VALUE` if missing), or None: ask `generation`.
        """
        return None

    def replace(
        self, group: Sequence[Replacement]
    ) -> list[TimestampedStorageGeneration | Exception]:
        """Does each write of the group by itself; what makes them durable is done once for all.

        Returns:
            For each, in order, what `KeyValueStore.write` would have returned or raised.
        """
        ...
