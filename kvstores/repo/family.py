"""Families: the chunk keys of one array, which are stored as coordinates.

A family is a literal prefix followed by `rank` decimals that are joined by a separator. In the
family's space a key is its coordinates as big-endian unsigned 64-bit integers, one after the other,
so bytes compare as positions do and all keys have one length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import cast

import numpy as np
from numpy.typing import NDArray

from asynctensor.errors import DataLoss, InvalidArgument
from asynctensor.storage.key_range import KeyRange

Keys = NDArray[np.bytes_]

#: The space of keys that belong to no family.
DOCUMENTS = b""
#: The space of families: a family's `key` -> the root of its tree.
CATALOG = b"\0"
#: The space of callers' keys: a key -> the commit that bore it, which is the entry's version.
CALLER_KEYS = b"\1"
#: Length of the id of a family's space.
ID_BYTES = 8

MAX_RANK = 64
#: Coordinates are 0 up to, but without, this.
COORDINATE_LIMIT = 1 << 63

#: The longest canonical decimal below the limit.
_MAX_DIGITS = 19
_DIGITS = frozenset("0123456789")
_POWERS_OF_TEN = np.array([10**power for power in range(1, _MAX_DIGITS)], dtype=np.uint64)
_TAIL = re.compile(r"[0-9]+\Z")
_KEY = re.compile(r"(.*)\0([/.])([1-9][0-9]?)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Family:
    """The chunk keys of one array; made by `Family.of`.

    Attributes:
        prefix: What every key begins with (``"image/c/"``): empty, or ending in no digit.
        separator: ``"/"`` or ``"."``, between the decimals; ``"/"`` where there is one only.
        rank: Number of decimals, 1 to `MAX_RANK`.
        key: The family's key in `CATALOG`: prefix, NUL, separator, rank.
        id: blake2b of `key` in 8 bytes; names the family's space.
    """

    prefix: str
    separator: str
    rank: int
    key: str = field(init=False, compare=False, repr=False)
    id: bytes = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        key = f"{self.prefix}\0{self.separator}{self.rank}"
        object.__setattr__(self, "key", key)
        try:
            object.__setattr__(self, "id", blake2b(key.encode(), digest_size=ID_BYTES).digest())
        except UnicodeEncodeError as error:
            raise InvalidArgument(f"{self.prefix!r} is no prefix of keys: it is no text") from error

    @staticmethod
    def of(prefix: str, separator: str, rank: int) -> Family:
        """The family of these keys.

        Raises:
            InvalidArgument: `rank` or `separator` is none, or `prefix` ends in a digit, which
                would make keys ambiguous.
        """
        if not 1 <= rank <= MAX_RANK or separator not in ("/", "."):
            raise InvalidArgument(
                f"chunk keys of {rank} numbers separated by {separator!r} are no family: it takes "
                f"1 to {MAX_RANK} numbers, separated by '/' or '.'"
            )
        if prefix[-1:] in _DIGITS:
            raise InvalidArgument(f"{prefix!r} is no prefix of chunk keys: it ends in a digit")
        return Family(prefix, "/" if rank == 1 else separator, rank)

    @staticmethod
    def from_key(key: str, *, object: str = "") -> Family:
        """The family whose `key` is given.

        Raises:
            DataLoss: `key` is none, which the body of `object` said.
        """
        match = _KEY.fullmatch(key)
        if match:
            try:
                family = Family.of(match[1], match[2], int(match[3]))
            except InvalidArgument:
                pass
            else:
                if family.key == key:
                    return family
        raise DataLoss(f"{key!r} describes no chunk keys", key=object or None)

    @property
    def width(self) -> int:
        """Length of a key in the family's space, in bytes."""
        return 8 * self.rank

    def parse(self, key: str) -> bytes | None:
        """The key in the family's space; None if `key` is none of this family."""
        if not key.startswith(self.prefix):
            return None
        numbers = key[len(self.prefix) :].split(self.separator)
        if len(numbers) != self.rank:
            return None
        packed = b""
        for number in numbers:
            if not _is_coordinate(number):
                return None
            packed += int(number).to_bytes(8, "big")
        return packed

    def spell(self, key: bytes) -> str:
        """The key of the store that `key`, of the family's space, stands for.

        Raises:
            InvalidArgument: `key` has another length.
        """
        if len(key) != self.width:
            raise InvalidArgument(
                f"a key of {self.prefix!r} has {self.width} bytes, not {len(key)}"
            )
        numbers = [int.from_bytes(key[at : at + 8], "big") for at in range(0, len(key), 8)]
        return self.prefix + self.separator.join(map(str, numbers))

    def around(self, first: bytes, last: bytes) -> KeyRange:
        """A range of spelled keys that holds each key of the family from `first` to `last`.

        It is that of the coordinates in which both agree, with nothing else where they differ in
        the first.
        """
        same = 0
        while same < self.rank and first[8 * same : 8 * same + 8] == last[8 * same : 8 * same + 8]:
            same += 1
        if same == self.rank:
            return KeyRange.singleton(self.spell(first))
        numbers = [int.from_bytes(first[8 * axis : 8 * axis + 8], "big") for axis in range(same)]
        return KeyRange.prefix(self.prefix + "".join(f"{each}{self.separator}" for each in numbers))

    def extent(self, keys: KeyRange) -> tuple[bytes, bytes]:
        """Bounds of the family's keys, both included, whose spelled keys lie in `keys`.

        There may be others between them; none if the first is above the second.
        """
        shared, prefix = keys.common_prefix, self.prefix
        numbers: list[str] = []
        if shared.startswith(prefix):
            # The last number may go on.
            numbers = shared[len(prefix) :].split(self.separator)[:-1]
        elif not prefix.startswith(shared):
            return b"\xff", b""
        if len(numbers) >= self.rank or not all(map(_is_coordinate, numbers)):
            return b"\xff", b""
        packed = b"".join(int(number).to_bytes(8, "big") for number in numbers)
        return packed.ljust(self.width, b"\0"), packed.ljust(self.width, b"\xff")

    def parse_many(self, keys: Sequence[str]) -> Keys:
        """The keys in the family's space, in the order given.

        Raises:
            InvalidArgument: One of `keys` is none of this family.
        """
        found = self.parse_each(keys)
        if found is not None:
            return found
        for key in keys:
            if self.parse(key) is None:
                raise InvalidArgument(f"{key!r} is no chunk key of {self}", key=key)
        raise AssertionError("parse and parse_many agree")

    def parse_each(self, keys: Sequence[str], digits: int = _MAX_DIGITS) -> Keys | None:
        """The keys in the family's space, in the order given; None if one is none of the family.

        Args:
            keys: As the store spells them.
            digits: How many digits a coordinate may have.
        """
        prefix, separator, skip = self.prefix, self.separator, len(self.prefix)
        rest = [key[skip:] for key in keys if key.startswith(prefix)]
        if len(rest) < len(keys) or not {each.count(separator) for each in rest} <= {self.rank - 1}:
            return None
        numbers = separator.join(rest).split(separator) if rest else []
        if max(map(len, numbers), default=0) > digits:
            return None
        values = _coordinates_spelled(numbers)
        return None if values is None else keys_of(values.reshape(-1, self.rank))

    def spell_many(self, keys: Keys) -> list[str]:
        """The keys of the store that `keys`, of the family's space, stand for."""
        columns = [map(str, axis.tolist()) for axis in coordinates(keys, self.rank).T]
        join, prefix = self.separator.join, self.prefix
        if self.rank == 1:
            return [prefix + number for number in columns[0]]
        return [prefix + join(numbers) for numbers in zip(*columns, strict=True)]


