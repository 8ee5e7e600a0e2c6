"""Takes a decoded array apart, checking each element before anybody relies on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from asynctensor.errors import DataLoss, InvalidArgument


class Fields:
    """The elements of one array of a body.

    Args:
        values: What was decoded in its place.
        object: The name of the object that holds it, for errors.
        where: What the array describes, for errors.
        least: How many elements it must have; elements behind those stand for None.
    """

    __slots__ = ("_values", "name", "where")

    def __init__(self, values: Any, *, object: str, where: str, least: int = 0) -> None:
        self.name = object
        self.where = where
        if not isinstance(values, list) or len(values) < least:
            self.fail(f"is not an array of at least {least} elements")
        self._values: Sequence[Any] = values

    def __len__(self) -> int:
        return len(self._values)

    def fail(self, what: str) -> NoReturn:
        """Raises `DataLoss` that says `what` of this array."""
        raise DataLoss(f"{self.where} {what}", key=self.name)

    def get(self, index: int) -> object:
        """Element `index` unchecked; None if the array ends before it."""
        return self._values[index] if index < len(self._values) else None

    def uint(
        self, index: int, what: str, *, below: int = 1 << 64, default: int | None = None
    ) -> int:
        """An integer of 0 up to, but without, `below`."""
        value = self.get(index)
        if value is None and default is not None:
            return default
        # A bool is an int of another type.
        if type(value) is not int or not 0 <= value < below:
            self.fail(f"has {_shown(value)} as {what}, which must be a number of 0 to {below - 1}")
        return value

    def text(self, index: int, what: str, *, default: str | None = None) -> str:
        """A string."""
        value = self.get(index)
        if value is None and default is not None:
            return default
        if type(value) is not str:
            self.fail(f"has {_shown(value)} as {what}, which must be text")
        return value

    def text_or_none(self, index: int, what: str) -> str | None:
        """A string or nil."""
        return None if self.get(index) is None else self.text(index, what)

    def binary(self, index: int, what: str, *, size: int | None = None) -> bytes:
        """A byte string, of exactly `size` bytes if that is given; nil stands for an empty one."""
        value = self.get(index)
        if value is None:
            value = b""
        if type(value) is not bytes or (size is not None and len(value) != size):
            wanted = "bytes" if size is None else f"{size} bytes"
            self.fail(f"has {_shown(value)} as {what}, which must be {wanted}")
        return value

    def array(self, index: int, what: str, *, least: int = 0) -> Fields:
        """A nested array; nil stands for an empty one."""
        value = self.get(index)
        return Fields(
            [] if value is None else value,
            object=self.name,
            where=f"{self.where}, {what}",
            least=least,
        )

    def each(self, what: str, *, least: int = 0) -> list[Fields]:
        """The elements, each of which must be an array."""
        return [self.array(index, f"{what} {index}", least=least) for index in range(len(self))]


def _shown(value: object) -> str:
    if isinstance(value, (str, bytes)) and len(value) > 32:
        return f"{value[:32]!r}... ({len(value)} long)"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    return repr(value)


def check_text(**fields: object) -> None:
    """Refuses to store what nobody could read again.

    Raises:
        InvalidArgument: One of `fields` is neither text nor None.
    """
    for name, value in fields.items():
        if value is not None and not isinstance(value, str):
            raise InvalidArgument(f"{name} must be text, not {_shown(value)}")


def without_trailing_defaults(values: list[object]) -> list[object]:
    """`values` up to the last that is not nil: the one way to write an array."""
    end = len(values)
    while end and values[end - 1] is None:
        end -= 1
    return values[:end]
