"""Which layer serves which part of a view: pure.

The edges of all layers cut the domain into cells; the last layer that holds a cell serves it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from asynctensor.errors import InvalidArgument
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.interval import affine_domain
from asynctensor.index_space.output_map import OutputIndexMap
from asynctensor.index_space.points import point_indices
from asynctensor.index_space.propagate_bounds import check_index_arrays, propagate_bounds
from asynctensor.index_space.transform import IndexTransform

#: What to index one dimension with: a range, or a list of indices.
Selection: TypeAlias = "slice | npt.NDArray[np.int64]"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a view that one layer serves.

    Attributes:
        layer: Which one.
        transform: From the indices of the part to those of the layer.
        place: Where the elements of the part are in an array of the view's shape; indices that
            NumPy takes, for reading and for assigning.
        whole: Whether it is all of the view, in its own shape.
    """

    layer: int
    transform: IndexTransform
    place: tuple[Selection, ...]
    whole: bool = False


class LayerGrid:
    """Where layers lie.

    Attributes:
        domain: Of the stack; explicit bounds.
        layers: Domains of the layers, the later ones on top.
    """

    def __init__(self, domain: IndexDomain, layers: Sequence[IndexDomain]) -> None:
        self.domain, self.layers = domain, tuple(layers)

    @cached_property
    def _edges(self) -> list[list[int]]:
        """Per dimension, where layers begin and end, and the domain itself."""
        found = []
        for dim in range(self.domain.rank):
            edges = {self.domain.inclusive_min[dim], self.domain.exclusive_max[dim]}
            for layer in self.layers:
                edges |= {layer.inclusive_min[dim], layer.exclusive_max[dim]}
            found.append(sorted(edges))
        return found

    def bounded(self, transform: IndexTransform) -> IndexTransform:
        """`transform` with explicit bounds, checked.

        Raises:
            OutOfRange: The view leaves the domain.
        """
        domain = self.domain
        view = propagate_bounds(transform, domain.inclusive_min, domain.exclusive_max)
        if 0 not in view.input_shape:
            check_index_arrays(view)
        return view

    def parts(self, view: IndexTransform) -> list[Part]:
        """The parts of a bounded view; nothing is left out of it, and nothing served twice.

        Raises:
            InvalidArgument: No layer holds some element of it.
        """
        if 0 in view.input_shape:
            return []
        spans = [_span(item, view) for item in view.maps]
        firsts = [bisect_right(e, s[0]) - 1 for e, s in zip(self._edges, spans, strict=True)]
        lasts = [bisect_left(e, s[1] + 1) for e, s in zip(self._edges, spans, strict=True)]
        edges = [
            edge[first : last + 1]
            for edge, first, last in zip(self._edges, firsts, lasts, strict=True)
        ]
        owners = self._owners(edges)
        if _is_grid(view):
            return list(self._grid_parts(view, edges, owners))
        return list(self._point_parts(view, edges, owners))

    def _owners(self, edges: list[list[int]]) -> npt.NDArray[np.int64]:
        """The layer of each cell, -1 where there is none."""
        owners = np.full([len(each) - 1 for each in edges], -1, np.int64)
        for number, layer in enumerate(self.layers):
            box = tuple(
                slice(bisect_left(edge, low), bisect_left(edge, high))
                for edge, low, high in zip(
                    edges, layer.inclusive_min, layer.exclusive_max, strict=True
                )
            )
            owners[box] = number
        return owners

    def _grid_parts(
        self, view: IndexTransform, edges: list[list[int]], owners: npt.NDArray[np.int64]
    ) -> Iterator[Part]:
        for low, high in _boxes(owners):
            where: list[Selection] = [
                slice(a, b)
                for a, b in zip(view.input_inclusive_min, view.input_exclusive_max, strict=True)
            ]
            empty = False
            for out, item in enumerate(view.maps):
                bounds = edges[out][low[out]], edges[out][high[out]]
                dim, inside = _inside(item, view, bounds)
                empty = empty or inside is None
                if dim is not None and inside is not None:
                    where[dim] = inside
            if empty:
                continue
            owner = int(owners[low])
            if owner < 0:
                raise _hole([edge[at] for edge, at in zip(edges, low, strict=True)])
            yield _part(view, owner, where)

    def _point_parts(
        self, view: IndexTransform, edges: list[list[int]], owners: npt.NDArray[np.int64]
    ) -> Iterator[Part]:
        cells = [
            np.searchsorted(edge, points, side="right") - 1
            for edge, points in zip(edges, point_indices(view), strict=True)
        ]
        found = np.broadcast_to(owners[tuple(cells)], tuple(view.input_shape))
        if (found < 0).any():
            at = np.argwhere(found < 0)[0]
            full = [np.broadcast_to(each, found.shape)[tuple(at)] for each in cells]
            raise _hole([edge[cell] for edge, cell in zip(edges, full, strict=True)])
        for owner in np.unique(found).tolist():
            place = np.nonzero(found == owner)
            where = tuple(
                each + low for each, low in zip(place, view.input_inclusive_min, strict=True)
            )
            if view.input_rank:
                yield Part(owner, view.vindex[where], place)
            else:
                yield Part(owner, view, (), whole=True)


