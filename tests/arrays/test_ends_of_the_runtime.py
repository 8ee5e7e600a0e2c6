"""Reads and writes that are under way when the runtime ends: whoever waits for them is told so."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.servers.process import ROOT

BEGINNING = """
import asyncio, threading
import numpy as np
import asynctensor as ts
import asynctensor.runtime.event_loop
from asynctensor.errors import Aborted
from asynctensor.runtime.event_loop import at_exit, run_on, shutdown
from asynctensor.runtime.workers import data_copy_pool, file_io_pool, stop_all_pools
from tests.servers.scripted import Said, ScriptedServer

METADATA = {
    "shape": [64, 64],
    "data_type": "uint8",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 4]}},
    "codecs": [{"name": "bytes"}],
}

def begun(array):
    # Some, of which one is planned by a worker; merged ones; a part of a chunk.
    reads = [array.read(), array[[5, 3], 7].read(), array[3, 3].read(), array[3, 5].read()]
    return [*reads, array[8, 8].write(7), array[8, 9].write(7)]

def all_begun(array):
    return [*begun(array), array.write(np.ones((64, 64), "u1"))]

def aborted(futures):
    for future in futures:
        error = future.exception(timeout=60)
        assert isinstance(error, Aborted), (future, error)
"""

#: Workers that are held up until `go_on`.
HELD = """
array = ts.open(
    {"driver": "zarr3", "kvstore": "memory://", "metadata": METADATA}, create=True
).result()
holding, go_on = threading.Semaphore(0), threading.Event()

def hold():
    holding.release()
    go_on.wait()

for pool in (data_copy_pool(), file_io_pool()):
    for _ in range(pool.size):
        pool.post(hold)
    for _ in range(pool.size):
        assert holding.acquire(timeout=60)
futures = all_begun(array)
"""

#: A server that has the metadata, and does not answer what is asked besides.
SILENT = """
import json
asked, go_on = threading.Semaphore(0), threading.Event()
document = json.dumps({"zarr_format": 3, "node_type": "array", "fill_value": 0, **METADATA,
    "chunk_key_encoding": {"name": "default"}})

def script(request):
    if request.target.endswith("zarr.json"):
        stamps = (("ETag", '"1"'), ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT"))
        return Said(200, stamps, document.encode())
    asked.release()
    go_on.wait()
    return Said(404)

def spec(server):
    keys = {"type": "anonymous"}
    store = {"driver": "s3", "bucket": "bucket", "endpoint": server.url, "aws_credentials": keys}
    return {"driver": "zarr3", "kvstore": store}
"""

PROGRAMS = {
    # What waits behind them is dropped.
    "workers are stuck": HELD + "stop_all_pools(0.01)\naborted(futures)",
    # What waits behind them gives up by itself: its chunks may be written again.
    "workers go on": HELD
    + """
async def closer():
    go_on.set()

# However slow the machine is.
asynctensor.runtime.event_loop.GRACE = 60.0
at_exit(closer)
shutdown()
aborted(futures)
array.write(np.full((64, 64), 3, "u1")).result()
assert (array.read().result() == 3).all()
""",
    "nothing is answered": SILENT
    + """
with ScriptedServer(script) as server:
    array = ts.open(spec(server)).result()
    futures = all_begun(array)
    assert asked.acquire(timeout=60)
    shutdown()
    aborted(futures)
    go_on.set()
""",
    # Neither its tasks nor its connections are there any more.
    "a service ends its loop": SILENT
    + """
futures = []

async def main():
    run_on(asyncio.get_running_loop())
    array = await ts.open(spec(server))
    # Another thread, which is to be told as well.
    futures.extend(await asyncio.to_thread(begun, array))
    await asyncio.to_thread(asked.acquire)

with ScriptedServer(script) as server:
    asyncio.run(main())
    aborted(futures)
    go_on.set()
""",
    # Of what comes behind the last look at those who wait.
    "a service's loop has ended and is not closed": """
from asynctensor.errors import FailedPrecondition
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.runtime.event_loop import io_loop, start
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.open_over import open_over
array = open_over(FaultyStore(MemoryStore()), dtype="uint8", shape=[64, 64]).result()
shutdown()

async def service():
    run_on(loop)
    await array.read()

async def work():
    pass

loop = asyncio.new_event_loop()
loop.run_until_complete(service())
loop.run_until_complete(loop.shutdown_asyncgens())
assert io_loop() is loop
aborted(all_begun(array))
assert isinstance(start(work).exception(timeout=60), FailedPrecondition)
loop.close()
assert (array.read().result(timeout=60) == 0).all()
""",
    # Without a word: who starts the next one finds that out.
    "a service closes its loop": """
import os
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.open_over import open_over
store = FaultyStore(MemoryStore())
array = open_over(store, dtype="uint8", shape=[64, 64]).result()
shutdown()
gates = [store.hold("read"), store.hold("write")]

async def stuck():
    run_on(loop)
    # Another thread, which is to be told as well.
    futures = await asyncio.to_thread(all_begun, array)
    await gates[0].reached()
    return futures

loop = asyncio.new_event_loop()
futures = loop.run_until_complete(stuck())
loop.close()
ts.open({"driver": "zarr3", "kvstore": "memory://"}).exception(timeout=60)
aborted(futures)
# What was left on that loop makes a noise where it is destroyed.
os._exit(0)
""",
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_who_waits_is_told(program) -> None:
    command = [sys.executable, "-W", "error", "-c", BEGINNING + program]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (found.returncode, found.stderr) == (0, "")
