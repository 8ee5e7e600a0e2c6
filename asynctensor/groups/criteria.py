"""`Criteria`: which arrays and groups somebody looks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.hierarchy.node_format import Node
from asynctensor.schema.data_type import dtype as data_type


@dataclass(frozen=True, slots=True)
class Criteria:
    """What a node must satisfy; None, or empty, for what does not matter.

    Attributes:
        kind: ``"array"`` or ``"group"``.
        dtype: Name of the data type.
        shape: Size per dimension, None where any will do.
        rank: Number of dimensions.
        codec: Name of a codec, compressor or filter that is used.
        attributes: Value by name; an ellipsis for any value.
    """

    kind: str | None = None
    dtype: str | None = None
    shape: tuple[int | None, ...] | None = None
    rank: int | None = None
    codec: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def accepts(self, node: Node) -> bool:
        """Whether a node satisfies all of them."""
        if self.kind is not None and node.kind != self.kind:
            return False
        return self._accepts_array(node) and all(
            name in node.attributes and (wanted is ... or _equal(node.attributes[name], wanted))
            for name, wanted in self.attributes.items()
        )

    def _accepts_array(self, node: Node) -> bool:
        found = node.summary
        if found is None:
            return (self.dtype, self.shape, self.rank, self.codec) == (None,) * 4
        if self.dtype is not None and found.dtype != self.dtype:
            return False
        if self.rank is not None and len(found.shape) != self.rank:
            return False
        if self.shape is not None and (
            len(found.shape) != len(self.shape)
            or any(w not in (None, n) for n, w in zip(found.shape, self.shape, strict=True))
        ):
            return False
        return self.codec is None or any(_bare(c) == _bare(self.codec) for c in found.codecs)


def criteria(
    kind: str | None,
    dtype: Any,
    shape: Sequence[int | None] | None,
    rank: int | None,
    codec: str | None,
    attributes: Mapping[str, Any] | Sequence[str] | None,
) -> Criteria:
    """Criteria from the arguments of `find`.

    Raises:
        InvalidArgument: One is not allowed, or they contradict each other.
        IncompatibleType: One is of another type.
    """
    if kind not in (None, "array", "group"):
        raise InvalidArgument(f'kind is {kind!r}; expected "array" or "group"')
    if rank is not None and shape is not None and rank != len(shape):
        raise InvalidArgument(f"rank={rank} contradicts shape={tuple(shape)}")
    sizes = None if shape is None else tuple(None if n is None else int(n) for n in shape)
    return Criteria(kind, _dtype_name(dtype), sizes, rank, codec, _attributes(attributes))


def _attributes(attributes: Mapping[str, Any] | Sequence[str] | None) -> dict[str, Any]:
    if attributes is None:
        return {}
    if isinstance(attributes, Mapping):
        return dict(attributes)
    if isinstance(attributes, str):
        return {attributes: ...}
    names = list(attributes)
    if not all(isinstance(name, str) for name in names):
        raise IncompatibleType(f"attributes are a mapping, or names of attributes, not {names!r}")
    any_value: dict[str, EllipsisType] = dict.fromkeys(names, ...)
    return any_value


def _dtype_name(dtype: Any) -> str | None:
    if dtype is None:
        return None
    try:
        return data_type(dtype).name
    except (TypeError, ValueError):
        # Formats have data types that are none here; they are found by their own names.
        if isinstance(dtype, str):
            return dtype
        raise


def _equal(one: Any, other: Any) -> bool:
    # True is no 1 in JSON.
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _bare(codec: str) -> str:
    return codec.removeprefix("numcodecs.")