def coordinates(keys: Keys, rank: int) -> NDArray[np.uint64]:
    """The coordinates, of shape (number of keys, `rank`), that `keys` of a family stand for."""
    return np.ascontiguousarray(keys).view(">u8").reshape(len(keys), rank).astype(np.uint64)


def keys_of(positions: NDArray[np.uint64]) -> Keys:
    """The keys of a family for `positions`, of shape (number of keys, rank)."""
    count, rank = positions.shape
    dtype = np.dtype((np.bytes_, 8 * rank))
    keys = np.ascontiguousarray(positions, dtype=">u8").view(dtype)
    return cast("Keys", keys.reshape(count))


def candidates(key: str) -> Iterator[Family]:
    """Every family that could have `key`, those of the least rank first."""
    match = _TAIL.search(key)
    if match is None or not _is_coordinate(match[0]):
        return
    last = match.start()
    yield Family.of(key[:last], "/", 1)
    separator = key[last - 1 : last]
    if separator not in ("/", "."):
        return
    for rank in range(2, MAX_RANK + 1):
        match = _TAIL.search(key, 0, last - 1)
        if match is None or not _is_coordinate(match[0]):
            return
        last = match.start()
        yield Family.of(key[:last], separator, rank)
        if key[last - 1 : last] != separator:
            return


def overlaps(one: Family, other: Family) -> bool:
    """Whether one string could be a key of both (then only the one defined first has it)."""
    if one.rank > other.rank:
        one, other = other, one
    if one.rank == other.rank:
        return one == other
    # No prefix ends in a digit, so the last `one.rank` numbers of a key are the same for both, and
    # the prefix of the one spells the first numbers of the other.
    if one.rank > 1 and one.separator != other.separator:
        return False
    if not one.prefix.startswith(other.prefix):
        return False
    first = one.prefix[len(other.prefix) :].split(other.separator)
    return (
        len(first) == other.rank - one.rank + 1
        and not first.pop()
        and all(map(_is_coordinate, first))
    )


def _coordinates_spelled(numbers: list[str]) -> NDArray[np.uint64] | None:
    """The coordinates that `numbers` spell; None if one of them is not canonical."""
    text = "".join(numbers)
    if numbers and not (text.isascii() and text.isdigit() and all(numbers)):
        return None
    if max(map(len, numbers), default=0) > _MAX_DIGITS:
        return None
    # Nineteen digits fit 64 bits without a sign.
    values = np.fromiter(map(int, numbers), np.uint64, len(numbers))
    # A number has leading zeros exactly if it is longer than its value needs.
    digits = np.searchsorted(_POWERS_OF_TEN, values, side="right") + 1
    if int(digits.sum()) != len(text) or (len(values) and int(values.max()) >= COORDINATE_LIMIT):
        return None
    return values


def _is_coordinate(number: str) -> bool:
    return (
        0 < len(number) <= _MAX_DIGITS
        and (number[0] != "0" or len(number) == 1)
        and number.isascii()
        and number.isdigit()
        and int(number) < COORDINATE_LIMIT
    )
