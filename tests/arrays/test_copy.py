"""`copy`: any array into any other, with progress, and from where a crash left it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.chunked import pieces
from asynctensor.copy_state import CopyState
from asynctensor.copying import Record
from asynctensor.errors import (
    Aborted,
    DataLoss,
    FailedPrecondition,
    IncompatibleType,
    InvalidArgument,
)
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.testing.faulty_store import FaultyStore

SHAPE = (300, 250)
VALUES = np.arange(SHAPE[0] * SHAPE[1], dtype=np.int32).reshape(SHAPE)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", PIECE_BYTES)


async def target_at(path: Path) -> ts.TensorStore:
    return await ts.open(
        path,
        create=True,
        open=True,
        dtype=ts.float64,
        shape=SHAPE,
        chunk_layout=ts.ChunkLayout(chunk_shape=[50, 50]),
    )


PIECE_BYTES = 2**16


class Stopped(Exception):
    pass


def stop_after(pieces: int):  # noqa: ANN201
    def told(progress: ts.Progress) -> None:
        if progress.done >= pieces:
            raise Stopped

    return told


async def test_progress_knows_the_end(tmp_path: Path) -> None:
    target = await target_at(tmp_path / "a")
    seen = []
    await ts.copy(ts.array(VALUES), target, progress=seen.append)
    np.testing.assert_array_equal(await target.read(), VALUES)
    total = seen[0].total
    assert total > 4
    assert sorted(p.done for p in seen) == list(range(1, total + 1))
    assert {p.total for p in seen} == {total}


async def test_it_goes_on_where_it_failed(tmp_path: Path) -> None:
    target, record = await target_at(tmp_path / "a"), tmp_path / "record"
    with pytest.raises(Stopped):
        await ts.copy(ts.array(VALUES), target, progress=stop_after(3), resume=record)
    state = record.read_bytes()
    count = CopyState.decoded(state, *_identity(state)).done
    assert count >= 3
    seen = []
    await ts.copy(ts.array(VALUES), target, progress=seen.append, resume=record)
    assert seen[0].done == count + 1
    assert len(seen) == seen[0].total - count
    assert not record.exists()
    np.testing.assert_array_equal(await target.read(), VALUES)


def _identity(state: bytes) -> tuple[str, int]:
    import json

    found = json.loads(state)
    return found["copy"], found["pieces"]


async def test_what_is_recorded_is_stored(tmp_path: Path) -> None:
    """A record that was saved says nothing of pieces that a reader would not find."""
    target, record = await target_at(tmp_path / "a"), tmp_path / "record"
    with pytest.raises(Stopped):
        await ts.copy(ts.array(VALUES + 1), target, progress=stop_after(4), resume=record)
    state = record.read_bytes()
    done = CopyState.decoded(state, *_identity(state))
    left = set(done.left())
    from asynctensor.copying import list_pieces

    grid = list_pieces(target)
    again = await target_at(tmp_path / "a")
    for number in set(range(grid.count)) - left:
        piece = grid.piece(number)
        np.testing.assert_array_equal(await again[piece].read(), VALUES[piece] + 1)


async def test_a_cancelled_copy_goes_on(tmp_path: Path) -> None:
    target, record = await target_at(tmp_path / "a"), tmp_path / "record"
    reached, go_on = threading.Event(), threading.Event()

    def told(progress: ts.Progress) -> None:
        if progress.done >= 2:
            reached.set()
            go_on.wait()

    task = asyncio.create_task(ts.copy(ts.array(VALUES), target, resume=record, progress=told))
    await asyncio.to_thread(reached.wait)
    task.cancel()
    # It has been told of the cancellation when the I/O loop has come round.
    await start(asyncio.sleep, 0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert record.exists()
    await ts.copy(ts.array(VALUES), target, resume=record)
    np.testing.assert_array_equal(await target.read(), VALUES)


CRASH = """
import os, sys
import numpy as np
import asynctensor as ts
import asynctensor.copying
import asynctensor.chunked.pieces
asynctensor.copying._SAVE_SECONDS = 0.0
asynctensor.chunked.pieces.PIECE_BYTES = 2**16
values = np.load(sys.argv[1], mmap_mode="r")
target = ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": sys.argv[2]}}).result()
save = asynctensor.copying.Record.save
saved = 0
async def counted(self):
    global saved
    await save(self)
    saved += 1
    # The first of them knows of no piece yet.
    if saved == 3:
        os._exit(7)
asynctensor.copying.Record.save = counted
ts.copy(ts.array(values), target, resume=ts.KvStore.open(
    {"driver": "file", "path": sys.argv[3]}).result()).result()
