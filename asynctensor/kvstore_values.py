"""The small public values of `KvStore`: TensorStore's, which are mutable and speak bytes.

Inside, keys are `str` and these records are frozen (`asynctensor.storage`).
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.storage.byte_range import FULL, ByteRange
from asynctensor.storage.generation import TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange

KeyLike: TypeAlias = str | bytes
State: TypeAlias = Literal["unspecified", "missing", "value"]


def to_key(key: KeyLike) -> str:
    """A key as stores take it; bytes that are no UTF-8 survive the way there and back.

    Raises:
        IncompatibleType: It is neither str nor bytes.
    """
    if isinstance(key, str):
        return key
    if isinstance(key, bytes):
        return key.decode("utf-8", "surrogateescape")
    raise IncompatibleType(f"a key is str or bytes, not {type(key).__name__}: {key!r}")


def to_bytes(text: KeyLike) -> bytes:
    """A key, a value or a generation as TensorStore gives them back."""
    if isinstance(text, bytes):
        return text
    if isinstance(text, str):
        return text.encode("utf-8", "surrogateescape")
    raise IncompatibleType(f"expected str or bytes, not {type(text).__name__}: {text!r}")


def to_byte_range(byte_range: object) -> ByteRange:
    """The byte range that ``byte_range=`` of a read means.

    Args:
        byte_range: ``slice(start, stop)``, ``slice(start, None)``, or ``slice(-n, None)`` for the
            last n bytes; None for everything.

    Raises:
        IncompatibleType: It is not a slice, or has a step.
        InvalidArgument: Its bounds are not of these forms.
    """
    if byte_range is None:
        return FULL
    if not isinstance(byte_range, slice) or byte_range.step is not None:
        raise IncompatibleType(
            f"byte_range is a slice without a step, such as slice(0, 100), not {byte_range!r}"
        )
    start = 0 if byte_range.start is None else int(byte_range.start)
    stop = None if byte_range.stop is None else int(byte_range.stop)
    try:
        return ByteRange(start, stop)
    except InvalidArgument as error:
        raise InvalidArgument(
            f"Unsupported byte_range slice: {start}:{'' if stop is None else stop} (expected "
            "start:stop with 0 <= start <= stop, start: or -n:)"
        ) from error


class PublicKeyRange:
    """A half-open interval of keys in lexicographical order; ``KvStore.KeyRange``.

    >>> keys = at.KvStore.KeyRange("a", "c")
    >>> store = at.KvStore.open("memory://").result()
    >>> for key in "abc":
    ...     store[key] = b""
    >>> sorted(store.list(keys).result())
    [b'a', b'b']

    Args:
        inclusive_min: Lower bound; empty for none.
        exclusive_max: Upper bound; empty for none.
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]
    __slots__ = ("_exclusive_max", "_inclusive_min")

    def __init__(self, inclusive_min: KeyLike = "", exclusive_max: KeyLike = "") -> None:
        self._inclusive_min = to_bytes(inclusive_min)
        self._exclusive_max = to_bytes(exclusive_max)

    @property
    def inclusive_min(self) -> bytes:
        """Lower bound; empty if there is none."""
        return self._inclusive_min

    @inclusive_min.setter
    def inclusive_min(self, value: KeyLike) -> None:
        self._inclusive_min = to_bytes(value)

    @property
    def exclusive_max(self) -> bytes:
        """Upper bound; empty if there is none."""
        return self._exclusive_max

    @exclusive_max.setter
    def exclusive_max(self, value: KeyLike) -> None:
        self._exclusive_max = to_bytes(value)

    @property
    def empty(self) -> bool:
        """Whether no key can lie in it."""
        return bool(self._exclusive_max) and self._inclusive_min >= self._exclusive_max

    @property
    def key_range(self) -> KeyRange:
        """The same as stores take it."""
        return KeyRange(to_key(self._inclusive_min), to_key(self._exclusive_max))

    def copy(self) -> PublicKeyRange:
        """A copy."""
        return PublicKeyRange(self._inclusive_min, self._exclusive_max)

    def __copy__(self) -> PublicKeyRange:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, object]) -> PublicKeyRange:
        return self.copy()

    def __reduce__(self) -> tuple[object, ...]:
        return (PublicKeyRange, (self._inclusive_min, self._exclusive_max))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PublicKeyRange):
            return NotImplemented
        return (self._inclusive_min, self._exclusive_max) == (
            other._inclusive_min,
            other._exclusive_max,
        )

    def __repr__(self) -> str:
        return f"KvStore.KeyRange({self._inclusive_min!r}, {self._exclusive_max!r})"


