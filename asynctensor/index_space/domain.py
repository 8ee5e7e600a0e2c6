"""The domain of an array or a view: bounds, implicit bits and labels of N dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, SupportsIndex, overload

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.index_space import operations
from asynctensor.index_space.dim import Bounds, Dim, hull, intersect
from asynctensor.index_space.dim_selection import (
    SelectionTerms,
    normalize_dimension,
    parse_selection,
    resolve_permutation,
    resolve_selection,
)
from asynctensor.index_space.domain_arguments import (
    IntVector,
    constructor_arguments,
    domain_rep,
    rep_from_dims,
    rep_from_json,
)
from asynctensor.index_space.integers import is_index
from asynctensor.index_space.interval import (
    UNBOUNDED_MAX,
    UNBOUNDED_MIN,
    format_interval,
)
from asynctensor.index_space.json import domain_to_json
from asynctensor.index_space.labels import find_label, merge_label
from asynctensor.index_space.operations import Subscript
from asynctensor.index_space.representation import BoxBounds, Flags, Indexer, Ints, TransformRep


class IndexDomain(Indexer):
    """Box of indices, a sequence of `Dim`. Immutable and hashable.

    >>> domain = at.IndexDomain(shape=[3, 4], labels=["y", "x"])
    >>> domain["x"].size, domain.origin, str(domain[at.d["x"][1:]])
    (4, (0, 0), '{ "y": [0, 3), "x": [1, 4) }')
    >>> str(domain.intersect(at.IndexDomain(inclusive_min=[2, 2], shape=[5, 5])))
    '{ "y": [2, 3), "x": [2, 4) }'

    Args:
        rank: Number of dimensions, needed if nothing else is given; or the dimensions, as an
            iterable of `Dim`.
        inclusive_min: Lower bounds; zero if `shape` is given, else unbounded.
        implicit_lower_bounds: Which lower bounds are implicit; all if none is given.
        exclusive_max: Upper bounds, first index outside. At most one of the three upper bounds.
        inclusive_max: Upper bounds, last index inside.
        shape: Sizes.
        implicit_upper_bounds: Which upper bounds are implicit; all if none is given.
        labels: Labels, None or empty for none.
        json: The JSON representation, alone.

    Raises:
        InvalidArgument: If ranks differ, bounds are no intervals, or labels occur twice.
    """

    __slots__ = ("rep",)

    #: The domain as a transform without outputs, which is how operations see it.
    rep: TransformRep

    def __init__(
        self,
        rank: SupportsIndex | Iterable[Dim] | None = None,
        *,
        dimensions: Iterable[Dim] | None = None,
        inclusive_min: IntVector | None = None,
        implicit_lower_bounds: Iterable[object] | None = None,
        exclusive_max: IntVector | None = None,
        inclusive_max: IntVector | None = None,
        shape: IntVector | None = None,
        implicit_upper_bounds: Iterable[object] | None = None,
        labels: Iterable[str | None] | None = None,
        json: object = None,
    ) -> None:
        if json is not None:
            rep = rep_from_json(json)
        elif dimensions is not None or isinstance(rank, Iterable):
            rep = rep_from_dims(dimensions if dimensions is not None else rank)
        else:
            rep = domain_rep(
                rank=rank,
                inclusive_min=inclusive_min,
                implicit_lower_bounds=implicit_lower_bounds,
                exclusive_max=exclusive_max,
                inclusive_max=inclusive_max,
                shape=shape,
                implicit_upper_bounds=implicit_upper_bounds,
                labels=labels,
            )
        object.__setattr__(self, "rep", rep)

    @classmethod
    def of(cls, rep: TransformRep) -> IndexDomain:
        """The input domain of a transform."""
        self = cls.__new__(cls)
        bare = TransformRep.make(rep.bounds, rep.input_labels, ())
        object.__setattr__(self, "rep", bare)
        return self

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"IndexDomain is immutable: {name} cannot be set")

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return self.rep.input_rank

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self.rep.input_rank

    @property
    def inclusive_min(self) -> Ints:
        """Lower bounds, ``-inf`` where unbounded."""
        return self.rep.input_inclusive_min

    @property
    def origin(self) -> Ints:
        """Lower bounds, ``-inf`` where unbounded."""
        return self.rep.input_inclusive_min

    @property
    def exclusive_max(self) -> Ints:
        """Upper bounds, ``inf + 1`` where unbounded."""
        return self.rep.input_exclusive_max

    @property
    def inclusive_max(self) -> Ints:
        """Last indices, ``inf`` where unbounded."""
        return tuple(hi - 1 for hi in self.rep.input_exclusive_max)

    @property
    def shape(self) -> Ints:
        """Sizes, without meaning where unbounded."""
        return self.rep.input_shape

    @property
    def size(self) -> int:
        """Number of elements; ``2 * inf + 1`` and more if unbounded."""
        return min(math.prod(self.rep.input_shape), 2**63 - 1)

    @property
    def implicit_lower_bounds(self) -> Flags:
        """Which lower bounds are implicit."""
        return self.rep.implicit_lower_bounds

    @property
    def implicit_upper_bounds(self) -> Flags:
        """Which upper bounds are implicit."""
        return self.rep.implicit_upper_bounds

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels, empty for none."""
        return self.rep.input_labels

    @property
    def index_exp(self) -> tuple[slice, ...]:
        """One slice per dimension, usable with NumPy; None stands for an unbounded side.

        Raises:
            InvalidArgument: If a finite bound is negative, which NumPy would misunderstand.
        """
        slices: list[slice] = []
        for lo, hi in zip(self.inclusive_min, self.exclusive_max, strict=True):
            start = None if lo == UNBOUNDED_MIN else lo
            stop = None if hi == UNBOUNDED_MAX else hi
            if (start or 0) < 0 or (stop or 0) < 0:
                raise InvalidArgument(
                    f"Cannot convert domain {self} with negative bounds to index expression"
                )
            slices.append(slice(start, stop))
        return tuple(slices)

    def __len__(self) -> int:
        return self.rep.input_rank

    def _dim(self, dim: int) -> Dim:
        return Dim.make(*self._bounds(dim), self.labels[dim])

    def _bounds(self, dim: int) -> Bounds:
        rep = self.rep
        return (
            rep.input_inclusive_min[dim],
            rep.input_exclusive_max[dim],
            rep.implicit_lower_bounds[dim],
            rep.implicit_upper_bounds[dim],
        )

    def __iter__(self) -> Iterator[Dim]:
        return (self._dim(dim) for dim in range(self.rank))

    def __contains__(self, item: object) -> bool:
        return any(item == dim for dim in self)

    @overload
    def __getitem__(self, key: int | str) -> Dim: ...
    @overload
    def __getitem__(self, key: Indexer | slice | tuple[object, ...] | list[Any]) -> IndexDomain: ...
    def __getitem__(self, key: Any) -> Dim | IndexDomain:
        """One dimension, some dimensions, or this domain indexed.

        Args:
            key: An index or label (gives a `Dim`); a selection of dimensions; a domain, which
                slices; a dimension expression or a transform, which are applied.

        Raises:
            InvalidIndex: If a dimension does not exist or ranks do not fit.
            InvalidArgument: If a dimension is chosen twice.
            OutOfRange: If explicit bounds are exceeded.
        """
        if isinstance(key, (str, bytes)):
            name = key if isinstance(key, str) else key.decode()
            return self._dim(find_label(name, self.labels))
        if isinstance(key, Indexer) and not isinstance(key, SelectionTerms):
            return IndexDomain.of(key.apply_to_transform(self.rep))
        if is_index(key):
            return self._dim(normalize_dimension(key.__index__(), self.rank))
        dims = resolve_selection(parse_selection(key), self.labels)
        return IndexDomain([self._dim(dim) for dim in dims])

    def apply_to_transform(self, transform: Any) -> Any:
        """Slices `transform` by this domain, see `operations.restrict`."""
        return operations.restrict(transform, self.rep)

    @property
    def translate_to(self) -> Subscript[IndexDomain]:
        """``domain.translate_to[origins]``: moved to begin there; None leaves a dimension."""
        return self._subscript(operations.translate_to, "translate_to")

    @property
    def translate_by(self) -> Subscript[IndexDomain]:
        """``domain.translate_by[offsets]``: moved by these; None leaves a dimension."""
        return self._subscript(operations.translate_by, "translate_by")

    @property
    def translate_backward_by(self) -> Subscript[IndexDomain]:
        """``domain.translate_backward_by[offsets]``: moved by minus these."""
        return self._subscript(
            lambda rep, dims, key: operations.translate_by(rep, dims, key, -1),
            "translate_backward_by",
        )

    @property
    def label(self) -> Subscript[IndexDomain]:
        """``domain.label['x', 'y']``: with these labels."""
        return self._subscript(operations.label, "label")

    @property
    def mark_bounds_implicit(self) -> Subscript[IndexDomain]:
        """``domain.mark_bounds_implicit[lower:upper]``: with bounds implicit or explicit."""
        return self._subscript(operations.mark_bounds_implicit, "mark_bounds_implicit")

    def _subscript(self, operation: Any, name: str) -> Subscript[IndexDomain]:
        dims = range(self.rank)
        return Subscript(self, name, lambda key: IndexDomain.of(operation(self.rep, dims, key)))

    def transpose(self, axes: object = None) -> IndexDomain:
        """The dimensions in the order of `axes`, reversed if that is None.

        Raises:
            InvalidArgument: If `axes` is no permutation.
        """
        return IndexDomain.of(
            operations.transpose(self.rep, resolve_permutation(axes, self.labels))
        )

    @property
    def T(self) -> IndexDomain:  # noqa: N802  # NumPy's name
        """The dimensions in reverse order."""
        return self.transpose()

    def hull(self, other: IndexDomain) -> IndexDomain:
        """The smallest domain that holds both; each bound brings its implicit bit.

        Raises:
            InvalidArgument: If ranks or labels differ.
            IncompatibleType: If `other` is no domain.
        """
        return self._combine(other, hull, "hull")

    def intersect(self, other: IndexDomain) -> IndexDomain:
        """What is in both domains; each bound brings its implicit bit.

        Raises:
            InvalidArgument: If ranks or labels differ.
            IncompatibleType: If `other` is no domain.
        """
        return self._combine(other, intersect, "intersect")

    def _combine(
        self, other: IndexDomain, combine: Callable[[Bounds, Bounds], Bounds], verb: str
    ) -> IndexDomain:
        if not isinstance(other, IndexDomain):
            raise IncompatibleType(f"expected an IndexDomain to {verb} with, got {other!r:.80}")
        where = f"Cannot {verb} index domain {self} with index domain {other}: "
        if self.rank != other.rank:
            raise InvalidArgument(f"{where}Ranks do not match")
        dims: list[Dim] = []
        for i in range(self.rank):
            try:
                name = merge_label(self.labels[i], other.labels[i])
            except InvalidArgument as error:
                raise InvalidArgument(
                    f"{where}Mismatch in dimension {i}: {error.message}"
                ) from None
            dims.append(Dim.make(*combine(self._bounds(i), other._bounds(i)), name))
        return IndexDomain(dims)

    def to_json(self) -> dict[str, Any]:
        """The JSON representation."""
        return domain_to_json(self.rep)

    def _key(self) -> tuple[object, ...]:
        return (self.rep.bounds, self.rep.input_labels)

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, IndexDomain) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __copy__(self) -> IndexDomain:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> IndexDomain:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, self._key())

    def __str__(self) -> str:
        return "{ " + ", ".join(str(dim) for dim in self) + " }"

    def __repr__(self) -> str:
        return f"IndexDomain({', '.join(constructor_arguments(self.rep, '')) or 'rank=0'})"


def _restore(bounds: BoxBounds, labels: tuple[str, ...]) -> IndexDomain:
    return IndexDomain.of(TransformRep.make(bounds, labels, ()))


def dim_text(domain: IndexDomain, dim: int) -> str:
    """One dimension in TensorStore's notation, without its label."""
    return format_interval(*domain._bounds(dim))
