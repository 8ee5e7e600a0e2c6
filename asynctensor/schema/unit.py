"""Physical units: a multiplier and an uninterpreted base unit."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Sequence
from typing import Any, Final, overload

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.schema.json_value import annotated, dump, expected, floating, string

#: Leading number of a unit string. No hexadecimal, "inf" or "nan": these begin base units.
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")

#: Tells "not given" from every value that a caller could give.
_MISSING: Final[Any] = object()


def _quotient(dividend: float, divisor: float) -> float:
    """As floats of IEEE 754 are divided, by zero too."""
    if divisor:
        return dividend / divisor
    sign = math.copysign(1.0, dividend) * math.copysign(1.0, divisor)
    return math.copysign(math.inf, sign) if dividend else math.nan


class Unit:
    """A physical quantity, such as one step along a dimension: ``Unit(4, "nm")``.

    Immutable and hashable. The base unit is not interpreted, so units are never converted:
    ``Unit("1000nm") != Unit("1um")``; ``""`` is dimensionless.

    >>> at.Unit("4 nm") == at.Unit(4, "nm") == at.Unit("2nm") * 2
    True
    >>> at.Unit(4, "nm").to_json()
    [4.0, 'nm']

    Attributes:
        multiplier: How many base units.
        base_unit: Their name, in udunits2 syntax by convention.
    """

    __slots__ = ("base_unit", "multiplier")
    multiplier: float
    base_unit: str

    @overload
    def __init__(self, multiplier: float = ..., /) -> None: ...
    @overload
    def __init__(self, multiplier: float, base_unit: str) -> None: ...
    @overload
    def __init__(self, unit: str, /) -> None: ...
    @overload
    def __init__(self, unit: tuple[float, str], /) -> None: ...
    @overload
    def __init__(self, *, json: Any) -> None: ...

    def __init__(
        self,
        multiplier: Any = _MISSING,
        base_unit: Any = _MISSING,
        *,
        unit: Any = _MISSING,
        json: Any = _MISSING,
    ) -> None:
        """Makes a unit from its parts, a pair of them, a string, or its JSON.

        Args:
            multiplier: The multiplier; or, without `base_unit`, any other form of a unit.
            base_unit: The base unit.
            unit: A string (``"4nm"``: leading number, then the base unit, both stripped) or pair.
            json: A pair as an array, a number or a string.

        Raises:
            IncompatibleType: The arguments are of none of these forms.
            InvalidArgument: `json` is not the JSON of a unit.
        """
        given = [x for x in (multiplier, unit, json) if x is not _MISSING]
        if len(given) > 1 or (base_unit is not _MISSING and multiplier is _MISSING):
            raise IncompatibleType("Give a unit by its parts, or as unit=, or as json=, not both")
        if json is not _MISSING:
            parts = _parts_of_json(json)
        elif base_unit is not _MISSING:
            parts = _parts_of_pair((multiplier, base_unit))
        else:
            parts = _parts(given[0] if given else 1)
        object.__setattr__(self, "multiplier", parts[0])
        object.__setattr__(self, "base_unit", parts[1])

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Unit is immutable; make a new one to change {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("Unit is immutable")

    def to_json(self) -> list[Any]:
        """Its JSON: ``[multiplier, base_unit]``."""
        return [self.multiplier, self.base_unit]

    def __mul__(self, multiplier: float) -> Unit:
        if not _is_number(multiplier):
            return NotImplemented
        return Unit(self.multiplier * float(multiplier), self.base_unit)

    def __truediv__(self, divisor: float) -> Unit:
        if not _is_number(divisor):
            return NotImplemented
        return Unit(_quotient(self.multiplier, float(divisor)), self.base_unit)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Unit):
            return NotImplemented
        return (self.multiplier, self.base_unit) == (other.multiplier, other.base_unit)

    def __hash__(self) -> int:
        return hash((self.multiplier, self.base_unit))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Unit, (self.multiplier, self.base_unit))

    def __str__(self) -> str:
        if not self.base_unit:
            return _number_text(self.multiplier)
        if self.multiplier == 1:
            return self.base_unit
        return f"{_number_text(self.multiplier)} {self.base_unit}"

    def __repr__(self) -> str:
        return f"Unit({_number_text(self.multiplier)}, {dump(self.base_unit)})"


def as_unit(value: object) -> Unit | None:
    """The unit given in any form that `Unit` takes; None stays None (unknown).

    Raises:
        IncompatibleType: `value` is of no such form.
    """
    if value is None or isinstance(value, Unit):
        return value
    return Unit(*_parts(value))


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real)


def _number_text(value: float) -> str:
    # The shortest text that reads back the same; TensorStore prints six digits, which does not.
    return repr(value).removesuffix(".0")


def _fits(number: str) -> bool:
    """Whether a double holds it; TensorStore takes one that none holds for a base unit."""
    mantissa = re.split("[eE]", number)[0]
    value = float(number)
    return not math.isinf(value) and (value != 0 or not mantissa.strip("+-.0"))


def _parts(value: object) -> tuple[float, str]:
    if isinstance(value, str):
        text = value.strip()
        match = _NUMBER.match(text)
        if match is None or not _fits(match[0]):
            return 1.0, text
        return float(match[0]), text[match.end() :].strip()
    if _is_number(value):
        return float(value), ""  # type: ignore[arg-type]
    return _parts_of_pair(value)


def _parts_of_pair(value: object) -> tuple[float, str]:
    if isinstance(value, Sequence) and len(value) == 2:
        multiplier, base_unit = value
        if _is_number(multiplier) and isinstance(base_unit, str):
            return float(multiplier), base_unit
    raise IncompatibleType(
        f'Expected a unit such as "4nm", 4, or (4, "nm"), but received: {value!r}'
    )


def _parts_of_json(value: object) -> tuple[float, str]:
    if isinstance(value, str) or (_is_number(value) and not isinstance(value, bool)):
        return _parts(value)
    if not isinstance(value, Sequence):
        raise expected("array", value)
    if len(value) != 2:
        raise InvalidArgument(f"Array has length {len(value)} but should have length 2")
    with annotated("Error parsing value at position 0"):
        multiplier = floating(value[0])
    with annotated("Error parsing value at position 1"):
        return multiplier, string(value[1])