class PublicStamp:
    """A generation and when it was current; ``KvStore.TimestampedStorageGeneration``.

    >>> store = at.KvStore.open("memory://").result()
    >>> stamp = store.write("a", b"1").result()
    >>> store.read("a").result().stamp.generation == stamp.generation
    True

    Args:
        generation: The generation; empty if not known.
        time: Seconds since the Unix epoch; negative infinity if not known.
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]
    __slots__ = ("_generation", "time")

    def __init__(self, generation: KeyLike = "", time: float = float("-inf")) -> None:
        self._generation = to_bytes(generation)
        #: Seconds since the Unix epoch at which the generation was current.
        self.time = float(time)

    @classmethod
    def of(cls, stamp: TimestampedStorageGeneration) -> PublicStamp:
        """From the record of a store."""
        return cls(stamp.generation, stamp.time)

    @property
    def generation(self) -> bytes:
        """The version; empty if not known."""
        return self._generation

    @generation.setter
    def generation(self, value: KeyLike) -> None:
        self._generation = to_bytes(value)

    def __copy__(self) -> PublicStamp:
        return PublicStamp(self._generation, self.time)

    def __deepcopy__(self, memo: dict[int, object]) -> PublicStamp:
        return self.__copy__()

    def __reduce__(self) -> tuple[object, ...]:
        return (PublicStamp, (self._generation, self.time))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PublicStamp):
            return NotImplemented
        return (self._generation, self.time) == (other._generation, other.time)

    def __repr__(self) -> str:
        when = f"{self.time:.6f}" if abs(self.time) < float("inf") else str(self.time)
        return f"KvStore.TimestampedStorageGeneration({self._generation!r}, {when})"


class PublicReadResult:
    """What a read found; ``KvStore.ReadResult``.

    >>> store = at.KvStore.open("memory://").result()
    >>> store.read("a").result().state
    'missing'

    Args:
        state: ``"value"``; ``"missing"``; or ``"unspecified"`` (a condition did not hold).
        value: The bytes read.
        stamp: The generation of the value, and when it was current.
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]
    __slots__ = ("_value", "stamp", "state")

    def __init__(
        self,
        state: State = "unspecified",
        value: KeyLike = "",
        stamp: PublicStamp | None = None,
    ) -> None:
        #: How `value` is to be understood.
        self.state: State = state
        self._value = to_bytes(value)
        self.stamp = PublicStamp() if stamp is None else stamp

    @property
    def value(self) -> bytes:
        """The bytes read; empty unless the state is ``"value"``."""
        return self._value

    @value.setter
    def value(self, value: KeyLike) -> None:
        self._value = to_bytes(value)

    def __copy__(self) -> PublicReadResult:
        return PublicReadResult(self.state, self._value, self.stamp)

    def __deepcopy__(self, memo: dict[int, object]) -> PublicReadResult:
        return PublicReadResult(self.state, self._value, self.stamp.__copy__())

    def __reduce__(self) -> tuple[object, ...]:
        return (PublicReadResult, (self.state, self._value, self.stamp))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PublicReadResult):
            return NotImplemented
        return (self.state, self._value, self.stamp) == (other.state, other._value, other.stamp)

    def __repr__(self) -> str:
        return (
            f"KvStore.ReadResult(state={self.state!r}, value={self._value!r}, stamp={self.stamp!r})"
        )
