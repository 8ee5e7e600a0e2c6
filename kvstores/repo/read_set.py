"""What a transaction read, as intents and parts hold it.

::

    reads     = nil | [ranges, [[space, count, keys] ...]]
    ranges    = nil | [count, strings, strings]  ; lower and upper bounds of ranges of spelled keys
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from asynctensor.errors import InvalidArgument
from asynctensor.kvstores.repo import columns, key_columns
from asynctensor.kvstores.repo.family import Family
from asynctensor.kvstores.repo.fields import Fields
from asynctensor.kvstores.repo.key_columns import KeyColumn
from asynctensor.storage.key_range import KeyRange

#: Keys of one space that a read set names one by one.
MAX_READ_KEYS = 1 << 12

_MAX_COUNT = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class ReadSet:
    """What a transaction read: single keys, and ranges of spelled keys.

    Attributes:
        keys: Space -> the keys read there, ascending, each whether it existed or not.
        ranges: What was listed, or read of a space with too many keys to name.
    """

    keys: Mapping[bytes, KeyColumn] = field(default_factory=dict)
    ranges: tuple[KeyRange, ...] = ()

    def coarsened(self, families: Mapping[bytes, Family], limit: int = MAX_READ_KEYS) -> ReadSet:
        """The same or more, with no more than `limit` keys of any space.

        Args:
            families: Id -> family, for every family's space in `keys`.
            limit: Where a space has more keys, the least range around them takes their place.
        """
        keys = {space: each for space, each in self.keys.items() if len(each) <= limit}
        wide = [
            _around(each, families.get(space))
            for space, each in self.keys.items()
            if len(each) > limit
        ]
        return ReadSet(keys, (*self.ranges, *wide)) if wide else self

    def payload(self) -> list[object]:
        """What an intent holds of it."""
        keys = [[space, len(each), key_columns.pack(each)] for space, each in self.keys.items()]
        return [pack_ranges(self.ranges), keys]

    @staticmethod
    def of_payload(fields: Fields) -> ReadSet:
        """The read set whose payload is `fields`, checked.

        Raises:
            DataLoss: It is none.
        """
        keys: dict[bytes, KeyColumn] = {}
        for each in fields.array(1, "keys").each("space", least=3):
            space = key_columns.unpack_space(each, 0)
            count = each.uint(1, "count", below=_MAX_COUNT)
            keys[space] = key_columns.unpack(each, 2, space, count)
        return ReadSet(keys, unpack_ranges(fields, 0))


def pack_ranges(ranges: Sequence[KeyRange]) -> list[object] | None:
    """What a body holds of `ranges`."""
    if not ranges:
        return None
    try:
        lows = [each.inclusive_min.encode() for each in ranges]
        highs = [each.exclusive_max.encode() for each in ranges]
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"the bound of a range of keys is no text: {error}") from error
    return [len(ranges), columns.pack_strings(lows), columns.pack_strings(highs)]


def unpack_ranges(fields: Fields, index: int) -> tuple[KeyRange, ...]:
    """The ranges that are element `index` of `fields`.

    Raises:
        DataLoss: They are none.
    """
    if fields.get(index) is None:
        return ()
    ranges = fields.array(index, "ranges", least=3)
    count = ranges.uint(0, "count", below=_MAX_COUNT)
    lows = columns.unpack_strings(ranges, 1, "lower bounds", count)
    highs = columns.unpack_strings(ranges, 2, "upper bounds", count)
    try:
        return tuple(
            KeyRange(low.decode(), high.decode()) for low, high in zip(lows, highs, strict=True)
        )
    except UnicodeDecodeError:
        ranges.fail("has bounds that are no text")


def _around(keys: KeyColumn, family: Family | None) -> KeyRange:
    first, last = key_columns.at(keys, 0), key_columns.at(keys, len(keys) - 1)
    if family is None:
        return KeyRange(first.decode(), last.decode() + "\0")
    return family.around(first, last)
