"""Which bytes of a value a read asks for."""

from __future__ import annotations

from dataclasses import dataclass

from asynctensor.errors import InvalidArgument, OutOfRange


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A half-open range of bytes, possibly open at its end or counted from the end.

    TensorStore's forms: ``start:stop``, ``start:`` and ``-n:`` (the last n bytes); ``0:0`` asks
    for nothing but the generation. A negative stop is refused, as there.

    Attributes:
        inclusive_min: First byte; negative counts from the end of the value.
        exclusive_max: One past the last byte, or None for the end of the value.
    """

    inclusive_min: int = 0
    exclusive_max: int | None = None

    def __post_init__(self) -> None:
        stop = self.exclusive_max
        if stop is not None and (self.inclusive_min < 0 or stop < self.inclusive_min):
            raise InvalidArgument(
                f"byte range {self.inclusive_min}:{stop} is not valid: expected start:stop with "
                "0 <= start <= stop, start: or -n:"
            )

    @property
    def is_full(self) -> bool:
        """Whether every byte of any value is asked for."""
        return self.inclusive_min == 0 and self.exclusive_max is None

    def resolve(self, size: int) -> tuple[int, int]:
        """The range as ``(start, stop)`` within a value of `size` bytes.

        Raises:
            OutOfRange: The value is too short for it.
        """
        start = self.inclusive_min if self.inclusive_min >= 0 else size + self.inclusive_min
        stop = size if self.exclusive_max is None else self.exclusive_max
        if start < 0 or start > size or stop > size:
            raise OutOfRange(
                f"requested byte range {self} is not valid for a value of {size} bytes"
            )
        return start, stop

    def __str__(self) -> str:
        stop = "" if self.exclusive_max is None else self.exclusive_max
        return f"[{self.inclusive_min}, {stop})"


FULL = ByteRange()
