"""Copying one array into another, piece by piece, in bounded memory."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from asynctensor.chunked.array_driver import ProgressFunction
from asynctensor.chunked.pieces import Counter, PieceGrid, for_each, pieces_of
from asynctensor.copy_state import CopyState
from asynctensor.errors import Aborted, IncompatibleType, InvalidArgument
from asynctensor.index_space.alignment import align_to
from asynctensor.kvstore import KvStore
from asynctensor.runtime.clock import SYSTEM_CLOCK, Clock
from asynctensor.runtime.future import Future
from asynctensor.runtime.seen_through import seen_through
from asynctensor.schema.conversion import can_convert, is_lossless
from asynctensor.storage.generation import NO_VALUE

if TYPE_CHECKING:
    from asynctensor.tensorstore import TensorStore

#: Seconds between two times that the state of a copy is stored: what a crash may have to repeat.
_SAVE_SECONDS = 1.0


def copy(
    source: TensorStore,
    target: TensorStore,
    *,
    progress: ProgressFunction | None = None,
    resume: KvStore | os.PathLike[str] | None = None,
    timeout: float | None = None,
    deadline: float | None = None,
) -> Future[None]:
    """Copies an array into another, of any drivers and chunks; like ``target.write(source)``.

    Args:
        source: What is copied; its domain is aligned to the target's, and broadcast to it.
        target: Where to. Its data type must hold all values of the source's; for any other
            conversion, copy ``source.astype(...)``.
        progress: Told of the pieces done, and of how many there are; from a worker thread.
        resume: Where to keep how far it has come: a file, or the key that is a `KvStore`'s path.
            After a crash, a cancellation or an error, the same call goes on where it was: what is
            recorded there is stored durably. The record goes when the copy is complete.
        timeout: Seconds after which to give up.
        deadline: The same as a Unix time.

    Returns:
        Future that is done when all is stored (in a transaction: staged). It fails with what
        reading and writing raise; with `FailedPrecondition` if the record at `resume` is of
        another copy, `DataLoss` if it is damaged, and `Aborted` if somebody else is using it. A
        copy that fails or is cancelled has copied some pieces; none is being written any more.

    Raises:
        InvalidArgument: `resume` in a transaction, whose pieces are stored all at once.
        IncompatibleType: An argument is of the wrong type.
    """
    if resume is not None and target.transaction is not None:
        raise InvalidArgument(
            "a copy in a transaction cannot be resumed: nothing of it is stored before the commit"
        )
    place: KvStore | str | None = None
    if isinstance(resume, KvStore):
        place = resume
    elif isinstance(resume, os.PathLike):
        # Links in it may be meant to be followed anew.
        place = os.path.abspath(os.fspath(resume))  # noqa: PTH100
    elif resume is not None:
        raise IncompatibleType(f"resume must be a path or a KvStore, but is: {resume!r:.80}")
    return target._run(
        copy_view, source, target, progress, place, timeout=timeout, deadline=deadline
    )


async def copy_view(
    source: TensorStore,
    target: TensorStore,
    progress: ProgressFunction | None,
    resume: KvStore | str | None = None,
) -> None:
    """See `copy`; `resume` is a store, or the absolute path of a file.

    Raises:
        InvalidArgument: The domains do not fit.
        IncompatibleType: The data type cannot be converted without loss.
    """
    theirs, ours = source.dtype, target.dtype
    if not can_convert(theirs, ours):
        raise IncompatibleType(f"There is no conversion {theirs.name} -> {ours.name}")
    if not is_lossless(theirs, ours):
        raise IncompatibleType(
            f"Explicit data type conversion required to convert {theirs.name} -> {ours.name}: "
            f"write source.astype({ours.name!r})"
        )
    source, target = await source.resolve(), await target.resolve()
    if theirs != ours:
        source = source.astype(ours)
    grid = list_pieces(target)
    record = await _record(source, target, grid, resume)
    aligned = source[align_to(source.domain, target.domain)]
    state = CopyState("", grid.count) if record is None else record.state
    workers = target.context.resolve("data_copy_concurrency").value
    counter = Counter(progress, "copy", grid.count, workers, state.done)

    async def copied(number: int) -> None:
        piece = grid.piece(number)
        data = await aligned[piece].read()
        await target[piece].write(data)
        if record is not None:
            await record.add(number)
        await counter.count()

    try:
        # The numbers are made one by one, from the record as it was.
        await for_each(CopyState("", grid.count, state.ranges).left(), copied)
    except BaseException:
        if record is not None:
            await record.save()
        raise
    if record is not None:
        await record.remove()


async def _record(
    source: TensorStore,
    target: TensorStore,
    grid: PieceGrid,
    resume: KvStore | str | None,
) -> Record | None:
    if resume is None:
        return None
    if isinstance(resume, str):
        resume = await KvStore.open({"driver": "file", "path": resume})
    return await Record.opened(resume, _fingerprint(source, target, grid), grid.count)


def list_pieces(target: TensorStore) -> PieceGrid:
    """The pieces of `target`, along its write chunks."""
    itemsize = target.dtype.numpy_dtype.itemsize
    return pieces_of(target.domain, target.chunk_layout, itemsize, written=True)


def _fingerprint(source: TensorStore, target: TensorStore, grid: PieceGrid) -> str:
    """Tells this copy from others: arrays of other shapes, or made anew, and other pieces."""
    steps = [[line.start, line.stop, line.step] for line in grid.steps]
    versions = [str(store._driver.version()) for store in (source, target)]
    specs = [_named(_described(store)) for store in (source, target)]
    parts = [specs, versions, grid.lower, grid.upper, steps]
    # What is no JSON (functions, say) counts by its kind: it is another object after a crash.
    text = json.dumps(parts, sort_keys=True, default=lambda value: type(value).__name__)
    return hashlib.sha256(text.encode()).hexdigest()


def _described(store: TensorStore) -> Any:
    json, transform = store._driver.view_json(store._transform)
    return [json, transform.to_json()]


def _named(spec: Any) -> Any:
    """A spec without the elements of arrays in memory, which are too many to compare."""
    if isinstance(spec, dict):
        return {k: _named(v) for k, v in spec.items() if k != "array"}
    return [_named(each) for each in spec] if isinstance(spec, list) else spec


class Record:
    """The state of a copy, in a store; of all who would write it, one can."""

    def __init__(
        self, store: KvStore, state: CopyState, generation: bytes, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.state = state
        self._store, self._generation, self._clock = store, generation, clock
        self._saved_at, self._changed = clock.monotonic(), False
        self._lock = asyncio.Lock()

    @classmethod
    async def opened(cls, store: KvStore, fingerprint: str, count: int) -> Record:
        """What is stored, or a new one; from here on, who had it before cannot write it any more.

        Raises:
            DataLoss, FailedPrecondition: See `CopyState.decoded`.
            Aborted: Somebody else opened it at the same time.
        """
        found = await store.read("")
        state, generation = CopyState(fingerprint, count), NO_VALUE
        if found.state == "value":
            state = CopyState.decoded(found.value, fingerprint, count)
            generation = found.stamp.generation
        record = cls(store, state, generation)
        record._changed = True
        await record.save()
        return record

    async def add(self, number: int) -> None:
        """Says that a piece is stored; remembered in the store once a second."""
        self.state.add(number)
        self._changed = True
        if self._clock.monotonic() - self._saved_at >= _SAVE_SECONDS and not self._lock.locked():
            await self.save()

    async def save(self) -> None:
        """Stores it.

        Raises:
            Aborted: Somebody else has stored it since.
        """
        async with self._lock:
            if not self._changed:
                return
            self._changed = False
            self._saved_at = self._clock.monotonic()
            await self._replace(self.state.encoded())

    async def remove(self) -> None:
        """Deletes it.

        Raises:
            Aborted: Somebody else has stored it since.
        """
        async with self._lock:
            await self._replace(None)

    async def _replace(self, value: bytes | None) -> None:
        # Given up half way, it may be stored all the same, of a generation that nobody knows.
        await seen_through(self._replaced(value))

    async def _replaced(self, value: bytes | None) -> None:
        stamp = await self._store.write("", value, if_equal=self._generation)
        if not stamp.generation:
            raise Aborted("another copy uses the state given by resume=: let one of them end first")
        self._generation = stamp.generation