"""


async def test_a_crash_repeats_little_and_skips_nothing(tmp_path: Path) -> None:
    np.save(tmp_path / "values.npy", VALUES)
    target = await target_at(tmp_path / "a")
    record = tmp_path / "record"
    command = [sys.executable, "-c", CRASH, str(tmp_path / "values.npy"), str(tmp_path / "a"),
               str(record)]  # fmt: skip
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    assert ended.returncode == 7, ended.stderr
    state = record.read_bytes()
    assert CopyState.decoded(state, *_identity(state)).done >= 1
    seen = []
    await ts.copy(ts.array(VALUES), target, progress=seen.append, resume=record)
    assert len(seen) < seen[0].total
    np.testing.assert_array_equal(await target.read(), VALUES)


async def test_records_of_other_copies_are_refused(tmp_path: Path) -> None:
    target, record = await target_at(tmp_path / "a"), tmp_path / "record"
    with pytest.raises(Stopped):
        await ts.copy(ts.array(VALUES), target, progress=stop_after(1), resume=record)
    other = await target_at(tmp_path / "b")
    with pytest.raises(FailedPrecondition, match="another copy"):
        await ts.copy(ts.array(VALUES), other, resume=record)
    with pytest.raises(FailedPrecondition, match="another copy"):
        await ts.copy(ts.array(VALUES)[:1], target, resume=record)
    # Made anew, it has nothing of what the record speaks of.
    again = await ts.open(target.spec(), create=True, delete_existing=True, open=False)
    with pytest.raises(FailedPrecondition, match="made anew"):
        await ts.copy(ts.array(VALUES), again, resume=record)
    record.write_bytes(b"{}")
    with pytest.raises(DataLoss):
        await ts.copy(ts.array(VALUES), target, resume=record)


async def test_two_cannot_use_one_record(tmp_path: Path) -> None:
    target, record = await target_at(tmp_path / "a"), tmp_path / "record"

    def meddle(progress: ts.Progress) -> None:
        if progress.done == 1:
            record.write_bytes(record.read_bytes() + b" ")

    with pytest.raises(Aborted, match="another copy uses"):
        await ts.copy(ts.array(VALUES), target, progress=meddle, resume=record)


async def test_a_piece_given_up_while_the_state_is_saved_spoils_no_later_save(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where another piece fails: what was saved then must not pass for somebody else's."""
    monkeypatch.setattr("asynctensor.copying._SAVE_SECONDS", 0.0)
    faulty = FaultyStore(MemoryStore())
    record = await Record.opened(ts.KvStore(faulty, "record"), "of this copy", 10)
    gate = faulty.hold("write", after=True)
    adding = asyncio.ensure_future(record.add(3))
    await gate.reached()
    adding.cancel()
    for _ in range(10):
        # Whatever the cancellation does, it does meanwhile.
        await start(asyncio.sleep, 0)
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await adding
    await record.add(5)
    stored = await start(faulty.base.read, "record")
    assert list(CopyState.decoded(stored.value, "of this copy", 10).left()) == [
        0, 1, 2, 4, 6, 7, 8, 9
    ]  # fmt: skip


async def test_records_lie_in_any_store(tmp_path: Path) -> None:
    target = await target_at(tmp_path / "a")
    place = await ts.KvStore.open("memory://records/first")
    with pytest.raises(Stopped):
        await ts.copy(ts.array(VALUES), target, progress=stop_after(2), resume=place)
    assert [key.decode() for key in await place.list()] == [""]
    await ts.copy(ts.array(VALUES), target, resume=place)
    assert await place.list() == []


async def test_bad_calls(tmp_path: Path) -> None:
    target = await target_at(tmp_path / "a")
    with pytest.raises(InvalidArgument, match="transaction"):
        staged = target.with_transaction(ts.Transaction(atomic=False))
        ts.copy(ts.array(VALUES), staged, resume=tmp_path / "record")
    with pytest.raises(IncompatibleType, match="resume"):
        ts.copy(ts.array(VALUES), target, resume=5)
    with pytest.raises(IncompatibleType, match=r"int64 -> float64.*astype"):
        await ts.copy(ts.array(VALUES.astype(np.int64)), target)
    with pytest.raises(InvalidArgument, match="aligning"):
        await ts.copy(ts.array(VALUES[:7]), target)


async def test_it_aligns_and_converts() -> None:
    target = ts.array(np.zeros((2, 3)))
    await ts.copy(ts.array(np.array([1, 2, 3], np.int8)), target)
    assert (await target.read()).tolist() == [[1, 2, 3]] * 2
    await ts.copy(ts.array([[7], [8]], dtype=ts.int64).astype(ts.float64), target)
    assert (await target.read()).tolist() == [[7] * 3, [8] * 3]
