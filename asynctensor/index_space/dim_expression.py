"""Dimension expressions: ``d['x', 'z'].label['a', 'b'].translate_by[5]``, applied by indexing.

An expression is a selection of dimensions and a chain of operations; each is given the chosen
dimensions and says which are chosen after it. (TensorStore's document "Dimension expressions".)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np

from asynctensor.errors import IncompatibleType, InvalidIndex
from asynctensor.index_space import operations
from asynctensor.index_space.dim_indexing import (
    fill_terms,
    index_dims,
    place_new_axes,
)
from asynctensor.index_space.dim_operations import diagonal, move_dims, stride
from asynctensor.index_space.dim_selection import (
    SelectionTerms,
    parse_selection,
    resolve_selection,
    slice_text,
)
from asynctensor.index_space.dim_selection import Term as SelectionTerm
from asynctensor.index_space.index_terms import ArrayTerm, BoolTerm, Term, parse_terms
from asynctensor.index_space.integers import is_index
from asynctensor.index_space.numpy_indexing import IndexingMode, joint_position
from asynctensor.index_space.operations import Subscript
from asynctensor.index_space.representation import Indexer, R

_OPERATIONS: Final[dict[str, Callable[[Any, Sequence[int], Any], Any]]] = {
    "translate_to": operations.translate_to,
    "translate_by": operations.translate_by,
    "translate_backward_by": lambda rep, dims, key: operations.translate_by(rep, dims, key, -1),
    "label": operations.label,
    "mark_bounds_implicit": operations.mark_bounds_implicit,
    "stride": stride,
}
_MODES: Final = {
    "": IndexingMode.DEFAULT,
    "oindex": IndexingMode.OINDEX,
    "vindex": IndexingMode.VINDEX,
}
#: One operation: its name ("" for plain brackets) and its argument.
_Step = tuple[str, Any]


class _Indices:
    """Parsed NumPy-style indices of one step."""

    __slots__ = ("scalar", "terms")

    def __init__(self, indices: object) -> None:
        self.terms: tuple[Term, ...] = tuple(_plain(term) for term in parse_terms(indices))
        single = len(self.terms) == 1 and not isinstance(indices, tuple)
        vector = isinstance(indices, slice) and any(
            isinstance(part, Iterable) for part in (indices.start, indices.stop, indices.step)
        )
        #: A lone integer, slice or new axis applies to all chosen dimensions.
        self.scalar = (
            single
            and not vector
            and self.terms[0] is not ...
            and not isinstance(self.terms[0], ArrayTerm)
        )

    def __repr__(self) -> str:
        text = ",".join(_term_text(term) for term in self.terms)
        return text if self.scalar or len(self.terms) != 1 or self.terms[0] is ... else text + ","


def _plain(term: Term) -> Term:
    """An array without dimensions is the integer that it holds."""
    if isinstance(term, ArrayTerm) and not isinstance(term, BoolTerm) and not term.shape:
        return int(term.arrays[0])
    return term


def _term_text(term: Term) -> str:
    if isinstance(term, slice):
        return slice_text(term)
    if term is ...:
        return "..."
    if isinstance(term, BoolTerm):
        return _array_text(term.mask(), "bool")
    if isinstance(term, ArrayTerm):
        return _array_text(np.broadcast_to(term.arrays[0], term.shape), "int")
    return str(term)


def _array_text(array: np.ndarray[Any, Any], dtype: str) -> str:
    # A list without elements has forgotten some of its shape.
    return str(array.tolist()) if array.size else f"numpy.empty({array.shape}, dtype={dtype})"


class DimExpression(Indexer):
    """Chosen dimensions and what is done to them. Immutable; made from `d`.

    Indexing an array, a spec, a domain or a transform by it does to that what it says, operation
    after operation.

    >>> corner = at.d["x", "y"].translate_to[0][:2, :2]
    >>> corner
    d['x','y'].translate_to[0][:2,:2]
    >>> at.array(np.ones([3, 4, 5])).label["x", "", "y"][corner].shape
    (2, 4, 2)
    """

    __slots__ = ("_selection", "_steps")

    def __init__(self, selection: tuple[SelectionTerm, ...], steps: tuple[_Step, ...]) -> None:
        self._selection = selection
        self._steps = steps

    def _then(self, name: str, argument: object) -> DimExpression:
        return DimExpression(self._selection, (*self._steps, (name, argument)))

    def _subscript(self, name: str, parse: Callable[[object], object]) -> Subscript[DimExpression]:
        return Subscript(self, name, lambda key: self._then(name, parse(key)))

    @property
    def translate_to(self) -> Subscript[DimExpression]:
        """``.translate_to[origins]``: the dimensions begin there; None leaves one as it is."""
        return self._subscript("translate_to", _vector)

    @property
    def translate_by(self) -> Subscript[DimExpression]:
        """``.translate_by[offsets]``: the dimensions are moved by these."""
        return self._subscript("translate_by", _vector)

    @property
    def translate_backward_by(self) -> Subscript[DimExpression]:
        """``.translate_backward_by[offsets]``: the dimensions are moved by minus these."""
        return self._subscript("translate_backward_by", _vector)

    @property
    def stride(self) -> Subscript[DimExpression]:
        """``.stride[strides]``: ``x`` is what ``x * stride`` was; None leaves a dimension."""
        return self._subscript("stride", _vector)

    @property
    def label(self) -> Subscript[DimExpression]:
        """``.label['x', 'y']``: the dimensions have these labels."""
        return self._subscript("label", _labels)

    @property
    def mark_bounds_implicit(self) -> Subscript[DimExpression]:
        """``.mark_bounds_implicit[lower:upper]``: bounds become implicit or explicit."""
        return self._subscript("mark_bounds_implicit", _flags)

    @property
    def transpose(self) -> Subscript[DimExpression]:
        """``.transpose[targets]``: the dimensions move to these positions."""
        return self._subscript("transpose", _targets)

    @property
    def diagonal(self) -> DimExpression:
        """The diagonal of the dimensions, as a new first dimension that is then chosen."""
        return self._then("diagonal", None)

    @property
    def oindex(self) -> Subscript[DimExpression]:
        """``.oindex[...]``: index arrays apply orthogonally, each in its place."""
        return self._subscript("oindex", self._indices)

    @property
    def vindex(self) -> Subscript[DimExpression]:
        """``.vindex[...]``: index arrays are broadcast, their dimensions come first."""
        return self._subscript("vindex", self._indices)

    def __getitem__(self, indices: object) -> DimExpression:
        """Indexes the chosen dimensions by NumPy-style terms, which must consume all of them.

        Raises:
            InvalidIndex: If a term cannot be an index, or adds a dimension when the expression
                is not at its beginning.
        """
        return self._then("", self._indices(indices))

    __iter__ = None

    def _indices(self, indices: object) -> _Indices:
        parsed = _Indices(indices)
        if self._steps and None in parsed.terms:
            raise InvalidIndex(
                "tensorstore.newaxis (`None`) not valid in chained indexing operations"
            )
        return parsed

    def apply_to_transform(self, transform: R) -> R:
        """The transform after all operations.

        Raises:
            InvalidIndex: If there is no operation, or one does not fit.
            OutOfRange: If an index or slice is outside the explicit bounds.
        """
        if not self._steps:
            raise InvalidIndex("Must specify at least one operation in dimension expression")
        dims: tuple[int, ...] | None = None
        for name, argument in self._steps:
            transform, dims = self._apply(transform, dims, name, argument)
        return transform

    def _apply(
        self, rep: R, dims: tuple[int, ...] | None, name: str, argument: Any
    ) -> tuple[R, tuple[int, ...]]:
        if isinstance(argument, _Indices):
            if dims is None:
                rep, dims, filled = place_new_axes(
                    rep, self._selection, argument.terms, argument.scalar
                )
            else:
                filled = fill_terms(argument.terms, len(dims), argument.scalar)
            return index_dims(rep, dims, filled, _MODES[name], _front(argument.terms, _MODES[name]))
        if dims is None:
            dims = resolve_selection(self._selection, rep.input_labels)
        if name == "transpose":
            return move_dims(rep, dims, argument)
        if name == "diagonal":
            return diagonal(rep, dims)
        return _OPERATIONS[name](rep, dims, argument), dims

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DimExpression):
            return NotImplemented
        # The text spells out every argument, arrays included.
        return repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        text = ",".join(
            slice_text(item) if isinstance(item, slice) else repr(item) for item in self._selection
        )
        steps = (_step_text(name, argument) for name, argument in self._steps)
        return f"d[{text or '()'}]{''.join(steps)}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self._selection, self._steps))


def _front(terms: Sequence[Term], mode: IndexingMode) -> bool:
    """Whether dimensions that arrays share come first."""
    arrays = [term for term in terms if isinstance(term, ArrayTerm)]
    # A boolean scalar has no dimension in whose place anything could come.
    placeless = any(not term.arrays for term in arrays)
    return bool(arrays) and (
        joint_position(terms, mode) == -1 or (placeless and mode is IndexingMode.DEFAULT)
    )


def _step_text(name: str, argument: Any) -> str:
    dot = f".{name}" if name else ""
    if name == "diagonal":
        return dot
    if isinstance(argument, slice):
        return f"{dot}[{slice_text(argument)}]"
    if isinstance(argument, tuple):
        inner = ",".join(slice_text(x) if isinstance(x, slice) else repr(x) for x in argument)
        return f"{dot}[{inner}{',' * (len(argument) == 1)}]" if argument else f"{dot}[()]"
    return f"{dot}[{argument!r}]"


class DimSelection(DimExpression, SelectionTerms):
    """Chosen dimensions, by index, slice or label; the beginning of a `DimExpression`.

    >>> array = at.array(np.ones([3, 4, 5])).label["x", "y", "z"]
    >>> array[at.d["z"][2]].domain.labels, array[at.d[2, 0].transpose[0, 1]].shape
    (('x', 'y'), (5, 3, 4))
    >>> array[at.d[1:].label["a", "b"]].domain.labels
    ('x', 'a', 'b')
    """

    __slots__ = ()

    def __init__(
        self, selection: tuple[SelectionTerm, ...] = (), steps: tuple[_Step, ...] = ()
    ) -> None:
        super().__init__(selection, steps)

    @property
    def terms(self) -> tuple[SelectionTerm, ...]:
        """What was chosen, flat."""
        return self._selection


class DimSelector:
    """What `d` is: its brackets make a `DimSelection`."""

    __slots__ = ()
    __iter__ = None

    def __getitem__(self, selection: object) -> DimSelection:
        return DimSelection(parse_selection(selection))

    def __repr__(self) -> str:
        return "d"


#: Makes selections of dimensions: ``d[0, 'x', 2:]``.
d: Final = DimSelector()


def _vector(value: object) -> int | tuple[int | None, ...] | None:
    if value is None:
        return None
    if is_index(value):
        return value.__index__()
    items = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else None
    if items is None:
        raise IncompatibleType(f"expected integers or None, not {value!r}")
    return tuple(operations.as_vector(items, len(items)))


def _labels(value: object) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return value
    items = tuple(value) if isinstance(value, Iterable) else None
    if items is None or not all(isinstance(item, str) for item in items):
        raise IncompatibleType(f"Dimension labels must be strings, not {value!r}")
    return items


def _flags(value: object) -> object:
    parts = (value.start, value.stop) if isinstance(value, slice) else (value,)
    if any(part is not None and not isinstance(part, (bool, int)) for part in parts):
        raise IncompatibleType(f"expected None, bool or a slice of two of them, not {value!r}")
    return value


def _targets(value: object) -> int | tuple[SelectionTerm, ...]:
    if is_index(value):
        return value.__index__()
    terms = parse_selection(value)
    return terms[0] if len(terms) == 1 and isinstance(terms[0], int) else terms
