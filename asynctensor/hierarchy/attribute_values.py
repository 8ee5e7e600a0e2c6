"""Values of attributes, and conditions on them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from asynctensor.errors import FailedPrecondition, IncompatibleType, InvalidArgument

#: As deep as a document that is read may be.
_MAX_DEPTH = 100


class Missing:
    """As a condition: there is no such attribute. There is one instance."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Attributes.MISSING"

    def __reduce__(self) -> str:
        return "MISSING"

    def __deepcopy__(self, memo: object) -> Missing:
        return self


MISSING: Final = Missing()


def attribute_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `values` as JSON has them.

    Raises:
        InvalidArgument: JSON cannot hold one.
        IncompatibleType: A name is no string.
    """
    return {_name(name): json_value(value, _name(name)) for name, value in values.items()}


def json_value(value: Any, path: str, depth: int = 0) -> Any:
    """A copy of `value` as JSON has it: NumPy scalars become numbers, tuples and arrays lists.

    Raises:
        InvalidArgument: JSON cannot hold it.
        IncompatibleType: It is of no type that JSON has.
    """
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidArgument(
                f'attribute "{path}": JSON has no {value}; keep it as the string "{_word(value)}"'
            )
        return value
    if depth == _MAX_DEPTH:
        raise InvalidArgument(f'attribute "{path}": nested more than {_MAX_DEPTH} levels deep')
    if isinstance(value, (list, tuple)):
        return [json_value(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value)]
    if isinstance(value, Mapping):
        return {_name(k): json_value(v, f"{path}.{k}", depth + 1) for k, v in value.items()}
    raise IncompatibleType(
        f'attribute "{path}": expected what JSON can hold, not {type(value).__name__}: {value!r}'
    )


def attribute_conditions(conditions: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy of ``if_equal=``."""
    return {
        _name(name): value if value is MISSING else json_value(value, name)
        for name, value in (conditions or {}).items()
    }


def check_conditions(stored: Mapping[str, Any], conditions: Mapping[str, Any]) -> None:
    """Checks ``if_equal=`` against what is stored.

    Raises:
        FailedPrecondition: One does not hold; the message has both values.
    """
    for name, wanted in conditions.items():
        found = stored.get(name, MISSING)
        # True is no 1 in JSON.
        if found != wanted or isinstance(found, bool) != isinstance(wanted, bool):
            raise FailedPrecondition(
                f'attribute "{name}" is {found!r}, not {wanted!r} as if_equal asks; '
                "nothing was changed"
            )


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise IncompatibleType(f"names of attributes are str, not {type(name).__name__}: {name!r}")
    return name


def _word(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
