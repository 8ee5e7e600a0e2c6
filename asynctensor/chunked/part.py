"""A part of each element: what the members ``field`` and ``open_as_void`` of a spec ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from asynctensor.chunked.member import Member
from asynctensor.errors import FailedPrecondition
from asynctensor.schema.contradiction import contradiction
from asynctensor.schema.data_type import dtype


@dataclass(frozen=True, slots=True)
class Part:
    """A part of each element.

    Attributes:
        field: The name of a field; None: all bytes of the element.
    """

    field: str | None = None

    def options(self) -> dict[str, Any]:
        """The members of a spec that ask for it."""
        return {"open_as_void": True} if self.field is None else {"field": self.field}


@dataclass(frozen=True, slots=True)
class PartType:
    """What elements of a part look like.

    Attributes:
        element: The data type.
        hidden_shape: What the array's shape has after that of whole elements.
        fill: The part of the whole fill value, where that is known.
    """

    element: dtype
    hidden_shape: tuple[int, ...]
    fill: np.ndarray[Any, Any] | None = None


def part_of_options(options: Mapping[str, Any]) -> Part | None:
    """The part that the members of a spec ask for; None if it is none.

    Raises:
        InvalidArgument: One is wrong, or there are two.
    """
    found = Member(dict(options), "").object()
    field, void = found.get("field"), found.get("open_as_void")
    name = None if field is None else field.string()
    if void is None or not void.boolean():
        return None if name is None else Part(name)
    if name is not None:
        message = '"field" and "open_as_void" cannot both be given'
        raise contradiction(message, "open_as_void", "field")
    return Part()


def only_field(stored: np.dtype[Any], asked: dtype | None) -> Part | None:
    """The field that is the array, as in TensorStore, where records have no other one.

    Args:
        stored: The NumPy type of whole elements.
        asked: The data type that is asked for; whole records, where it is theirs.
    """
    names = stored.names or ()
    if len(names) != 1 or (asked is not None and asked.numpy_dtype.names is not None):
        return None
    return Part(names[0])


def part_type(part: Part, stored: np.dtype[Any], fill: bytes | None = None) -> PartType:
    """What a part of elements looks like.

    Args:
        part: The part.
        stored: The NumPy type of whole elements.
        fill: The bytes of the fill value, as `stored` has them.

    Raises:
        FailedPrecondition: There is no such field.
    """
    if part.field is None:
        return PartType(dtype("byte"), (stored.itemsize,))
    fields = {str(name): field for name, field in (stored.fields or {}).items()}
    if not fields:
        raise FailedPrecondition(
            f'Error parsing object member "field": Requested field "{part.field}" but dtype does '
            "not have named fields"
        )
    if part.field not in fields:
        raise FailedPrecondition(
            f'Error parsing object member "field": Requested field "{part.field}" is not one of: '
            f"{list(stored.names or ())}"
        )
    field, offset = fields[part.field][:2]
    base = field.base
    value = None
    if fill is not None:
        value = np.frombuffer(fill[offset : offset + field.itemsize], base).reshape(field.shape)
    if is_bytes(base):
        element = dtype("char" if base.kind == "S" else "byte")
        hidden = (*field.shape, base.itemsize)
        if value is not None:
            value = value.reshape(-1).view(element.numpy_dtype).reshape(hidden)
        return PartType(element, hidden, value)
    if value is not None:
        value = value.astype(base.newbyteorder("="))
    return PartType(dtype(base), field.shape, value)


def is_bytes(stored: np.dtype[Any]) -> bool:
    """Whether elements are bytes or characters, which stay along a dimension of their own."""
    is_small = stored.type.__module__.startswith("ml_dtypes")
    return stored.kind in "SV" and not stored.names and not is_small
