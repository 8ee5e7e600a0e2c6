"""`ModelArray`: what an array should hold, as a NumPy array, and random views of both."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.tensorstore import TensorStore


@dataclass(slots=True)
class View:
    """A view of the array under test, and where its elements are in the model.

    Attributes:
        store: The view.
        places: Flat numbers of its elements in the model, of the view's shape; none twice.
        model: The model.
        steps: How it was made, for messages.
    """

    store: TensorStore
    places: Array
    model: ModelArray
    steps: list[str]

    @property
    def expected(self) -> Array:
        """What a read of the view should give."""
        found: Array = self.model.data.reshape(-1)[self.places]
        return found


class ModelArray:
    """A NumPy array that is changed as the array under test is.

    Args:
        store: The array under test, or any view with its shape and data type.
        fill_value: What it holds at first.
        chunk_shape: What is kept or deleted as one when it is resized.
    """

    def __init__(self, store: TensorStore, fill_value: Any, chunk_shape: Sequence[int]) -> None:
        self.fill_value = fill_value
        self.chunk_shape = tuple(chunk_shape)
        self.data: Array = np.full(store.shape, fill_value, store.dtype.numpy_dtype)

    async def load(self, store: TensorStore) -> None:
        """Takes over what the array holds."""
        self.data = await store.read()

    async def resized(self, store: TensorStore) -> None:
        """Takes over the shape of the array, and checks what it holds now.

        What was kept is still there, and chunks that are new are all fill value. An element that
        comes back with a chunk that was kept in part is either what it was or the fill value.
        """
        self.take_resized(await store.read())

    def take_resized(self, found: Array) -> None:
        """The same, for elements that were read already."""
        old = self.data
        kept = tuple(slice(0, min(a, b)) for a, b in zip(old.shape, found.shape, strict=True))
        assert (found[kept] == old[kept]).all(), "resizing changed what it should have kept"
        fresh = np.zeros(found.shape, np.bool_)
        for dim, (size, chunk) in enumerate(zip(old.shape, self.chunk_shape, strict=True)):
            first = -(-size // chunk) * chunk
            fresh[(slice(None),) * dim + (slice(first, None),)] = True
        assert (found[fresh] == self.fill_value).all(), "a new chunk is not all fill value"
        self.data = found

    def assign(self, view: View, chance: random.Random) -> Array:
        """New elements for a view, put into the model."""
        kind = self.data.dtype
        if chance.random() < 0.15:
            source = np.full(view.places.shape, self.fill_value, kind)
        else:
            numbers = np.random.default_rng(chance.randrange(2**32))
            source = numbers.integers(0, 100, view.places.shape).astype(kind)
        self.data.reshape(-1)[view.places] = source
        return source

    def _all(self, store: TensorStore) -> View:
        places = np.arange(self.data.size).reshape(self.data.shape)
        return View(store, places, self, [])

    def view(self, store: TensorStore, chance: random.Random) -> View:
        """A random view: up to three indexing operations, one upon the other."""
        view = self._all(store)
        for _ in range(chance.randint(0, 3)):
            view = chance.choice(_STEPS)(view, chance)
        return view

    def disjoint_views(self, store: TensorStore, chance: random.Random) -> list[View]:
        """Random views that have no element in common: slabs of one dimension."""
        dim = chance.randrange(store.rank)
        size = self.data.shape[dim]
        cuts = sorted({0, size, *(chance.randint(0, size) for _ in range(3))})
        whole = self._all(store)
        return [_sliced(whole, {dim: slice(low, high)}) for low, high in itertools.pairwise(cuts)]

    def interleaved_views(self, store: TensorStore, count: int) -> list[View]:
        """Views that share every chunk, and no element: every `count`-th, of the flat order."""
        whole = self._all(store)
        if not self.data.ndim:
            # One element cannot be shared out.
            return [whole]
        points = np.unravel_index(whole.places, self.data.shape)
        views = []
        for first in range(count):
            chosen = tuple(p.reshape(-1)[first::count] for p in points)
            view = store.vindex[chosen]
            views.append(View(view, whole.places[chosen], self, [f"every {count}th"]))
        return views


def _sliced(view: View, slices: dict[int, slice]) -> View:
    """Slices given from 0 on, whatever the origin of the view."""
    origin = view.store.origin
    terms: list[slice] = []
    for dim in range(view.store.rank):
        s = slices.get(dim, slice(None))
        start = None if s.start is None else s.start + origin[dim]
        stop = None if s.stop is None else s.stop + origin[dim]
        terms.append(slice(start, stop, s.step))
    key = tuple(terms)
    local = tuple(slices.get(dim, slice(None)) for dim in range(view.store.rank))
    return View(view.store[key], view.places[local], view.model, [*view.steps, f"{key}"])


def _slice_step(view: View, chance: random.Random) -> View:
    slices = {}
    for dim, size in enumerate(view.places.shape):
        if not size or chance.random() < 0.3:
            continue
        step = chance.choice([1, 1, 1, 2, 3, -1, -2])
        low = chance.randint(0, size - 1)
        high = chance.randint(low + 1, size)
        if step > 0:
            slices[dim] = slice(low, high, step)
        else:
            slices[dim] = slice(high - 1, low - 1 if low else None, step)
    return _sliced(view, slices)


def _integer_step(view: View, chance: random.Random) -> View:
    dims = [dim for dim, size in enumerate(view.places.shape) if size]
    if not dims:
        return view
    dim = chance.choice(dims)
    index = chance.randrange(view.places.shape[dim])
    key = (slice(None),) * dim + (index + view.store.origin[dim],)
    places = view.places[(slice(None),) * dim + (index,)]
    return View(view.store[key], places, view.model, [*view.steps, f"{key}"])


def _newaxis_step(view: View, chance: random.Random) -> View:
    if view.store.rank > 6:
        return view
    key = (slice(None),) * chance.randint(0, view.store.rank) + (None,)
    return View(view.store[key], view.places[key], view.model, [*view.steps, f"{key}"])


def _translate_step(view: View, chance: random.Random) -> View:
    by = tuple(chance.randint(-20, 20) for _ in range(view.store.rank))
    store = view.store.translate_by[by]
    return View(store, view.places, view.model, [*view.steps, f"translate_by {by}"])


def _transpose_step(view: View, chance: random.Random) -> View:
    axes = list(range(view.store.rank))
    chance.shuffle(axes)
    store = view.store.transpose(axes)
    return View(store, view.places.transpose(axes), view.model, [*view.steps, f"{axes}"])


def _chosen(size: int, chance: random.Random) -> list[int]:
    return chance.sample(range(size), chance.randint(0 if size == 0 else 1, size))


def _oindex_step(view: View, chance: random.Random) -> View:
    key: list[Any] = []
    places = view.places
    for dim, size in enumerate(view.places.shape):
        if size == 0 or chance.random() < 0.5:
            key.append(slice(None))
            continue
        chosen = _chosen(size, chance)
        if view.store.origin[dim] == 0 and chance.random() < 0.3:
            mask = np.zeros(size, np.bool_)
            mask[chosen] = True
            chosen = sorted(chosen)
            key.append(mask)
        else:
            key.append([c + view.store.origin[dim] for c in chosen])
        places = places.take(chosen, axis=dim)
    return View(view.store.oindex[tuple(key)], places, view.model, [*view.steps, f"o{key}"])


def _points(
    view: View, dims: Sequence[int], chance: random.Random
) -> tuple[list[Array], list[Array]]:
    """Distinct points of some dimensions: indices from 0, and indices in the domain."""
    sizes = [view.places.shape[dim] for dim in dims]
    total = int(np.prod(sizes))
    flat = np.array(chance.sample(range(total), chance.randint(1, min(total, 40))))
    if len(flat) % 2 == 0:
        flat = flat.reshape(2, -1)
    local = [np.asarray(p) for p in np.unravel_index(flat, sizes)]
    return local, [p + view.store.origin[dim] for p, dim in zip(local, dims, strict=True)]


def _vindex_step(view: View, chance: random.Random) -> View:
    dims = [dim for dim, size in enumerate(view.places.shape) if size]
    dims = sorted(chance.sample(dims, min(len(dims), chance.randint(1, 3))))
    if not dims:
        return view
    local, points = _points(view, dims, chance)
    key: list[Any] = [slice(None)] * view.store.rank
    for dim, p in zip(dims, points, strict=True):
        key[dim] = p
    first = np.moveaxis(view.places, dims, range(len(dims)))
    places = first[tuple(local)]
    return View(view.store.vindex[tuple(key)], places, view.model, [*view.steps, f"v{key}"])


def _array_step(view: View, chance: random.Random) -> View:
    """Index arrays in plain brackets, whose dimensions NumPy puts where they stood, if it can."""
    dims = [dim for dim, size in enumerate(view.places.shape) if size]
    dims = sorted(chance.sample(dims, min(len(dims), chance.randint(1, 2))))
    if not dims:
        return view
    local, points = _points(view, dims, chance)
    key: list[Any] = [slice(None)] * view.store.rank
    model_key: list[Any] = list(key)
    for dim, p, q in zip(dims, points, local, strict=True):
        key[dim], model_key[dim] = p, q
    places = view.places[tuple(model_key)]
    return View(view.store[tuple(key)], places, view.model, [*view.steps, f"{key}"])


def _mask_step(view: View, chance: random.Random) -> View:
    if any(view.store.origin) or not view.places.size:
        return view
    numbers = np.random.default_rng(chance.randrange(2**32))
    mask = numbers.random(view.places.shape) < 0.3
    return View(view.store[mask], view.places[mask], view.model, [*view.steps, "mask"])


_STEPS: Sequence[Callable[[View, random.Random], View]] = (
    _slice_step, _slice_step, _integer_step, _newaxis_step, _translate_step, _transpose_step,
    _oindex_step, _vindex_step, _array_step, _mask_step,
)  # fmt: skip
