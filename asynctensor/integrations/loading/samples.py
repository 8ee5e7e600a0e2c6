"""`Samples`: parts of arrays by number, of which many are read at once."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from asynctensor.chunked.destination import checked_output
from asynctensor.chunked.scratch import new_output
from asynctensor.errors import InvalidArgument, OutOfRange
from asynctensor.integrations.loading.arrays import Arrays, Dimension, cut, named, place_of
from asynctensor.integrations.loading.gathering import all_of
from asynctensor.integrations.loading.group import Values
from asynctensor.integrations.loading.order import Order
from asynctensor.integrations.loading.places import (
    Crops,
    Int64Array,
    Places,
    Windows,
    total,
)
from asynctensor.integrations.loading.warned import warn_of
from asynctensor.integrations.loading.whole_number import whole_numbers
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.tensorstore import TensorStore

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Part:
    """What samples are of one array.

    Attributes:
        array: Where it is read.
        dims: The dimensions along which it is cut up.
        shape: Of a sample of it.
    """

    array: TensorStore
    dims: tuple[int, ...]
    shape: tuple[int, ...]


class Samples:
    """Numbered parts of one or more arrays: rows, windows or crops.

    All samples of a batch are planned together: each chunk is fetched and decoded once, whatever
    many of them need it. Made by `rows`, `windows` or `crops`; pickles by the arrays' specs.
    """

    def __init__(
        self,
        arrays: Arrays,
        dims: Mapping[str, tuple[int, ...]],
        places: Places,
        *,
        squeezed: bool,
    ) -> None:
        self._arrays = arrays
        self.places = places
        self._dims, self._squeezed = dict(dims), squeezed
        self._parts = {
            name: _Part(array, dims[name], self._shape(array, dims[name]))
            for name, array in named(arrays).items()
        }
        self._warned = False
        self._lock = threading.Lock()

    # -- kinds ------------------------------------------------------------------------------

    @classmethod
    def rows(cls, arrays: Arrays, dim: Dimension = 0) -> Samples:
        """Sample ``i`` is what lies at the ``i``-th index of a dimension, without that dimension.

        Args:
            arrays: One array, or several by name, equally long along `dim`.
            dim: The dimension's number or label.

        Raises:
            InvalidArgument: There is no such dimension, or the lengths differ.
            IncompatibleType: These are no arrays.
        """
        dims, lengths = cut(arrays, [dim])
        return cls(arrays, dims, Windows(lengths, (1,), (1,)), squeezed=True)

    @classmethod
    def windows(
        cls,
        arrays: Arrays,
        size: Mapping[Dimension, int],
        step: Mapping[Dimension, int] | None = None,
    ) -> Samples:
        """Samples are windows at regular distances, numbered in C order of `size`'s dimensions.

        Args:
            arrays: One array, or several by name, equally long along those dimensions.
            size: Elements of a window along the dimensions that are cut up; all of any other.
            step: From one window to the next; where it says nothing, as much as `size`. What is
                left at the end, less than a window, belongs to no sample.

        Raises:
            InvalidArgument: There is no such dimension, the lengths differ, or a window is longer.
            IncompatibleType: These are no arrays.
        """
        dims, lengths = cut(arrays, list(size))
        steps = dict(step or {})
        if not steps.keys() <= size.keys():
            raise InvalidArgument(
                f"`step` may name the dimensions of `size`, {list(size)}, and names {list(steps)}"
            )
        distances = tuple(steps.get(dim, size[dim]) for dim in size)
        return cls(arrays, dims, Windows(lengths, tuple(size.values()), distances), squeezed=False)

    @classmethod
    def crops(
        cls, arrays: Arrays, size: Mapping[Dimension, int], count: int, seed: int = 0
    ) -> Samples:
        """Samples are crops at random corners, other ones in each epoch.

        Args:
            arrays: One array, or several by name, equally long along `size`'s dimensions.
            size: Elements of a crop along the dimensions that are cut up; all of any other.
            count: Crops in an epoch.
            seed: Of their corners: crop ``i`` of an epoch is the same whoever reads it.

        Raises:
            InvalidArgument: There is no such dimension, the lengths differ, or a crop is longer.
            IncompatibleType: These are no arrays.
        """
        dims, lengths = cut(arrays, list(size))
        return cls(arrays, dims, Crops(lengths, tuple(size.values()), count, seed), squeezed=False)

    def _shape(self, array: TensorStore, dims: tuple[int, ...]) -> tuple[int, ...]:
        size = dict(zip(dims, self.places.size, strict=True))
        return tuple(
            size.get(dim, length)
            for dim, length in enumerate(array.shape)
            if not (self._squeezed and dim in size)
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (_made_again, (self._arrays, self._dims, self.places, self._squeezed))

    def __len__(self) -> int:
        return total(self.places)

    def __repr__(self) -> str:
        parts = ", ".join(
            f"{name + ': ' if name else ''}{part.array.dtype.name}{list(part.shape)}"
            for name, part in self._parts.items()
        )
        return f"Samples({len(self)} of {parts})"

    # -- what they are ----------------------------------------------------------------------

    @property
    def by_name(self) -> dict[str, TensorStore]:
        """The arrays; ``""`` is the name of a single one."""
        return {name: part.array for name, part in self._parts.items()}

    def of(self, arrays: Mapping[str, TensorStore]) -> Samples:
        """The same parts of other arrays of the same shapes, named as in `by_name`."""
        return Samples(
            arrays if self.named else arrays[""], self._dims, self.places, squeezed=self._squeezed
        )

    @property
    def named(self) -> bool:
        """Whether a batch is an array for each name; otherwise it is an array."""
        return not isinstance(self._arrays, TensorStore)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of a sample, by the arrays' names; ``""`` is the name of a single one."""
        return {name: part.shape for name, part in self._parts.items()}

    @property
    def dtypes(self) -> dict[str, np.dtype[Any]]:
        """The data type of a sample, by the arrays' names."""
        return {name: part.array.dtype.numpy_dtype for name, part in self._parts.items()}

    @property
    def nbytes(self) -> int:
        """Bytes of one sample."""
        dtypes = self.dtypes
        return sum(math.prod(shape) * dtypes[name].itemsize for name, shape in self.shapes.items())

    def order(self, *, shuffle: bool, seed: int = 0, window: int | None = None) -> Order:
        """An order in which to visit them.

        Args:
            shuffle: By blocks of chunks; otherwise as they are numbered. Crops are at random
                corners anyhow.
            seed: Of the shuffle.
            window: How many samples are shuffled among each other at least; None: those of 16
                blocks.

        Raises:
            InvalidArgument: `window` is less than 1.
        """
        block = self.places.blocks(self._chunk())
        if window is None:
            window = 16 * math.prod(block)
        return Order(self.places.counts, block, window, shuffle, seed)

    @property
    def share_chunks(self) -> bool:
        """Whether reading several at once saves decoding chunks several times."""
        return self.places.shares(self._chunk())

    def _chunk(self) -> list[int]:
        """Elements of a chunk along the cut dimensions: of several arrays, the most."""
        found = [1] * len(self.places.size)
        for part in self._parts.values():
            chunk = part.array.chunk_layout.read_chunk.shape
            for axis, dim in enumerate(part.dims):
                edge = None if chunk is None else chunk[dim]
                found[axis] = max(found[axis], edge or 1)
        return found

    @property
    def identity(self) -> str:
        """What tells these samples from those of other data or another form, in 32 characters.

        It rests on the arrays' places (of a repository, the snapshot), data types, lengths and
        stored metadata; not on what is in the chunks.
        """
        said: dict[str, Any] = {"places": self.places.described()}
        for name, part in self._parts.items():
            said[f"array {name}"] = [
                place_of(part.array), part.array.dtype.name, list(part.array.domain.shape),
                list(part.array.domain.origin), list(part.dims),
            ]  # fmt: skip
        text = json.dumps(said, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @property
    def are_regions(self) -> bool:
        """Whether each is read as a region by itself, windows and crops, and not as a row."""
        return not self._squeezed

    # -- reading ----------------------------------------------------------------------------

    def read(
        self,
        numbers: Sequence[int] | Int64Array,
        *,
        epoch: int = 0,
        out: Array | Mapping[str, Array] | None = None,
        warn: bool = True,
    ) -> Future[Values]:
        """Reads a batch.

        Args:
            numbers: Of the samples, from 0; any may come more than once.
            epoch: Of crops.
            out: The array, or the arrays by name, to fill: of shape ``(samples, ...)``.
            warn: Warn once (`AmplificationWarning`) if it decodes many times what it returns.

        Returns:
            Future of an array of shape ``(samples, ...)``, or of one for each name. If an array
            cannot be read, the rest is cancelled. A cancelled read leaves nothing behind.

        Raises:
            OutOfRange: There is no such sample.
            IncompatibleType: Something else than whole numbers is given.
            InvalidArgument: `out` does not fit.
        """
        return self.read_several([numbers], epoch=epoch, outs=[out], warn=warn)[0]

    def read_several(
        self,
        batches: Sequence[Sequence[int] | Int64Array],
        *,
        epoch: int = 0,
        outs: Sequence[Array | Mapping[str, Array] | None] | None = None,
        warn: bool = True,
    ) -> list[Future[Values]]:
        """Reads several batches, planned together: chunks that they share are decoded once.

        Args:
            batches: The numbers of the samples of each.
            epoch: Of crops.
            outs: For each batch what `read` takes as `out`; None: for none of them.
            warn: As for `read`.

        Returns:
            A Future for each batch, as of `read`: they come one after the other, and an error of
            one is not another's. Of samples that are regions (windows and crops); rows in several
            batches are better read as one, in ascending order.

        Raises:
            OutOfRange: As for `read`, as the following.
            IncompatibleType: Something else than whole numbers is given.
            InvalidArgument: An output does not fit.
        """
        corners = [self.places.corners(self._checked(numbers), epoch) for numbers in batches]
        if warn and corners:
            self._warn(np.concatenate(corners))
        found = [
            self._places(len(each), out)
            for each, out in zip(corners, outs or [None] * len(corners), strict=True)
        ]
        futures: list[list[Future[Array]]] = []
        with Batch() as batch:
            for each, places in zip(corners, found, strict=True):
                futures.append([])
                for name, part in self._parts.items():
                    futures[-1] += self._begun(part, each, places[name], batch)
        return [
            start(_filled, parts, places if self.named else places[""])
            for parts, places in zip(futures, found, strict=True)
        ]

    def _checked(self, numbers: Sequence[int] | Int64Array) -> Int64Array:
        chosen = whole_numbers(numbers)
        if chosen.size and not (chosen.min() >= 0 and chosen.max() < len(self)):
            wrong = chosen[(chosen < 0) | (chosen >= len(self))][0]
            raise OutOfRange(f"there is no sample {wrong}: there are {len(self)}, from 0")
        return chosen

    def _places(self, count: int, out: Array | Mapping[str, Array] | None) -> dict[str, Array]:
        """Where a batch of so many samples is read to, by the arrays' names."""
        return {
            name: checked_output(place, (count, *part.shape), part.array.dtype.numpy_dtype)
            for (name, part), place in zip(
                self._parts.items(), self._outputs(count, out), strict=True
            )
        }

    def _outputs(self, count: int, out: Array | Mapping[str, Array] | None) -> list[Array]:
        if out is None:
            dtypes = self.dtypes
            return [
                new_output((count, *shape), dtypes[name]) for name, shape in self.shapes.items()
            ]
        given = out if isinstance(out, Mapping) else {"": out}
        if given.keys() != self._parts.keys():
            raise InvalidArgument(
                f"`out` has arrays for {sorted(given)}, and there are {sorted(self._parts)}"
            )
        return [given[name] for name in self._parts]

    def _begun(
        self, part: _Part, corners: Int64Array, place: Array, batch: Batch
    ) -> list[Future[Array]]:
        if not len(corners):
            return []
        origin = part.array.domain.origin
        if self._squeezed:
            (dim,) = part.dims
            rows = corners[:, 0] + origin[dim]
            whole = (slice(None),) * dim
            if len(rows) == 1 or (np.diff(rows) == 1).all():
                view = part.array[(*whole, slice(int(rows[0]), int(rows[-1]) + 1))]
            else:
                view = part.array.oindex[(*whole, rows)]
            rest = [each for each in range(part.array.rank) if each != dim]
            if dim:
                view = view.transpose([dim, *rest])
            return [view.read(out=place, batch=batch)]
        futures = []
        for number, corner in enumerate(corners.tolist()):
            box = [slice(None)] * part.array.rank
            for dim, low, size in zip(part.dims, corner, self.places.size, strict=True):
                box[dim] = slice(low + origin[dim], low + origin[dim] + size)
            futures.append(part.array[tuple(box)].read(out=place[number, ...], batch=batch))
        return futures

    def _warn(self, corners: Int64Array) -> None:
        with self._lock:
            if self._warned or not len(corners):
                return
            self._warned = True
        for name, part in self._parts.items():
            warn_of(name, part.array, part.dims, part.shape, corners, self.places.size)


def _made_again(
    arrays: Arrays, dims: Mapping[str, tuple[int, ...]], places: Places, squeezed: bool
) -> Samples:
    return Samples(arrays, dims, places, squeezed=squeezed)


async def _filled(futures: list[Future[Array]], values: Values) -> Values:
    """`values`, once all that fills them is done."""
    await all_of(futures)
    return values
