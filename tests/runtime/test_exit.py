"""How the interpreter exits: at once, with exit code 0, and without a word on stderr."""

from __future__ import annotations

import pytest

PRELUDE = """
import asyncio, gc, sys, threading, time
from asynctensor.runtime.event_loop import at_exit, io_loop, run_on, start
from asynctensor.runtime.promise import Promise
from asynctensor.runtime.workers import WorkerPool, shared_pool

async def add(a, b):
    return a + b

async def stuck():
    try:
        await asyncio.sleep(3600)
    finally:
        print("unwound")
"""

PROGRAMS = {
    "nothing done": ("", ""),
    "work done": ("print(start(add, 1, 2).result())", "3\n"),
    "loop started only": ("io_loop()", ""),
    "work pending": (
        """
begun = threading.Event()
async def work():
    begun.set()
    await stuck()
future = start(work)
begun.wait()
""",
        "unwound\n",
    ),
    "work pending and dropped": (
        "start(stuck)\ngc.collect()\nstart(add, 1, 2).result()",
        "unwound\n",
    ),
    "work submitted last of all": ("for _ in range(1000): start(add, 1, 2)", ""),
    "work submitted in the last turn of a loop": (
        """
async def main():
    for _ in range(100):
        start(add, 1, 2)
asyncio.run(main())
""",
        "",
    ),
    "a loop stopped in the middle of a turn": (
        """
loop = asyncio.new_event_loop()
def last():
    global future
    future = start(stuck)
    loop.stop()
loop.call_soon(last)
loop.run_forever()
loop.close()
""",
        "",
    ),
    "a task that will not be cancelled": (
        """
begun = threading.Event()
async def work():
    while True:
        begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
start(work)
begun.wait()
""",
        "",
    ),
    "a worker that is stuck": (
        """
begun = threading.Event()
pool = WorkerPool(2, "stuck")
def work():
    begun.set()
    threading.Event().wait()
async def wait():
    await pool.run(work)
start(wait)
begun.wait()
pool.post(work)
pool.post(print, "never")
""",
        "",
    ),
    "a worker that runs": (
        """
begun = threading.Event()
def work():
    begun.set()
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        pass
    print("worked")
shared_pool("x", 2).post(work)
begun.wait()
""",
        "worked\n",
    ),
    "closers": (
        """
def closer(name):
    async def close():
        await asyncio.sleep(0)
        print("closed", name)
    return close
async def bad():
    raise OSError
for name in "ab":
    at_exit(closer(name))
at_exit(bad)
start(add, 1, 2).result()
""",
        "closed b\nclosed a\n",
    ),
    "a closer that is stuck": (
        """
async def close():
    await asyncio.sleep(3600)
at_exit(close)
start(add, 1, 2).result()
""",
        "",
    ),
    "other threads still at work": (
        """
gate = threading.Event()
def late():
    gate.wait()
    print(start(add, 1, 2).result())
threading.Thread(target=late).start()
start(add, 1, 2).result()
gate.set()
""",
        "3\n",
    ),
    "daemon threads that wait": (
        """
promise, future = Promise.new()
def wait(future):
    try:
        future.result()
    except asyncio.CancelledError:
        pass
threading.Thread(target=wait, args=(future,), daemon=True).start()
threading.Thread(target=wait, args=(start(asyncio.sleep, 3600),), daemon=True).start()
start(add, 1, 2).result()
""",
        "",
    ),
    "functions that run at exit use it": (
        """
import atexit
start(add, 1, 2).result()
atexit.register(lambda: print(start(add, 2, 2).result()))
""",
        "4\n",
    ),
    "functions that run after it get an error": (
        """
import atexit
def late():
    error = start(add, 2, 2).exception()
    print(type(error).__name__)
atexit.register(late)
start(add, 1, 2).result()
""",
        "FailedPrecondition\n",
    ),
    "a service's own loop": (
        """
async def close():
    print("closed")
async def main():
    run_on(asyncio.get_running_loop())
    at_exit(close)
    print(await start(add, 1, 2))
    start(stuck)
    await asyncio.sleep(0)
asyncio.run(main())
""",
        "3\nunwound\nclosed\n",
    ),
    "a service's own loop, never closed": (
        """
loop = asyncio.new_event_loop()
run_on(loop)
print(loop.run_until_complete(start(add, 1, 2)))
loop.run_until_complete(loop.shutdown_asyncgens())
loop.close()
""",
        "3\n",
    ),
    "futures nobody asked": (
        """
async def fail():
    raise ValueError
for _ in range(10):
    start(fail)
start(fail).exception()
""",
        "",
    ),
    "sys.exit inside of a loop": (
        """
async def main():
    asyncio.ensure_future(start(stuck))
    await start(add, 1, 2)
    sys.exit(0)
asyncio.run(main())
""",
        "unwound\n",
    ),
}


#: All other programs would end by themselves, however long a busy machine takes.
STUCK = {"a task that will not be cancelled", "a worker that is stuck", "a closer that is stuck"}
PATIENT = """
import asynctensor.runtime.event_loop, asynctensor.runtime.workers
asynctensor.runtime.event_loop.GRACE = asynctensor.runtime.workers.GRACE = 60.0
"""


@pytest.mark.parametrize("name", PROGRAMS)
def test_exit(program, name) -> None:
    source, printed = PROGRAMS[name]
    patience = "" if name in STUCK else PATIENT
    assert program(PRELUDE + patience + source) == printed


def test_exit_without_uvloop(program) -> None:
    source = "import sys; sys.modules['uvloop'] = None\n" + PRELUDE
    body, printed = PROGRAMS["work pending"]
    kind = "\nprint(type(io_loop()).__module__.split('.')[0])"
    assert program(source + PATIENT + body + kind) == "asyncio\n" + printed


def test_an_error_of_the_program_is_all_that_is_printed(program) -> None:
    source = PRELUDE + PATIENT
    source += "start(stuck)\nstart(add, 1, 2).result()\nraise SystemExit('mine')\n"
    code, out, err = program.finish(program.start(source))
    assert (code, out, err) == (1, "unwound\n", "mine\n")
