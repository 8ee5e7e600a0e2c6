"""Several processes write parts of the same chunks of one file store: no update is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.runtime.event_loop import start

ROOT = Path(__file__).parents[2]
PROCESSES = 3
LIMIT = 60

WRITER = """
import asyncio, sys
from pathlib import Path
import numpy as np
import asynctensor as ts

async def main(path, number, count, how):
    store = await ts.open(Path(path))
    print("ready", flush=True)
    sys.stdin.readline()
    if how == "disjoint":
        places = np.arange(number, store.size, count)
        for part in np.array_split(places, 8):
            where = np.unravel_index(part, store.shape)
            await store.vindex[tuple(where)].write((part + 1).astype("i4"))
    elif how == "each":
        await asyncio.gather(*(
            store[row, column].write(row * store.shape[1] + column + 1)
            for row in range(store.shape[0]) for column in range(number, store.shape[1], count)
        ))
    else:
        for turn in range(10):
            await store[: store.shape[0] - 1].write(100 * number + turn)
            await store[store.shape[0] - 1, number].write(turn)

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
"""


def run_writers(path: Path, how: str) -> None:
    """Runs the writers, which all begin at the same moment."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(number), str(PROCESSES), how],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        for writer in writers:
            _, errors = writer.communicate(timeout=LIMIT)
            assert (writer.returncode, errors) == (0, "")
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()


async def made(path: Path, shards: bool) -> ts.TensorStore:
    spec: dict[str, Any] = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{path}/", "file_io_sync": False},
    }
    return await ts.open(
        spec, create=True, dtype="int32", shape=[12, 10],
        chunk_layout=ts.ChunkLayout(
            write_chunk_shape=[8, 8], read_chunk_shape=[4, 2] if shards else [8, 8]
        ),
    )  # fmt: skip


@pytest.mark.parametrize("shards", [False, True])
@pytest.mark.parametrize("how", ["disjoint", "each"])
async def test_disjoint_parts_of_the_same_chunks(tmp_path: Path, how: str, shards: bool) -> None:
    store = await made(tmp_path / "a", shards)
    run_writers(tmp_path / "a", how)
    assert (await store.read() == np.arange(1, 121).reshape(12, 10)).all()


@pytest.mark.parametrize("shards", [False, True])
async def test_overlapping_parts(tmp_path: Path, shards: bool) -> None:
    """Of overlapping writes one is last in each chunk, as a whole; the others' own parts stay."""
    store = await made(tmp_path / "a", shards)
    run_writers(tmp_path / "a", "overlapping")
    data = await store.read()
    last = {100 * number + 9 for number in range(PROCESSES)}
    for rows in (slice(0, 8), slice(8, 11)):
        for columns in (slice(0, 8), slice(8, 10)):
            found = set(np.unique(data[rows, columns]).tolist())
            assert len(found) == 1
            assert found <= last
    assert data[11, :PROCESSES].tolist() == [9] * PROCESSES


FORKED = """
import asyncio, os
from pathlib import Path
import asynctensor as ts

path = Path({path!r})
context = ts.Context({{"cache_pool": {{"total_bytes_limit": 10**6}}}})
store = ts.open(path, context=context).result()
store[:6].write(1).result()
assert (store[:6].read().result() == 1).all()
child = os.fork()
if child == 0:
    code = 1
    try:
        assert (store[:6].read().result() == 1).all()
        store[6:].write(2).result()
        store[0].write(3).result()
        assert asyncio.run(asyncio.wait_for(store[6:].read(), 60)).sum() == 2 * 60
        code = 0
    finally:
        os._exit(code)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
store[1].write(4).result()
data = store.read().result()
assert (data[0] == 3).all() and (data[1] == 4).all()
assert (data[2:6] == 1).all() and (data[6:] == 2).all()
print("done")
"""


def test_a_child_uses_what_its_parent_opened(tmp_path: Path) -> None:
    start(made, tmp_path / "a", False).result()
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED.format(path=str(tmp_path / "a"))],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, capture_output=True,
        timeout=LIMIT, check=False,
    )  # fmt: skip
    assert (found.returncode, found.stdout, found.stderr) == (0, "done\n", "")