def _hole(origin: Sequence[int]) -> InvalidArgument:
    where = ", ".join(map(str, origin))
    return InvalidArgument(
        f'Cell with origin={{{where}}} missing layer mapping in "stack" driver; give a layer that '
        "holds it, or a view that leaves it out"
    )


def _part(view: IndexTransform, owner: int, where: list[Selection]) -> Part:
    origin, shape = view.input_inclusive_min, tuple(view.input_shape)
    places: list[Selection] = []
    for low, each in zip(origin, where, strict=True):
        moved = slice(each.start - low, each.stop - low) if isinstance(each, slice) else each - low
        places.append(moved)
    if all(map(_is, places)):
        if places == [slice(0, size) for size in shape]:
            return Part(owner, view, tuple(places), whole=True)
        return Part(owner, view[tuple(where)], tuple(places))
    full = [
        np.arange(each.start, each.stop) if isinstance(each, slice) else each for each in places
    ]
    return Part(owner, view.oindex[tuple(where)], np.ix_(*full))


def _is(selection: Selection) -> bool:
    return isinstance(selection, slice)


def _varying(item: OutputIndexMap) -> list[int]:
    """The input dimensions that a map follows."""
    if item.index_array is not None:
        return [dim for dim, size in enumerate(item.index_array.shape) if size != 1]
    return [] if item.input_dimension is None else [item.input_dimension]


def _is_grid(view: IndexTransform) -> bool:
    """Whether no input dimension counts for two output dimensions, nor two for one."""
    followed = [_varying(item) for item in view.maps]
    single = [dims[0] for dims in followed if dims]
    return all(len(dims) <= 1 for dims in followed) and len(set(single)) == len(single)


def _span(item: OutputIndexMap, view: IndexTransform) -> tuple[int, int]:
    """The least and the greatest index of one map."""
    stride, dim = item.stride or 0, item.input_dimension
    ends = [item.offset]
    if dim is not None:
        low, high = view.input_inclusive_min[dim], view.input_exclusive_max[dim]
        ends = [item.offset + stride * low, item.offset + stride * (high - 1)]
    elif item.index_array is not None:
        low, high = int(item.index_array.min()), int(item.index_array.max())
        ends = [item.offset + stride * low, item.offset + stride * high]
    return min(ends), max(ends)


def _inside(
    item: OutputIndexMap, view: IndexTransform, bounds: tuple[int, int]
) -> tuple[int | None, Selection | None]:
    """The input dimension of a map, and its indices that lead into `bounds`, None without any."""
    stride, dims = item.stride or 0, _varying(item)
    if not dims:
        low, high = _span(item, view)
        return None, slice(0, 1) if bounds[0] <= low and high < bounds[1] else None
    dim = dims[0]
    first, end = view.input_inclusive_min[dim], view.input_exclusive_max[dim]
    if item.index_array is None:
        low, high = affine_domain(*bounds, item.offset, stride)
        low, high = max(low, first), min(high, end)
        return dim, slice(low, high) if low < high else None
    values = item.offset + stride * item.index_array.ravel()
    (found,) = np.nonzero((bounds[0] <= values) & (values < bounds[1]))
    return dim, found + first if len(found) else None


def _boxes(
    owners: npt.NDArray[np.int64],
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Boxes of cells with one owner, as large as they grow from their first cell on."""
    left = np.ones(owners.shape, np.bool_)
    for at in np.ndindex(*owners.shape):
        if not left[at]:
            continue
        owner = owners[at]
        high = [each + 1 for each in at]
        for dim in reversed(range(owners.ndim)):
            while high[dim] < owners.shape[dim]:
                face = tuple(
                    slice(high[d], high[d] + 1) if d == dim else slice(at[d], high[d])
                    for d in range(owners.ndim)
                )
                # Holes stay single, so that the error can name the cell.
                if owner < 0 or not (left[face] & (owners[face] == owner)).all():
                    break
                high[dim] += 1
        left[tuple(slice(a, b) for a, b in zip(at, high, strict=True))] = False
        yield at, tuple(high)
