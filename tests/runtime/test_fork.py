"""fork, spawn and forkserver: a child has a runtime of its own, made on first use."""

from __future__ import annotations

import pytest

PRELUDE = """
import asyncio, multiprocessing, os, sys, threading
from asynctensor.errors import FailedPrecondition
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import at_exit, io_loop, on_io_loop, run_on, shutdown, start
from asynctensor.runtime.future import Future
from asynctensor.runtime.promise import Promise
from asynctensor.runtime.turn import TurnCollector
from asynctensor.runtime.workers import WorkerPool, shared_pool

pool = WorkerPool(2, "mine")

async def add(a, b):
    assert on_io_loop()
    return await pool.run(lambda: a + b)

def say(*words):
    # One write: what two processes print must not mix.
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()

def in_child(function, exit=sys.exit):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            function()
        except Exception:
            import traceback
            traceback.print_exc()
            os._exit(1)
        exit(0)  # sys.exit runs the exit functions, as a child of multiprocessing would not
    assert os.waitpid(pid, 0)[1] == 0
"""

PROGRAMS = {
    "work in parent, child and parent again": (
        """
say(start(add, 1, 2).result())
in_child(lambda: say("child", start(add, 3, 4).result()))
say(start(add, 5, 6).result())
""",
        "3\nchild 7\n11\n",
    ),
    "asyncio in the child": (
        """
async def main():
    return sum(await asyncio.gather(*(start(add, i, 0) for i in range(100))))
say(asyncio.run(main()))
in_child(lambda: say(asyncio.run(main())))
say(asyncio.run(main()))
""",
        "4950\n4950\n4950\n",
    ),
    "grandchildren": (
        """
start(add, 1, 2).result()
in_child(lambda: (say(start(add, 1, 1).result()), in_child(lambda: say(start(add, 2, 2).result()))))
""",
        "2\n4\n",
    ),
    "a future pending at the fork": (
        """
start(add, 1, 2).result()
gate = threading.Event()
async def wait():
    await pool.run(gate.wait)
    return "done"
future = start(wait)
promise, made = Promise.new()

async def awaits(future):
    return await future

def child():
    for ask in (
        lambda: future.result(), lambda: made.result(timeout=60), lambda: asyncio.run(awaits(made))
    ):
        try:
            ask()
        except FailedPrecondition as error:
            say(str(error)[:60])
    got = []
    made.add_done_callback(got.append)
    say(future.done(), made.cancel(), len(got))
in_child(child)
gate.set()
promise.set_result(7)
say(future.result(), made.result())
""",
        "FAILED_PRECONDITION: this Future was pending when the proces\n" * 3
        + "True False 1\ndone 7\n",
    ),
    "a future done at the fork": (
        """
future = start(add, 1, 2)
future.result()
in_child(lambda: say(future.result()))
""",
        "3\n",
    ),
    "forked inside of a running loop": (
        """
async def main():
    await start(add, 1, 2)
    unsent = start(add, 1, 2)
    # Unwinding asyncio itself in the child would act on what it shares with the parent.
    in_child(
        lambda: say("child", start(add, 3, 4).result(), type(unsent.exception()).__name__),
        os._exit,
    )
    say(await unsent)
asyncio.run(main())
""",
        "child 7 FailedPrecondition\n3\n",
    ),
    "forked on a worker": (
        """
pool.post(lambda: None)
async def work():
    await pool.run(in_child, lambda: say("child", start(add, 3, 4).result()), os._exit)
start(work).result()
""",
        "child 7\n",
    ),
    "shared pools and contexts": (
        """
context = Context()
workers = context["data_copy_concurrency"].value
async def work(i):
    return await workers.run(abs, -i)
say(start(work, 1).result())
in_child(lambda: say(start(work, 2).result(), context["data_copy_concurrency"].value is workers))
say(start(work, 3).result())
""",
        "1\n2 True\n3\n",
    ),
    "what the parent had to close is not closed by the child": (
        """
async def close():
    say("closed by parent" if os.getpid() == parent else "closed by child")
parent = os.getpid()
at_exit(close)
start(add, 1, 2).result()
in_child(lambda: start(add, 1, 2).result())
""",
        "closed by parent\n",
    ),
    "a service's loop stays with the parent": (
        """
async def main():
    run_on(asyncio.get_running_loop())
    say(await start(add, 1, 2))
    in_child(lambda: say(start(add, 3, 4).result(), threading.current_thread().name), os._exit)
asyncio.run(main())
""",
        "3\n7 MainThread\n",
    ),
    "forked while other threads are busy": (
        """
start(add, 1, 2).result()
stop = threading.Event()
def busy():
    while not stop.is_set():
        start(add, 1, 2).result()
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads:
    thread.start()
for i in range(8):
    in_child(lambda: say(start(add, i, 0).result()))
stop.set()
for thread in threads:
    thread.join()
""",
        "".join(f"{i}\n" for i in range(8)),
    ),
    "a parent without a runtime": (
        "in_child(lambda: say(start(add, 1, 2).result()))\nsay(start(add, 1, 2).result())",
        "3\n3\n",
    ),
    "shut down, then forked": (
        "start(add, 1, 2).result(); shutdown()\nin_child(lambda: say(start(add, 1, 2).result()))",
        "3\n",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_os_fork(program, name) -> None:
    source, printed = PROGRAMS[name]
    assert program(PRELUDE + source) == printed


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(program, method) -> None:
    source = (
        PRELUDE
        + f"""
def work(i):
    return start(add, i, 1).result()

def leave_work(i):
    start(asyncio.sleep, 3600)
    return work(i)

if __name__ == "__main__":
    say(work(0))
    context = multiprocessing.get_context({method!r})
    with context.Pool(2) as processes:
        say(processes.map(work, range(4)))
    process = context.Process(target=leave_work, args=(1,))
    process.start()
    process.join()
    say(process.exitcode, work(1))
"""
    )
    assert program(source) == "1\n[1, 2, 3, 4]\n0 2\n"
