"""`Elements`: an array as a member of a spec, not written out before somebody wants JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from asynctensor.schema.conversion import convert, is_ours
from asynctensor.schema.data_type import dtype
from asynctensor.schema.data_type import json as json_type
from asynctensor.schema.fill_constraint import fill_to_json
from asynctensor.schema.fill_value import fill_value_to_json

#: Data types whose elements are lists in JSON.
LISTS = frozenset({"complex64", "complex128", "char", "byte"})
_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


class Elements:
    """A NumPy array and its data type; equal by JSON.

    It refers to the array: what is written to that later, it says as well.
    """

    __slots__ = ("data_type", "values")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: npt.NDArray[Any], data_type: dtype) -> None:
        self.values, self.data_type = values, data_type

    def to_json(self) -> Any:
        """Nested lists; numbers that JSON lacks as words.

        Raises:
            InvalidArgument: A text is not UTF-8.
        """
        values = self.values
        if is_ours(self.data_type):
            return _nested(values)
        if self.data_type.name in LISTS:
            return fill_to_json(np.ascontiguousarray(values).reshape(values.shape))
        found = convert(values, self.data_type, json_type)
        if self.data_type.numpy_dtype.kind in "fV":
            found = _worded(found)
        return found.tolist()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Elements):
            return NotImplemented
        return bool(self.to_json() == other.to_json())

    def __copy__(self) -> Elements:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Elements:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (Elements, (np.array(self.values), self.data_type))

    def __repr__(self) -> str:
        return f"Elements(shape={self.values.shape}, dtype={self.data_type.name!r})"


def _nested(values: npt.NDArray[Any]) -> Any:
    """Nested lists of what zarr writes for each element."""
    if values.ndim:
        return [_nested(part) for part in values]
    return fill_value_to_json(np.asarray(values))


def _worded(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    found = np.empty(values.shape, object)
    flat = found.reshape(-1)
    for place, value in enumerate(values.ravel()):
        flat[place] = _WORDS.get(str(value), value)
    return found
