"""What was in use when the runtime ended, even stuck, can be used again with the next I/O loop."""

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
from asynctensor.errors import Aborted, Error
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.runtime.event_loop import run_on, shutdown, start
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.open_over import open_over

#: Nothing that is waited for comes later.
asynctensor.runtime.event_loop.GRACE = 0.05
SCHEMA = {"dtype": "uint8", "shape": [64], "chunk_layout": ts.ChunkLayout(chunk_shape=[8])}

def ended():
    threads = [each for each in threading.enumerate() if each.name == "asynctensor-io"]
    shutdown()
    for each in threads:
        each.join(60)
        assert not each.is_alive()

def told(futures):
    for future in futures:
        try:
            assert isinstance(future.exception(timeout=60), Error)
        except asyncio.CancelledError:
            pass

class Stuck:
    '''Requests of a store that are never answered, until the runtime has ended.'''

    def __init__(self, store, operation):
        self.held = True
        self.gate = store.hold(operation, stubborn=True, when=lambda key: self.held)

    def end(self, futures=()):
        self.gate.reached().result(timeout=60)
        ended()
        told(futures)
        self.held = False
"""

REPOSITORY = """
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.store import RepositoryStore

base = FaultyStore(MemoryStore())
state = RepositoryState(place_of(base, ""))
start(state.create).result()
store = RepositoryStore(state, source_of(state, {}))
"""

PROGRAMS = {
    "an array whose workers are stuck": """
from asynctensor.runtime.workers import data_copy_pool, file_io_pool
spec = {"driver": "zarr3", "kvstore": "memory://"}
# Of so many chunks that some workers encode, and others store.
array = ts.open(spec, create=True, **{**SCHEMA, "shape": [1024]}).result()
# More often than there may be groups that wait to be stored.
for _ in range(8):
    holding, go_on = threading.Semaphore(0), threading.Event()

    def hold():
        holding.release()
        go_on.wait()

    for _ in range(file_io_pool().size):
        file_io_pool().post(hold)
    for _ in range(file_io_pool().size):
        assert holding.acquire(timeout=60)
    futures = [array.write(np.ones(1024, "u1")), array[3].write(2)]
    # Behind what encodes them: they have their slots.
    encoded = threading.Semaphore(0)
    for _ in range(data_copy_pool().size):
        data_copy_pool().post(encoded.release)
    for _ in range(data_copy_pool().size):
        assert encoded.acquire(timeout=60)
    ended()
    told(futures)
array.write(np.full(1024, 3, "u1")).result(timeout=60)
array[3].write(4).result(timeout=60)
assert array.read().result(timeout=60)[2:5].tolist() == [3, 4, 3]
""",
    "an array far away": """
store = FaultyStore(MemoryStore())
array = open_over(store, **SCHEMA).result()
stuck = Stuck(store, "write")
stuck.end([array.write(np.ones(64, "u1")), array[3].write(2), array[9].write(2)])
array.write(np.full(64, 3, "u1")).result(timeout=60)
array[3].write(4).result(timeout=60)
assert array.read().result(timeout=60)[2:5].tolist() == [3, 4, 3]
""",
    "a virtual array": """
held, asked, kept = [True], threading.Event(), {}

async def write(domain, chunk, parameters):
    while held[0]:
        asked.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            pass
    kept[domain.origin] = np.array(chunk)

array = ts.virtual_chunked(write_function=write, **SCHEMA)
futures = [array.write(np.ones(64, "u1"))]
assert asked.wait(60)
futures.append(array.write(np.ones(64, "u1")))
ended()
told(futures)
held[0] = False
array.write(np.full(64, 3, "u1")).result(timeout=60)
assert len(kept) == 8
""",
    "a document": """
from asynctensor.drivers.json.document import JsonDocument
from asynctensor.drivers.json.edit import Edit
from asynctensor.runtime.workers import data_copy_pool
store = FaultyStore(MemoryStore())
document = JsonDocument(store, "a", data_copy_pool())
stuck = Stuck(store, "write")
stuck.end([start(document.edit, Edit((), 1))])
start(document.edit, Edit((), 2)).result(timeout=60)
assert start(document.value, float("inf")).result(timeout=60) == (True, 2)
""",
    "a zip file": """
from asynctensor.kvstores.zip.store import ZipStore
base = FaultyStore(MemoryStore())
store = ZipStore(base, "z")
stuck = Stuck(base, "write")
stuck.end([start(store.write, "a", b"1")])
start(store.write, "a", b"2").result(timeout=60)
assert start(store.read, "a").result(timeout=60).value == b"2"
""",
    "a branch that commits": REPOSITORY
    + """
array = open_over(store, **SCHEMA).result()
stuck = Stuck(base, "write")
stuck.end([array.write(np.ones(64, "u1")), array[3].write(2)])
array.write(np.full(64, 3, "u1")).result(timeout=60)
array[3].write(4).result(timeout=60)
assert array.read().result(timeout=60)[2:5].tolist() == [3, 4, 3]
""",
    "a branch that looks": REPOSITORY
    + """
branch = start(state.branch, "main").result(timeout=60)
stuck = Stuck(base, "read")
stuck.end([start(branch.refresh), start(branch.refresh)])
start(branch.refresh).result(timeout=60)
""",
    "a repository on each loop of a service": """
async def main(repo):
    # They meet: each waits for the one before it.
    async def last():
        return [commit.message async for commit in repo.log()]
    return await asyncio.gather(*[last() for _ in range(8)])

async def service(repo):
    run_on(asyncio.get_running_loop())
    return await main(repo)

base = "memory://lab/"
repo = ts.Repository.open(base, create=True).result(timeout=60)
logs = asyncio.run(main(repo))
for each in (service, service, main, main):
    ended()
    assert asyncio.run(each(repo)) == logs
""",
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_after_the_end_of_a_runtime(program) -> None:
    command = [sys.executable, "-W", "error", "-c", BEGINNING + program]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert (found.returncode, found.stderr) == (0, "")
