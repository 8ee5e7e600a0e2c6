"""The indexing operations that schemas, specs and arrays share: each composes a transform."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import Any, Self

from asynctensor.index_space.operations import Subscript
from asynctensor.index_space.transform import IndexTransform


class IndexingOperations(ABC):
    """What can be indexed through a transform; nothing is read, nothing copied.

    Subclasses say which transform they have now, and what they are with another one. Every
    operation raises what the same operation of `IndexTransform` raises, and `InvalidArgument`
    where the rank is not known.
    """

    __slots__ = ()
    #: No iteration: ``__getitem__`` alone would make Python try indices until one fails.
    __iter__ = None

    @abstractmethod
    def _indexing_transform(self) -> IndexTransform:
        """The transform whose input space is indexed.

        Raises:
            InvalidArgument: The rank is not known.
        """

    @abstractmethod
    def _with_indexing_transform(self, transform: IndexTransform) -> Self:
        """The view through `transform`, which has come from `_indexing_transform`."""

    def __getitem__(self, key: Any) -> Self:
        """A view: by NumPy-style terms, a dimension expression, a domain or a transform."""
        return self._with_indexing_transform(self._indexing_transform()[key])

    def _subscripted(self, name: str, key: Any) -> Self:
        return self._with_indexing_transform(self._indexing_transform().subscripted(name, key))

    def _subscript(self, name: str) -> Subscript[Self]:
        return Subscript(self, name, partial(self._subscripted, name))

    @property
    def oindex(self) -> Subscript[Self]:
        """``x.oindex[...]``: index arrays apply orthogonally, each in its place."""
        return self._subscript("oindex")

    @property
    def vindex(self) -> Subscript[Self]:
        """``x.vindex[...]``: index arrays are broadcast, their dimensions come first."""
        return self._subscript("vindex")

    @property
    def translate_to(self) -> Subscript[Self]:
        """``x.translate_to[origins]``: the domain moved to begin there; None leaves a dimension."""
        return self._subscript("translate_to")

    @property
    def translate_by(self) -> Subscript[Self]:
        """``x.translate_by[offsets]``: the domain moved by these; None leaves a dimension."""
        return self._subscript("translate_by")

    @property
    def translate_backward_by(self) -> Subscript[Self]:
        """``x.translate_backward_by[offsets]``: the domain moved by minus these."""
        return self._subscript("translate_backward_by")

    @property
    def label(self) -> Subscript[Self]:
        """``x.label['x', 'y']``: with these dimension labels."""
        return self._subscript("label")

    @property
    def mark_bounds_implicit(self) -> Subscript[Self]:
        """``x.mark_bounds_implicit[lower:upper]``: with bounds implicit or explicit."""
        return self._subscript("mark_bounds_implicit")

    def transpose(self, axes: Any = None) -> Self:
        """The dimensions in the order of `axes` (indices or labels), reversed if that is None."""
        return self._with_indexing_transform(self._indexing_transform().transpose(axes))

    @property
    def T(self) -> Self:  # noqa: N802 (TensorStore's name)
        """The dimensions in reverse order."""
        return self._with_indexing_transform(self._indexing_transform().T)
