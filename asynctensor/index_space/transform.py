"""The transform from an input index space to an output space: what every view is."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, SupportsIndex

from asynctensor.errors import IncompatibleType, InvalidArgument, OutOfRange
from asynctensor.index_space import operations
from asynctensor.index_space.composition import compose
from asynctensor.index_space.dim import Dim
from asynctensor.index_space.dim_selection import resolve_permutation
from asynctensor.index_space.domain import IndexDomain, dim_text
from asynctensor.index_space.domain_arguments import (
    IntVector,
    constructor_arguments,
    domain_rep,
    rep_from_json,
)
from asynctensor.index_space.indexable import Indexable
from asynctensor.index_space.interval import format_interval, is_explicitly_empty
from asynctensor.index_space.json import parse_output, transform_to_json
from asynctensor.index_space.numpy_indexing import IndexingMode, index_transform
from asynctensor.index_space.operations import Subscript
from asynctensor.index_space.output_map import IDENTITIES, OutputIndexMap, OutputIndexMaps
from asynctensor.index_space.representation import Indexer, Ints, R, TransformRep
from asynctensor.index_space.transform_text import transform_text


class IndexTransform(TransformRep, Indexer, Indexable):
    """Maps each index of an input domain to an index of an output space. Immutable.

    >>> transform = at.IndexTransform(input_shape=[3, 4])[1, ::2]
    >>> transform([1]), transform.domain.shape
    ((1, 2), (2,))
    >>> print(transform)
    Rank 1 -> 2 index space transform:
      Input domain:
        0: [0, 2)
      Output index maps:
        out[0] = 1
        out[1] = 0 + 2 * in[0]

    Args:
        input_rank: Number of input dimensions, needed if nothing else tells it; or the domain,
            as an `IndexDomain` or a sequence of `Dim`.
        output: One map per output dimension, the identity if not given. Positional only after
            a domain.
        input_inclusive_min: Lower bounds; zero if `input_shape` is given, else unbounded.
        implicit_lower_bounds: Which lower bounds are implicit; all if none is given.
        input_exclusive_max: Upper bounds. At most one of the three kinds of upper bounds.
        input_inclusive_max: Upper bounds, last index inside.
        input_shape: Sizes.
        implicit_upper_bounds: Which upper bounds are implicit; all if none is given.
        input_labels: Labels, None or empty for none.
        domain: The domain, instead of its parts.
        json: The JSON representation, alone.

    Raises:
        InvalidArgument: If ranks differ, a bound or label is wrong, or a map does not fit.
    """

    __slots__ = ()

    def __init__(
        self,
        input_rank: SupportsIndex | IndexDomain | Iterable[Dim] | None = None,
        output: Iterable[OutputIndexMap] | None = None,
        *,
        input_inclusive_min: IntVector | None = None,
        implicit_lower_bounds: Iterable[object] | None = None,
        input_exclusive_max: IntVector | None = None,
        input_inclusive_max: IntVector | None = None,
        input_shape: IntVector | None = None,
        implicit_upper_bounds: Iterable[object] | None = None,
        input_labels: Iterable[str | None] | None = None,
        domain: IndexDomain | Iterable[Dim] | None = None,
        json: object = None,
    ) -> None:
        if json is not None:
            rep, output = _from_json(json)
        elif domain is not None or isinstance(input_rank, Iterable):
            given = domain if domain is not None else input_rank
            rep = (given if isinstance(given, IndexDomain) else IndexDomain(given)).rep
        else:
            rep = domain_rep(
                rank=input_rank,
                prefix="input_",
                inclusive_min=input_inclusive_min,
                implicit_lower_bounds=implicit_lower_bounds,
                exclusive_max=input_exclusive_max,
                inclusive_max=input_inclusive_max,
                shape=input_shape,
                implicit_upper_bounds=implicit_upper_bounds,
                labels=input_labels,
            )
        said_by = "input_rank"
        if isinstance(json, Mapping):
            said_by = next((name for name in json if name != "output"), said_by)
        maps = identity_maps(rep.input_rank)
        if output is not None:
            maps = _checked_maps(rep, output, said_by)
        for name in TransformRep.field_names():
            object.__setattr__(self, name, getattr(rep, name))
        object.__setattr__(self, "maps", maps)

    @classmethod
    def identity(
        cls,
        domain: IndexDomain | IntVector,
        *,
        implicit_lower_bounds: Iterable[object] | None = None,
        implicit_upper_bounds: Iterable[object] | None = None,
    ) -> IndexTransform:
        """The transform that maps each index to itself.

        Args:
            domain: A domain, or a shape (origin zero).
            implicit_lower_bounds: With a shape, which lower bounds are implicit, by default none.
            implicit_upper_bounds: With a shape, which upper bounds are implicit, by default none.
        """
        if isinstance(domain, IndexDomain):
            return cls(domain)
        return cls(
            input_shape=domain,
            implicit_lower_bounds=implicit_lower_bounds,
            implicit_upper_bounds=implicit_upper_bounds,
        )

    @property
    def ndim(self) -> int:
        """Number of input dimensions."""
        return self.input_rank

    @property
    def domain(self) -> IndexDomain:
        """The input domain."""
        return IndexDomain.of(self)

    @property
    def input_origin(self) -> Ints:
        """Lower bounds of the input domain."""
        return self.input_inclusive_min

    @property
    def origin(self) -> Ints:
        """Lower bounds of the input domain."""
        return self.input_inclusive_min

    @property
    def input_inclusive_max(self) -> Ints:
        """Last indices of the input domain."""
        return tuple(hi - 1 for hi in self.input_exclusive_max)

    @property
    def shape(self) -> Ints:
        """Sizes of the input domain."""
        return self.input_shape

    @property
    def size(self) -> int:
        """Number of elements of the input domain."""
        return min(math.prod(self.input_shape), 2**63 - 1)

    @property
    def output(self) -> OutputIndexMaps:
        """The output maps, as a sequence."""
        return OutputIndexMaps(self.maps)

    __iter__ = None

    def __getitem__(self, key: object) -> IndexTransform:
        """Indexes the input domain.

        Args:
            key: NumPy-style terms (index arrays in the default mode); a transform, which is
                composed: ``x -> self(key(x))``; a domain, which slices; or a dimension
                expression.

        Raises:
            InvalidIndex: If the key does not fit.
            OutOfRange: If it reaches outside explicit bounds.
        """
        if isinstance(key, Indexer):
            return key.apply_to_transform(self)
        return index_transform(self, key)

    def apply_to_transform(self, transform: R) -> R:
        """Composes: the transform ``x -> transform(self(x))``."""
        return compose(transform, self)

    @property
    def oindex(self) -> Subscript[IndexTransform]:
        """``transform.oindex[...]``: index arrays apply orthogonally, each in its place."""
        return self._subscript("oindex")

    @property
    def vindex(self) -> Subscript[IndexTransform]:
        """``transform.vindex[...]``: index arrays are broadcast, their dimensions come first."""
        return self._subscript("vindex")

    def __call__(self, indices: Iterable[SupportsIndex]) -> Ints:
        """The output index of one input index.

        Args:
            indices: One index per input dimension.

        Raises:
            InvalidArgument: If there are more or fewer.
            OutOfRange: If an index is outside explicit bounds, or an element of an index array
                outside its range.
        """
        point = [operator.index(x) for x in indices]
        if len(point) != self.input_rank:
            raise InvalidArgument(
                f"input indices vector of length {len(point)} cannot be used with index transform "
                f"with input rank {self.input_rank}"
            )
        for dim, index in enumerate(point):
            low, high = self.input_inclusive_min[dim], self.input_exclusive_max[dim]
            below = index < low and not self.implicit_lower_bounds[dim]
            above = index >= high and not self.implicit_upper_bounds[dim]
            if below or above:
                raise OutOfRange(
                    f"Index {index} is not contained in the domain "
                    f"{dim_text(self.domain, dim)} for input dimension {dim}"
                )
        return tuple(self._map_point(out, point) for out in range(self.output_rank))

    def _map_point(self, out: int, point: list[int]) -> int:
        item = self.maps[out]
        if item.input_dimension is not None:
            return item.offset + (item.stride or 0) * point[item.input_dimension]
        if item.index_array is None:
            return item.offset
        at = tuple(
            index - low if size != 1 else 0
            for index, low, size in zip(
                point, self.input_inclusive_min, item.index_array.shape, strict=True
            )
        )
        value = int(item.index_array[at])
        if not item.range[0] <= value < item.range[1]:
            raise OutOfRange(
                f"Computing index for output dimension {out}: Checking result of index array "
                f"output index map: Index {value} is outside valid range "
                f"{format_interval(*item.range)}"
            )
        return item.offset + (item.stride or 0) * value

    @property
    def translate_to(self) -> Subscript[IndexTransform]:
        """``transform.translate_to[origins]``: moved to begin there; None leaves a dimension."""
        return self._subscript("translate_to")

    @property
    def translate_by(self) -> Subscript[IndexTransform]:
        """``transform.translate_by[offsets]``: moved by these; None leaves a dimension."""
        return self._subscript("translate_by")

    @property
    def translate_backward_by(self) -> Subscript[IndexTransform]:
        """``transform.translate_backward_by[offsets]``: moved by minus these."""
        return self._subscript("translate_backward_by")

    @property
    def label(self) -> Subscript[IndexTransform]:
        """``transform.label['x', 'y']``: with these labels of the input."""
        return self._subscript("label")

    @property
    def mark_bounds_implicit(self) -> Subscript[IndexTransform]:
        """``transform.mark_bounds_implicit[lower:upper]``: bounds implicit or explicit."""
        return self._subscript("mark_bounds_implicit")

    def _subscript(self, name: str) -> Subscript[IndexTransform]:
        return Subscript(self, name, partial(_SUBSCRIPTS[name], self))

    def subscripted(self, name: str, key: object) -> IndexTransform:
        """``getattr(self, name)[key]``, without the object in between."""
        return _SUBSCRIPTS[name](self, key)

    def transpose(self, axes: object = None) -> IndexTransform:
        """The input dimensions in the order of `axes`, reversed if that is None.

        Raises:
            InvalidArgument: If `axes` is no permutation.
        """
        return operations.transpose(self, resolve_permutation(axes, self.input_labels))

    @property
    def T(self) -> IndexTransform:  # noqa: N802  # NumPy's name
        """The input dimensions in reverse order."""
        return operations.reverse(self)

    def to_json(self) -> dict[str, Any]:
        """The JSON representation; identity maps are left out."""
        return transform_to_json(self)

    def brief_json(self) -> dict[str, Any]:
        """The JSON for reading: of long index arrays only the ends, and ``...`` between them."""
        return transform_to_json(self, brief=True)

    def _parts(self) -> tuple[Any, ...]:
        return (self.bounds, self.input_labels, self.maps)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IndexTransform):
            return NotImplemented
        return self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    def __copy__(self) -> IndexTransform:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> IndexTransform:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, self._parts())

    def __repr__(self) -> str:
        arguments = constructor_arguments(self, "input_")
        if self.maps != identity_maps(self.input_rank):
            arguments.append(f"output={list(self.maps)}")
        return f"IndexTransform({', '.join(arguments)})"

    def __str__(self) -> str:
        return transform_text(self)


def _on_all_dims(operation: Any, *more: Any) -> Callable[[IndexTransform, Any], IndexTransform]:
    def operate(transform: IndexTransform, key: object) -> IndexTransform:
        changed: IndexTransform = operation(transform, range(transform.input_rank), key, *more)
        return changed

    return operate


#: What is written with brackets: ``transform.<name>[...]``.
_SUBSCRIPTS: Final[Mapping[str, Callable[[IndexTransform, Any], IndexTransform]]] = {
    "oindex": lambda transform, key: index_transform(transform, key, IndexingMode.OINDEX),
    "vindex": lambda transform, key: index_transform(transform, key, IndexingMode.VINDEX),
    "translate_to": _on_all_dims(operations.translate_to),
    "translate_by": _on_all_dims(operations.translate_by),
    "translate_backward_by": _on_all_dims(operations.translate_by, -1),
    "label": _on_all_dims(operations.label),
    "mark_bounds_implicit": _on_all_dims(operations.mark_bounds_implicit),
}


def _restore(*parts: Any) -> IndexTransform:
    return IndexTransform.make(*parts)


def identity_maps(rank: int) -> tuple[OutputIndexMap, ...]:
    """The maps of the identity of this rank."""
    return IDENTITIES[:rank]


def _from_json(json: object) -> tuple[TransformRep, list[OutputIndexMap] | None]:
    output = None
    if isinstance(json, dict) and "output" in json:
        output = parse_output(json["output"])
        json = {name: value for name, value in json.items() if name != "output"}
    return rep_from_json(json, "input_", "transform"), output


def _checked_maps(
    rep: TransformRep, output: Iterable[OutputIndexMap], said_by: str
) -> tuple[OutputIndexMap, ...]:
    """The maps, each checked against the domain, which the member `said_by` says."""
    if isinstance(output, OutputIndexMap) or not isinstance(output, Iterable):
        raise IncompatibleType(f"output must be a sequence of OutputIndexMap, not {output!r}")
    empty = is_explicitly_empty(*rep.bounds)
    checked = []
    for out, item in enumerate(output):
        try:
            checked.append(_checked_map(rep, out, item, empty))
        except InvalidArgument as error:
            is_array = item.index_array is not None
            name = "index_array" if is_array else "input_dimension"
            error.contradicting = (f"output[{out}].{name}", said_by)
            raise
    return tuple(checked)


def _checked_map(rep: TransformRep, out: int, item: object, empty: bool) -> OutputIndexMap:
    if not isinstance(item, OutputIndexMap):
        raise IncompatibleType(f"output must be a sequence of OutputIndexMap, not {item!r}")
    dim = item.input_dimension
    if dim is not None:
        if not 0 <= dim < rep.input_rank:
            raise InvalidArgument(
                f"Input dimension {dim} specified for output dimension {out} is outside valid "
                f"range [0, {rep.input_rank})"
            )
        return OutputIndexMap.single(dim, item.offset, item.stride or 0)
    array = item.index_array
    if array is None:
        return item
    if array.ndim != rep.input_rank:
        raise InvalidArgument(
            f"Index array for output dimension {out} has rank {array.ndim} but must have rank "
            f"{rep.input_rank}"
        )
    for dim, (size, expected) in enumerate(zip(array.shape, rep.input_shape, strict=True)):
        if size not in (1, expected):
            raise InvalidArgument(
                f"Index array for output dimension {out} has shape {array.shape} which does not "
                f"match input_shape {rep.input_shape}"
            )
        if size != 1 and (rep.implicit_lower_bounds[dim] or rep.implicit_upper_bounds[dim]):
            raise InvalidArgument(
                f"Index array for output dimension {out} depends on input dimension {dim} with "
                "implicit bounds"
            )
    if empty:
        return OutputIndexMap.constant(0)
    return item if item.stride else OutputIndexMap.constant(item.offset)
