"""Dask: arrays read by tasks, and whole jobs that write in one commit."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeAlias

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.base import tokenize

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.integrations.distributing.block import unmasked
from asynctensor.integrations.distributing.target import Target, gather
from asynctensor.integrations.pinning import pinned
from asynctensor.storage.shared_transaction import Receipt
from asynctensor.tensorstore import TensorStore

__all__ = ["Target", "gather", "store", "to_dask"]

Array: TypeAlias = npt.NDArray[Any]


class _Source:
    """What the tasks of a Dask array read from: an array, from index 0."""

    def __init__(self, array: TensorStore) -> None:
        self.array = array.translate_to[0] if array.rank else array
        self.shape, self.ndim = tuple(array.shape), array.rank
        self.dtype = array.dtype.numpy_dtype

    def __dask_tokenize__(self) -> tuple[object, ...]:
        version = self.array._driver.version()
        return type(self).__qualname__, repr(self.array.spec().to_json()), version

    def __getitem__(self, key: Any) -> Array:
        if all(isinstance(each, (slice, int, np.integer)) for each in key):
            return self.array[key].read().result()
        return self.array.oindex[key].read().result()


class _Read(da.Array):
    """A Dask array that reads a view: what a list selects of it is all that is read.

    Dask itself would read whole chunks, and select then.
    """

    _source: _Source

    def __getitem__(self, index: Any) -> Any:
        selected = _one_list(index, self.shape)
        if selected is None:
            return super().__getitem__(index)
        dim, numbers, rest = selected
        view = self._source.array.oindex[(*[slice(None)] * dim, numbers)]
        edge = max(1, self.chunks[dim][0])
        whole, left = divmod(len(numbers), edge)
        along = (*[edge] * whole, *([left] if left or not whole else []))
        chunks = (*self.chunks[:dim], along, *self.chunks[dim + 1 :])
        return da.Array.__getitem__(_read(_Source(view), chunks), rest)


def _one_list(
    index: Any, shape: tuple[int, ...]
) -> tuple[int, npt.NDArray[np.int64], tuple[Any, ...]] | None:
    """The dimension of which a list selects, what, and the rest of the index.

    None where there is no list, or more than one, or something else than slices and numbers.
    """
    terms = index if isinstance(index, tuple) else (index,)
    lists = [dim for dim, term in enumerate(terms) if isinstance(term, (list, np.ndarray))]
    plain = (slice, int, np.integer)
    if len(lists) != 1 or len(terms) > len(shape):
        return None
    (dim,) = lists
    numbers = np.asarray(terms[dim])
    if not all(isinstance(each, plain) for i, each in enumerate(terms) if i != dim):
        return None
    size = shape[dim]
    if numbers.dtype == np.bool_ and numbers.shape == (size,):
        numbers = np.flatnonzero(numbers)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or not numbers.size:
        return None
    if numbers.min() < -size or numbers.max() >= size:
        return None
    positions = np.where(numbers < 0, numbers + size, numbers).astype(np.int64)
    return dim, positions, (*terms[:dim], slice(None), *terms[dim + 1 :])


def to_dask(array: TensorStore, chunks: Any = None) -> da.Array:
    """A Dask array that reads a view.

    Arrays of repositories are read as they are now, whatever is committed meanwhile. Its name is
    the same for the same view of the same snapshot, so that Dask finds again what it has computed;
    that of an array of no repository, as long as its metadata are. Of ``to_dask(array)[[3, 17]]``
    what the list selects is read, and nothing else; where a list follows other operations, or there
    are several, select before: ``to_dask(array.oindex[[3, 17], [5, 6]])``.

    Args:
        array: Any view. Its tasks open it again by its spec.
        chunks: Of the Dask array, as `dask.array.from_array` takes them; None: those that are
            written at once (shards, where there are any).

    Raises:
        IncompatibleType: This is no opened array, or it is in a transaction.
        NotFound: It is on a branch without commits.
    """
    if not isinstance(array, TensorStore):
        raise IncompatibleType(f"expected an opened array, got {type(array).__name__}")
    if array.transaction is not None:
        raise IncompatibleType(
            "the array is in a transaction, which other processes do not see; open it without"
        )
    source = _Source(pinned(array).result())
    return _read(source, _grid(array) if chunks is None else chunks)


def _read(source: _Source, chunks: Any) -> _Read:
    name = "asynctensor-" + tokenize(source, chunks)
    made = da.from_array(source, chunks=chunks, name=name, asarray=False, inline_array=True)
    found = _Read(made.dask, made.name, made.chunks, dtype=made.dtype, meta=made._meta)
    found._source = source
    return found


def _grid(array: TensorStore) -> tuple[tuple[int, ...], ...]:
    """The edges of the chunks that are written at once, those at the ends cut off."""
    layout = array.chunk_layout
    edges = layout.write_chunk.shape or (None,) * array.rank
    starts = layout.grid_origin or (None,) * array.rank
    found: list[tuple[int, ...]] = []
    for size, origin, edge, start in zip(
        array.shape, array.domain.origin, edges, starts, strict=True
    ):
        if not edge or size == 0:
            found.append((size,))
            continue
        first = min(size, edge - (origin - (start or 0)) % edge)
        rest = size - first
        found.append((first, *[edge] * (rest // edge), *([rest % edge] if rest % edge else [])))
    return tuple(found)


def store(
    sources: da.Array | Sequence[da.Array],
    targets: TensorStore | Sequence[TensorStore],
    **options: Any,
) -> None:
    """Computes Dask arrays and writes them to arrays, whatever their chunks are.

    Targets in a transaction get a part of it from each task, and it commits them all at once::

        with repository.transaction(message="nightly") as txn:
            store([a, b], [x.with_transaction(txn), y.with_transaction(txn)])

    Tasks that are run again count once; a job that fails leaves nothing visible. Other targets are
    written as the tasks come, each chunk as a whole: tasks that share one lose nothing.

    Args:
        sources: What is computed.
        targets: Where it goes, an array of the same shape for each.
        options: For `dask.compute`: ``scheduler=`` and the like.

    Raises:
        InvalidArgument: Shapes or numbers do not fit, or those of a block are not what Dask says.
        IncompatibleType: A target is no opened array, elements would lose something in it, or are
            masked: `dask.array.ma.filled` says what is stored for them.
        FailedPrecondition: The transaction is over.
        Error: What a task raised; of targets in no transaction, some chunks may be written.
    """
    several = [sources] if isinstance(sources, da.Array) else list(sources)
    into = [targets] if isinstance(targets, TensorStore) else list(targets)
    if len(several) != len(into):
        raise InvalidArgument(f"{len(several)} arrays cannot be stored in {len(into)}")
    for source, target in zip(several, into, strict=True):
        _check(source, target)
    tasks = []
    for source, target in zip(several, into, strict=True):
        shared = Target.of(target) if target.transaction is not None else None
        blocks = source.to_delayed().ravel()
        for block, region in zip(blocks, _regions(source), strict=True):
            tasks.append(_written(shared or _Plain(target), region, block))
    receipts = dask.compute(*tasks, **options)
    transactions = [target.transaction for target in into]
    for transaction in dict.fromkeys(each for each in transactions if each is not None):
        token = transaction.share()
        transaction.add_many(
            each for each in receipts if each is not None and each.transaction == token.id
        )


def _check(source: Any, target: Any) -> None:
    if not isinstance(source, da.Array) or not isinstance(target, TensorStore):
        raise IncompatibleType(
            f"expected a Dask array and an opened array, got {type(source).__name__} and "
            f"{type(target).__name__}"
        )
    if any(size != size for size in source.shape):  # noqa: PLR0124 -- NaN
        raise InvalidArgument(
            f"the shape {source.shape} is not known before it is computed: "
            "source.compute_chunk_sizes()"
        )
    if isinstance(source._meta, np.ma.MaskedArray):
        raise IncompatibleType(
            "an array has no mask; say what is stored for what is masked: "
            "dask.array.ma.filled(source, x)"
        )
    if source.shape != tuple(target.shape):
        raise InvalidArgument(
            f"an array of shape {source.shape} cannot be stored in one of {tuple(target.shape)}"
        )
    if not np.can_cast(source.dtype, target.dtype.numpy_dtype, "safe"):
        raise IncompatibleType(
            f"elements of {source.dtype} would lose something as {target.dtype.name}; convert "
            f"them first: source.astype({target.dtype.name!r})"
        )


def _regions(source: da.Array) -> list[tuple[slice, ...]]:
    """Where each block lies, in C order."""
    edges = []
    for sizes in source.chunks:
        ends = list(itertools.accumulate(sizes))
        edges.append([slice(end - size, end) for size, end in zip(sizes, ends, strict=True)])
    return list(itertools.product(*edges))


class _Plain:
    """An array in no transaction, as tasks write to it."""

    def __init__(self, array: TensorStore) -> None:
        self._array = array.translate_to[0] if array.rank else array

    def write(self, region: tuple[slice, ...], values: Any) -> None:
        """Writes a region."""
        self._array[region].write(unmasked(values, _named(region))).result()


def _named(region: tuple[slice, ...]) -> str:
    return f"block [{', '.join(f'{part.start}:{part.stop}' for part in region)}]"


@dask.delayed
def _written(target: Target | _Plain, region: tuple[slice, ...], block: Any) -> Receipt | None:
    expected = tuple(part.stop - part.start for part in region)
    try:
        found = block if isinstance(block, np.ndarray) else np.asarray(block)
    except (TypeError, RuntimeError) as error:
        raise IncompatibleType(
            f"{_named(region)} is no array of NumPy, nor gives one: {error}"
        ) from error
    if found.shape != expected:
        raise InvalidArgument(
            f"{_named(region)} has the shape {found.shape}, and not {expected}, as Dask says; "
            "map_blocks(..., chunks=) tells it what functions return"
        )
    return target.write(region, found)
